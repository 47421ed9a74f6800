#pragma once
// KV memory of other engines on this machine, mapped to read. A mapping outlives a pull: the next
// one from that engine finds it, and its pages, there.

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "engine/model/kv_memory.hpp"
#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {

// Thread-safe.
class KvWindows {
 public:
  static constexpr std::size_t kMost = 16;                  // mapped at once
  static constexpr Nanos kIdle = std::chrono::seconds(30);  // unused: let go

  // What `descriptor` shares, laid out as `shared` says and in rows of `shape`. kInvalid: it cannot
  // be that.
  Result<std::shared_ptr<const model::KvMemory>> open(int descriptor, const kv::Shared& shared,
                                                      const model::KvShape& shape, Mono now);
  // Lets go of what was not used for kIdle: an engine that has ended leaves its memory to us.
  void forget_idle(Mono now);
  std::size_t size() const;

 private:
  // Of the file; unique while it is mapped.
  struct Name {
    std::uint64_t device = 0, number = 0;
    friend bool operator==(const Name&, const Name&) = default;
  };
  struct Window {
    Name name;
    std::shared_ptr<const model::KvMemory> memory;  // shared with the pulls that read it
    Mono used;
  };

  mutable std::mutex mutex_;  // guards windows_
  std::vector<Window> windows_;
};

}  // namespace baton::runtime
