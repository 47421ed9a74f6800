#pragma once
// How many files, so also connections, the process may have open.

namespace baton {

// Takes all that the system lets the process have: shells and container runtimes often begin with
// 1,024. Call once, early, in a server; programs that it starts inherit it.
void raise_open_files();

}  // namespace baton
