#pragma once
// Time as an argument. Mono is for intervals and deadlines, Wall for display and certificates.

#include <atomic>
#include <chrono>
#include <cstdint>

namespace baton {

using Nanos = std::chrono::nanoseconds;
using Millis = std::chrono::milliseconds;
using Mono = std::chrono::steady_clock::time_point;
using Wall = std::chrono::system_clock::time_point;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Mono now() const = 0;
  virtual Wall wall() const = 0;
};

class SystemClock final : public Clock {
 public:
  Mono now() const override { return std::chrono::steady_clock::now(); }
  Wall wall() const override { return std::chrono::system_clock::now(); }
};

// For tests: stands still until advanced.
class ManualClock final : public Clock {
 public:
  Mono now() const override { return Mono(Nanos(1'000'000'000) + Nanos(elapsed_.load())); }
  Wall wall() const override {
    return Wall(std::chrono::seconds(1'700'000'000)) +
           std::chrono::duration_cast<Wall::duration>(Nanos(elapsed_.load()));
  }
  void advance(Nanos by) { elapsed_ += by.count(); }

 private:
  std::atomic<std::int64_t> elapsed_ = 0;
};

// The latest moment at which a result is still of use. Every wait takes one.
struct Deadline {
  Mono at = Mono::max();

  static Deadline in(const Clock& clock, Nanos budget) { return {clock.now() + budget}; }
  bool passed(Mono now) const { return now >= at; }
  Nanos left(Mono now) const { return now >= at ? Nanos(0) : at - now; }
  Deadline earlier(Deadline other) const { return at < other.at ? *this : other; }
};

inline double seconds(Nanos d) { return std::chrono::duration<double>(d).count(); }
inline double millis(Nanos d) { return std::chrono::duration<double, std::milli>(d).count(); }

}  // namespace baton
