#include "net/tls/reload.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

#include "base/core/log.hpp"

namespace baton::tls {

Result<std::unique_ptr<Reloader>> Reloader::start(const std::vector<std::string>& files,
                                                  std::function<Status()> reload,
                                                  const Clock& clock, Nanos settle) {
  BATON_TRY_ASSIGN(auto watch, async::FileWatch::open(files));
  return std::unique_ptr<Reloader>(new Reloader(std::move(watch), std::move(reload),
                                                fmt::format("{}", fmt::join(files, ", ")), clock,
                                                settle));
}

Reloader::Reloader(std::unique_ptr<async::FileWatch> watch, std::function<Status()> reload,
                   std::string files, const Clock& clock, Nanos settle)
    : watch_(std::move(watch)),
      reload_(std::move(reload)),
      files_(std::move(files)),
      clock_(clock),
      settle_(settle),
      thread_([this] { run(); }) {}

Reloader::~Reloader() {
  watch_->close();
  thread_.join();
}

void Reloader::run() {
  using Change = async::FileWatch::Change;
  // What changed between being read and being watched.
  if (const Status same = reload_(); !same) {
    log::warn("certificates have changed since they were read, and cannot be used",
              {{"reason", same.error().message()}});
  }
  for (;;) {
    auto change = watch_->wait({}, clock_);
    while (change && *change == Change::kChanged) {
      change = watch_->wait(Deadline::in(clock_, settle_), clock_);
    }
    if (!change) return;
    if (const Status done = reload_(); done) {
      log::info("certificates reloaded", {{"files", files_}});
    } else {
      log::warn("certificates not reloaded, the old ones stay in use",
                {{"reason", done.error().message()}});
    }
  }
}

}  // namespace baton::tls
