#pragma once
// A lock between processes: flock() on a file, as huggingface_hub's (filelock) are. It ends with
// its holder, however that one ends: there are no stale locks.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::hub {

// Movable; held until destroyed. The file stays: removing it would make two locks of one.
class FileLock {
 public:
  enum class Kind : std::uint8_t { kShared, kExclusive };

  // Makes the file and its folders. nullopt: somebody else holds it. kDenied, kUnavailable: the
  // file cannot be made, or this file system knows no locks.
  static Result<std::optional<FileLock>> try_lock(const std::string& file, Kind kind);
  FileLock(FileLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

  // Replaces what the file holds, for those who wait; read_note() reads it.
  void note(std::string_view text);
  // Now is when the file was last of use.
  void touch();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

// At most 200 bytes; "" when there is nothing.
std::string read_note(const std::string& lock_file);

}  // namespace baton::hub
