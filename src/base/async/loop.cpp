#include "base/async/loop.hpp"

#include <pthread.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <thread>
#include <utility>

#include "base/core/assert.hpp"

namespace baton::async {

struct Loop::Impl {
  explicit Impl(std::string thread_name)
      : name(std::move(thread_name)), context(1), work(context.get_executor()) {}

  std::string name;
  asio::io_context context;
  asio::executor_work_guard<asio::io_context::executor_type> work;
  std::thread thread;
  std::atomic<bool> running = false;
};

namespace {
constexpr std::size_t kThreadNameBytes = 15;  // pthread_setname_np(3)
}

Loop::Loop(std::string name) : impl_(std::make_unique<Impl>(std::move(name))) {}

Loop::~Loop() { stop(); }

asio::any_io_executor Loop::executor() { return impl_->context.get_executor(); }
asio::io_context& Loop::context() { return impl_->context; }

void Loop::start() {
  BATON_ASSERT(!impl_->thread.joinable());
  impl_->running = true;  // before the thread: whoever started the loop may rely on it
  impl_->thread = std::thread([this] {
    pthread_setname_np(pthread_self(), impl_->name.substr(0, kThreadNameBytes).c_str());
    run();
  });
}

void Loop::run() {
  impl_->running = true;
  impl_->context.run();
  impl_->running = false;
}

void Loop::stop() {
  impl_->context.stop();
  if (impl_->thread.joinable() && impl_->thread.get_id() != std::this_thread::get_id()) {
    impl_->thread.join();
  }
}

bool Loop::running() const { return impl_->running; }

void Loop::post(std::move_only_function<void()> work) {
  asio::post(impl_->context, [w = std::move(work)]() mutable { w(); });
}

}  // namespace baton::async
