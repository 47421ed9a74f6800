// endpoint-attribute-filter and endpoint-attribute-scorer: by a metric of the engine's own, which
// customMetrics of core-metrics-extractor names (picker reference 4.4, 4.5).

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/core/nearest.hpp"
#include "routing/schedule/engine_metrics.hpp"
#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

constexpr std::string_view kExtractor = "core-metrics-extractor";

// What the endpoint last told; nullopt: nothing, or too long ago.
std::optional<double> value_of(const Context& context, Index i, std::string_view attribute) {
  const auto& load = context.snapshot.loads[i];
  if (load.attributes == nullptr || !context.fresh(i)) return std::nullopt;
  return load.attributes->find(attribute);
}

class AttributeFilter final : public Filter {
 public:
  enum class Operator : std::uint8_t {
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
    kEqual,
    kNotEqual
  };
  struct Parameters {
    std::string attribute;
    Operator op = Operator::kLess;
    double value = 0;
    bool passes_missing = true, falls_back = false;
  };
  explicit AttributeFilter(Parameters parameters) : p_(std::move(parameters)) {}

  void keep(const Context& context, std::vector<Index>& candidates) const override {
    const auto fits = [&](Index i) {
      const auto value = value_of(context, i, p_.attribute);
      return value ? compares(*value) : p_.passes_missing;
    };
    if (p_.falls_back && std::ranges::none_of(candidates, fits)) return;
    std::erase_if(candidates, [&](Index i) { return !fits(i); });
  }
  bool sheds() const override { return true; }

 private:
  bool compares(double value) const {
    switch (p_.op) {
      case Operator::kLess:
        return value < p_.value;
      case Operator::kLessOrEqual:
        return value <= p_.value;
      case Operator::kGreater:
        return value > p_.value;
      case Operator::kGreaterOrEqual:
        return value >= p_.value;
      case Operator::kEqual:
        return value == p_.value;
      case Operator::kNotEqual:
        return value != p_.value;
    }
    return false;
  }
  Parameters p_;
};

class AttributeScorer final : public Scorer {
 public:
  struct Range {
    double least = std::numeric_limits<double>::infinity();
    double most = -std::numeric_limits<double>::infinity();
  };
  struct Parameters {
    std::string attribute;
    bool lower_is_better = true;
    std::optional<Range> fixed;  // else that of the candidates
  };
  explicit AttributeScorer(Parameters parameters) : p_(std::move(parameters)) {}

  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    auto range = p_.fixed.value_or(Range());
    for (std::size_t c = 0; !p_.fixed && c < candidates.size(); ++c) {
      const auto value = value_of(context, candidates[c], p_.attribute);
      if (!value) continue;
      range = {std::min(range.least, *value), std::max(range.most, *value)};
    }
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      if (const auto value = value_of(context, candidates[c], p_.attribute)) {
        scores[c] = static_cast<float>(place(*value, range));
      }
    }
  }

 private:
  double place(double value, Range range) const {
    if (range.least == range.most) return 1;
    const double share = std::clamp((value - range.least) / (range.most - range.least), 0.0, 1.0);
    return p_.lower_is_better ? 1 - share : share;
  }
  Parameters p_;
};

// Who makes it, as the parameters say: an engine of the extractor must tell it.
void bind_to_extractor(Fields& parameters, std::string_view key, const std::string& attribute,
                       Plugin& plugin) {
  const bool named = parameters.has("producer");
  const auto producer = parameters.text("producer", kExtractor);
  if (attribute.empty()) parameters.fail(key, "the attribute's name is missing");
  if (!named && attribute.find('/') != std::string::npos) {
    parameters.fail(key, "give attribute and producer apart, without '/'");
  }
  const auto pointer = text::json::pointer(parameters.pointer(), key);
  plugin.bind = [producer, attribute, pointer](std::span<const NamedPlugin> plugins) -> Status {
    std::vector<std::string> told;
    for (const auto& [name, other] : plugins) {
      const auto* extractor = std::get_if<MetricsExtractor>(&other->service);
      if (extractor == nullptr || name != producer) continue;
      BATON_TRY_ASSIGN(const auto engines, engines_of(extractor->engine_configs, pointer));
      for (const auto& engine : engines) {
        for (const auto& custom : engine.custom) told.push_back(custom.attribute);
      }
    }
    if (std::ranges::find(told, attribute) != told.end()) return {};
    const std::vector<std::string_view> names(told.begin(), told.end());
    return invalid(fmt::format(
        "{}: no engine of '{}' tells '{}'{}; customMetrics of core-metrics-extractor names such",
        pointer, producer, attribute, did_you_mean(attribute, names)));
  };
}

}  // namespace

Plugin make_endpoint_attribute_filter(Fields& parameters) {
  constexpr std::array<std::string_view, 2> kOnMissing = {"Pass", "Fail"};
  constexpr std::array<std::string_view, 1> kAlgorithms = {"threshold"};
  constexpr std::array<std::string_view, 6> kOperators = {
      "LessThan", "LessThanOrEqual", "GreaterThan", "GreaterThanOrEqual", "Equal", "NotEqual"};
  AttributeFilter::Parameters p;
  p.attribute = parameters.text("attribute", "");
  p.passes_missing = parameters.choice("onMissing", "Pass", kOnMissing) == "Pass";
  p.falls_back = parameters.boolean("fallbackOnEmpty", false);
  auto algorithm = parameters.object("algorithm");
  algorithm.choice("type", "", kAlgorithms);
  if (!algorithm.has("threshold")) algorithm.fail("threshold", "operator and value are missing");
  auto threshold = algorithm.object("threshold");
  const auto* op = std::ranges::find(kOperators, threshold.choice("operator", "", kOperators));
  p.op = static_cast<AttributeFilter::Operator>(op - kOperators.begin());
  p.value = threshold.number("value", 0);
  algorithm.take_error(threshold);
  parameters.take_error(algorithm);
  Plugin plugin;
  bind_to_extractor(parameters, "attribute", p.attribute, plugin);
  plugin.filter = std::make_unique<AttributeFilter>(std::move(p));
  return plugin;
}

Plugin make_endpoint_attribute_scorer(Fields& parameters) {
  constexpr std::array<std::string_view, 2> kAlgorithms = {"linear_lower_is_better",
                                                           "linear_higher_is_better"};
  AttributeScorer::Parameters p;
  p.attribute = parameters.text("attributeKey", "");
  auto algorithm = parameters.object("algorithm");
  p.lower_is_better = algorithm.choice("type", "", kAlgorithms) == kAlgorithms[0];
  auto normalization = algorithm.object("normalization");
  if (normalization.has("fixedRange") && normalization.has("adaptiveRange")) {
    normalization.fail("fixedRange", "fixedRange and adaptiveRange exclude each other");
  }
  if (normalization.has("fixedRange")) {
    auto fixed = normalization.object("fixedRange");
    p.fixed =
        AttributeScorer::Range{.least = fixed.number("min", 0), .most = fixed.number("max", 0)};
    if (p.fixed->least >= p.fixed->most) fixed.fail("max", "max must be above min");
    normalization.take_error(fixed);
  }
  auto adaptive = normalization.object("adaptiveRange");
  normalization.take_error(adaptive);
  algorithm.take_error(normalization);
  parameters.take_error(algorithm);
  Plugin plugin;
  bind_to_extractor(parameters, "attributeKey", p.attribute, plugin);
  plugin.scorer = std::make_unique<AttributeScorer>(std::move(p));
  return plugin;
}

}  // namespace baton::schedule
