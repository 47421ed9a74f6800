#pragma once
// Tells when one of a set of files was written, replaced, created or removed.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"

namespace baton::async {

// Watches the folders (editors replace files by renaming, the kubelet a volume's link to them).
// close() from any thread; the rest is confined to one thread.
class FileWatch {
 public:
  static Result<std::unique_ptr<FileWatch>> open(const std::vector<std::string>& files);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

  enum class Change : bool { kNone, kChanged };
  // Changes since the last call are reported at once. kNone: the deadline passed.
  // kCancelled: closed.
  Result<Change> wait(Deadline deadline, const Clock& clock);
  void close();

 private:
  FileWatch(int inotify, int wake) : inotify_(inotify), wake_(wake) {}
  bool drain();

  int inotify_;
  int wake_;                                    // an eventfd
  std::map<int, std::set<std::string>> names_;  // by folder watch
};

}  // namespace baton::async
