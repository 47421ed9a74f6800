#pragma once
// Decisions that can be asked about: the last ones in memory, all of them in a file when one is
// named. Without prompt text (schedule/record.hpp).

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/core/result.hpp"
#include "base/observe/metrics.hpp"
#include "routing/schedule/record.hpp"

namespace baton::epp {

inline constexpr std::size_t kUnwritten =
    1024;  // records that may wait for the disk; more are lost

// Thread-safe. Records refer to the pool's scheduler: it must outlive this.
class Recorder {
 public:
  // `most`: kept in memory; 0: none.
  Recorder(observe::Registry& registry, std::size_t most);
  ~Recorder();  // writes what waits

  // Appends to the file from now on, a line of JSON each. Once. kDenied, kNotFound: cannot be
  // opened.
  Status write_to(const std::filesystem::path& file);
  bool wanted() const { return most_ > 0 || file_ != nullptr; }
  // `record` gets the memory of one that is forgotten.
  void add(schedule::Record& record);
  // The newest decision about that request was undone; the file gets it a second time.
  void evicted(std::string_view id, const schedule::Demand& demand);
  // The newest decision about that request.
  std::optional<text::json::Value> find(std::string_view id) const;
  // Of the requests remembered, newest first.
  std::vector<std::string> ids() const;

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  void write(std::shared_ptr<const schedule::Record> record);  // with the mutex held
  void write_all();
  bool write_one(const schedule::Record& record);

  const std::size_t most_;
  observe::Counter &written_, &lost_;
  std::unique_ptr<std::FILE, Closer> file_;  // the writer's
  mutable std::mutex mutex_;                 // guards the rest
  std::condition_variable wake_;
  schedule::RecordRing ring_;
  std::deque<std::shared_ptr<const schedule::Record>> unwritten_;
  bool stopping_ = false;
  std::thread writer_;
};

}  // namespace baton::epp
