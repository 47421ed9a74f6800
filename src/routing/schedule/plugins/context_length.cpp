// context-length-aware: pods say in a label which prompt lengths they are for ("0-8192", tokens).

#include <algorithm>
#include <charconv>
#include <optional>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

struct Range {
  double least = 0, most = 0;
  bool holds(double length) const { return length >= least && length <= most; }
};

std::optional<Range> read(std::string_view text) {
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  std::uint64_t least = 0, most = 0;
  const auto number = [](std::string_view digits, std::uint64_t& into) {
    const auto* end = digits.data() + digits.size();
    const auto [at, error] = std::from_chars(digits.data(), end, into);
    return error == std::errc() && at == end && !digits.empty();
  };
  if (!number(text.substr(0, dash), least) || !number(text.substr(dash + 1), most)) return {};
  if (least > most) return std::nullopt;
  return Range{static_cast<double>(least), static_cast<double>(most)};
}

// Picker reference 4.4.
float score_of(std::string_view label, double length) {
  if (label.empty()) return 0.5F;
  const auto range = read(label);
  if (!range) return 0;
  if (!range->holds(length)) {
    const double distance = length < range->least ? range->least - length : length - range->most;
    return static_cast<float>(0.3 / (1 + distance / 1000));
  }
  const double width = range->most - range->least;
  const double inside =
      width == 0 ? 1 : 0.7 / (1 + width / 10000) + 0.3 * (range->most - length) / width;
  return static_cast<float>(0.3 + 0.7 * inside);
}

class LengthScorer final : public Scorer {
 public:
  explicit LengthScorer(std::string label) : label_(std::move(label)) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const auto length = static_cast<double>(context.request.tokens());
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      scores[c] = score_of((*context.snapshot.endpoints)[candidates[c]].label(label_), length);
    }
  }

 private:
  std::string label_;
};

class LengthFilter final : public Filter {
 public:
  explicit LengthFilter(std::string label) : label_(std::move(label)) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    const auto length = static_cast<double>(context.request.tokens());
    std::erase_if(candidates, [&](Index i) {
      const auto label = (*context.snapshot.endpoints)[i].label(label_);
      if (label.empty()) return false;
      const auto range = read(label);
      return !range || !range->holds(length);
    });
  }

 private:
  std::string label_;
};

}  // namespace

Plugin make_context_length_aware(Fields& parameters) {
  const auto label = parameters.text("label", "llm-d.ai/context-length-range");
  const bool filters = parameters.boolean("enableFiltering", false);
  Plugin plugin{.scorer = std::make_unique<LengthScorer>(label)};
  if (filters) plugin.filter = std::make_unique<LengthFilter>(label);
  plugin.needs.push_back({.data = Data::kTokens, .producer = "", .pointer = ""});
  return plugin;
}

}  // namespace baton::schedule
