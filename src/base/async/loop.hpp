#pragma once
// One event loop on one thread. Objects belong to a loop and are touched only there.

#include <functional>
#include <memory>
#include <string>

#include "base/async/asio.hpp"

namespace baton::async {

class Loop {
 public:
  explicit Loop(std::string name);  // names the thread
  ~Loop();                          // stops and joins

  asio::any_io_executor executor();
  asio::io_context& context();

  // Runs the loop on its own thread until stop(). Or run() on the caller's.
  void start();
  void run();
  // From any thread. Pending handlers are dropped with the loop.
  void stop();
  bool running() const;                             // any thread
  void post(std::move_only_function<void()> work);  // from any thread

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::async
