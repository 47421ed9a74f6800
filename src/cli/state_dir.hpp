#pragma once
// Where `serve` keeps what its pods need, and where `logs` looks for it.

#include <memory>
#include <string>

#include "base/core/result.hpp"

namespace baton::cli {

// $XDG_STATE_HOME/baton/<port>, or ~/.local/state/baton/<port>. kInvalid without a home.
Result<std::string> default_state_dir(std::uint16_t port);

// The folder, held by one process at a time. Movable through its pointer only.
class StateDir {
 public:
  // Makes the folder, and closes it to other users. kConflict: another process holds it, the
  // message names it; or it holds what is not ours, claims (pvc/) aside, and is open to others, or
  // would be deleted. kDenied: it cannot be closed to others than its owner and group.
  // kInvalid: the path holds characters that scripts in pods could not take.
  static Result<std::unique_ptr<StateDir>> open(const std::string& path);
  ~StateDir();
  StateDir(const StateDir&) = delete;
  StateDir& operator=(const StateDir&) = delete;

  const std::string& path() const { return path_; }  // absolute

 private:
  StateDir(std::string path, int lock) : path_(std::move(path)), lock_(lock) {}

  std::string path_;
  int lock_;
};

}  // namespace baton::cli
