#pragma once
// Reloads contexts when their files change: certificates are renewed while connections live.

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/async/file_watch.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/tls/context.hpp"

namespace baton::tls {

// Watches files on a thread of its own, until destroyed. Pairs are written in two steps and a
// mounted Secret is swapped by a link: `settle` (llm-d waits 250 ms) after the last change, then
// `reload`. A failure is logged, what was loaded stays.
class Reloader {
 public:
  static constexpr Nanos kSettle = Millis(250);

  static Result<std::unique_ptr<Reloader>> start(const std::vector<std::string>& files,
                                                 std::function<Status()> reload, const Clock& clock,
                                                 Nanos settle = kSettle);
  template <class Context>
  static Result<std::unique_ptr<Reloader>> start(std::shared_ptr<Context> context,
                                                 const Clock& clock, Nanos settle = kSettle) {
    const auto files = context->files();
    return start(
        files, [context = std::move(context)] { return context->reload(); }, clock, settle);
  }
  ~Reloader();
  Reloader(const Reloader&) = delete;
  Reloader& operator=(const Reloader&) = delete;

 private:
  Reloader(std::unique_ptr<async::FileWatch> watch, std::function<Status()> reload,
           std::string files, const Clock& clock, Nanos settle);
  void run();

  const std::unique_ptr<async::FileWatch> watch_;
  const std::function<Status()> reload_;
  const std::string files_;
  const Clock& clock_;
  const Nanos settle_;
  std::thread thread_;
};

}  // namespace baton::tls
