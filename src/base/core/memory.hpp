#pragma once
// How the process's allocator treats what is freed.

namespace baton {

// Keeps up to 32 MB of freed memory instead of giving it back: for servers through which bodies
// pass, whose pages the kernel would else clear anew for each. Call once, early.
void keep_freed_memory();

// Gives back what is freed by now, also between what is not: for a process that has come to rest.
// Takes the allocator's locks, for milliseconds where much was freed.
void give_back_freed_memory();

}  // namespace baton
