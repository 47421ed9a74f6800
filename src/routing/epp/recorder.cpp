#include "routing/epp/recorder.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/core/log.hpp"

namespace baton::epp {

Recorder::Recorder(observe::Registry& registry, std::size_t most)
    : most_(most),
      written_(registry.counter("baton_epp_records_written_total", "decisions put into the file")),
      lost_(registry.counter("baton_epp_records_lost_total",
                             "decisions that the file did not take, or not in time")),
      ring_(most) {}

Recorder::~Recorder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (writer_.joinable()) writer_.join();
}

Status Recorder::write_to(const std::filesystem::path& file) {
  file_.reset(std::fopen(file.c_str(), "ae"));
  if (file_ == nullptr) {
    const auto code = errno == ENOENT ? Code::kNotFound : Code::kDenied;
    return Error(code, fmt::format("{}: {}", file.string(), std::strerror(errno)));
  }
  writer_ = std::thread([this] { write_all(); });
  return {};
}

void Recorder::add(schedule::Record& record) {
  std::shared_ptr<const schedule::Record> unwritten;
  if (file_ != nullptr) unwritten = std::make_shared<const schedule::Record>(record);
  const std::lock_guard lock(mutex_);
  if (unwritten != nullptr) write(std::move(unwritten));
  ring_.add(record);
}

void Recorder::evicted(std::string_view id, const schedule::Demand& demand) {
  const std::lock_guard lock(mutex_);
  const auto* record = ring_.evicted(id, demand);
  if (record != nullptr && file_ != nullptr) {
    write(std::make_shared<const schedule::Record>(*record));
  }
}

void Recorder::write(std::shared_ptr<const schedule::Record> record) {
  if (unwritten_.size() >= kUnwritten) return lost_.add();
  unwritten_.push_back(std::move(record));
  wake_.notify_one();
}

std::optional<text::json::Value> Recorder::find(std::string_view id) const {
  const std::lock_guard lock(mutex_);
  const auto* record = ring_.find(id);
  if (record == nullptr) return std::nullopt;
  return schedule::to_json(*record);
}

std::vector<std::string> Recorder::ids() const {
  const std::lock_guard lock(mutex_);
  return ring_.ids();
}

bool Recorder::write_one(const schedule::Record& record) {
  const auto line = text::json::dump(schedule::to_json(record)) + "\n";
  return std::fwrite(line.data(), 1, line.size(), file_.get()) == line.size();
}

void Recorder::write_all() {
  bool told = false;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !unwritten_.empty(); });
    if (unwritten_.empty()) return;
    const auto batch = std::exchange(unwritten_, {});
    lock.unlock();
    std::size_t written = 0;
    for (const auto& record : batch) written += write_one(*record) ? 1 : 0;
    if (std::fflush(file_.get()) != 0) written = 0;
    written_.add(static_cast<double>(written));
    lost_.add(static_cast<double>(batch.size() - written));
    if (written < batch.size() && !std::exchange(told, true)) {
      log::error("decisions cannot be recorded", {{"why", std::strerror(errno)}});
    }
    lock.lock();
  }
}

}  // namespace baton::epp
