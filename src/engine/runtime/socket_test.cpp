#include "engine/runtime/socket.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <optional>
#include <thread>

#include "base/core/log.hpp"

namespace baton::runtime {
namespace {

// While it lives, the process cannot open another file.
class NoDescriptors {
 public:
  NoDescriptors() {
    const int lowest = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(lowest);
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none{static_cast<rlim_t>(lowest), before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

// A connection that waits at a listener while no descriptor is left.
class Scarcity : public ::testing::Test {
 protected:
  Scarcity() {
    log::redirect([this](std::string_view) { ++lines_; });
    none_.emplace();
    acceptor_ = std::jthread([this] { near_ = accept_any({&listener_.socket, 1}, stop_); });
  }
  ~Scarcity() override {
    stop_.raise();
    if (acceptor_.joinable()) acceptor_.join();
    log::redirect(nullptr);
  }
  Patience patience() const {
    return {clock_, Deadline::in(clock_, std::chrono::seconds(20)), never_};
  }
  bool is_noticed() const {
    const Deadline limit = patience().deadline;
    while (lines_ == 0 && !limit.passed(clock_.now())) std::this_thread::yield();
    return lines_ > 0;
  }

  const SystemClock clock_;
  const std::atomic<bool> never_ = false;
  std::atomic<int> lines_ = 0;
  Signal stop_;
  const Listener listener_ = *listen_tcp("127.0.0.1", 0);
  const Socket far_ = *connect_tcp("127.0.0.1", listener_.port, patience());
  Result<Socket> near_ = internal("not there yet");
  std::optional<NoDescriptors> none_;
  std::jthread acceptor_;
};

TEST_F(Scarcity, OfDescriptorsIsToldOnceAndTheConnectionTakenWhenItIsOver) {
  EXPECT_TRUE(is_noticed());

  none_.reset();
  acceptor_.join();

  EXPECT_TRUE(near_);
  EXPECT_EQ(lines_.load(), 1);
}

TEST_F(Scarcity, OfDescriptorsDoesNotKeepAnEngineFromStopping) {
  EXPECT_TRUE(is_noticed());

  stop_.raise();
  acceptor_.join();

  EXPECT_EQ(near_.error().code(), Code::kCancelled);
}

}  // namespace
}  // namespace baton::runtime
