#pragma once
// Reads a Prometheus text exposition line by line, without allocating. Hostile input: a line that
// does not parse is skipped and counted, never fatal.

#include <cstddef>
#include <optional>
#include <string_view>

namespace baton::observe {

struct Sample {
  std::string_view name;
  std::string_view labels;  // the text between the braces, still escaped; empty without labels
  double value = 0;
};

class ExpositionReader {
 public:
  explicit ExpositionReader(std::string_view text) : rest_(text) {}

  // The next sample; comments, blank lines and malformed lines are passed over.
  std::optional<Sample> next();
  std::size_t malformed() const { return malformed_; }

 private:
  std::string_view rest_;
  std::size_t malformed_ = 0;
};

// The value of one label inside Sample::labels; escapes are left as they are.
std::optional<std::string_view> label(std::string_view labels, std::string_view key);

}  // namespace baton::observe
