#pragma once
// What a long step shows, a download or a load: a bar at the lower end of a terminal, or now and
// then a line.

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/core/clock.hpp"
#include "net/hub/blob.hpp"

namespace baton::cli {

// "1.50 GB"; powers of ten, three digits. Pure.
std::string bytes_text(std::uint64_t bytes);
// "8 s", "3 min 20 s", "2 h 5 min". Pure.
std::string time_text(Nanos time);

// Bytes a second over the last few seconds. Pure.
class Rate {
 public:
  static constexpr Nanos kWindow = std::chrono::seconds(5);

  void note(Mono now, std::uint64_t bytes);
  double per_second() const;

 private:
  std::deque<std::pair<Mono, std::uint64_t>> samples_;
};

enum class Unit : bool { kBytes, kCount };

struct Share {
  std::uint64_t have = 0, total = 0;
  double per_second = 0;
  Unit unit = Unit::kBytes;
};

// "34 %, 92.1 MB of 269 MB, 11.3 MB/s, 16 s left"; rate 0: the last two are left out. Pure.
std::string progress_line(const Share& share);
// The same behind a bar, at most that wide. Pure.
std::string progress_bar(std::string_view name, const Share& share, std::size_t columns);

// Confined to one thread.
class ProgressView final : public hub::Listener {
 public:
  enum class Style : std::uint8_t { kBar, kLines };
  using Write = std::function<void(std::string_view)>;

  ProgressView(std::string name, Style style, Write write, const Clock& clock,
               Unit unit = Unit::kBytes)
      : name_(std::move(name)),
        style_(style),
        write_(std::move(write)),
        clock_(clock),
        unit_(unit) {}
  // A bar on a terminal that can draw one. No colours, so NO_COLOR has nothing to change.
  static ProgressView of_standard_error(std::string name, const Clock& clock,
                                        Unit unit = Unit::kBytes);
  // Whether standard error is such a terminal.
  static bool standard_error_draws();
  ~ProgressView() override { clear(); }
  ProgressView(const ProgressView&) = delete;
  ProgressView& operator=(const ProgressView&) = delete;

  void expect(std::uint64_t bytes) override;
  void have(std::uint64_t bytes) override;
  void say(std::string_view line) override;

 private:
  void clear();

  const std::string name_;
  const Style style_;
  const Write write_;
  const Clock& clock_;
  const Unit unit_;
  Rate rate_;
  Mono next_{};
  std::uint64_t total_ = 0;
  bool drawn_ = false;
};

}  // namespace baton::cli
