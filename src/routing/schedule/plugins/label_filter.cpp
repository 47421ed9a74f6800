// Filters by label: a Kubernetes label selector, and the older list of values.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

enum class Operator : std::uint8_t { kIn, kNotIn, kExists, kDoesNotExist };
constexpr std::array<std::string_view, 4> kOperators = {"In", "NotIn", "Exists", "DoesNotExist"};

struct Requirement {
  std::string key;
  Operator op = Operator::kIn;
  std::vector<std::string> values;

  bool met(const Endpoint& endpoint) const {
    const auto it = endpoint.labels.find(key);
    const bool there = it != endpoint.labels.end();
    const bool among = there && std::ranges::find(values, it->second) != values.end();
    switch (op) {
      case Operator::kIn:
        return among;
      case Operator::kNotIn:
        return !among;  // also without the label, as Kubernetes has it
      case Operator::kExists:
        return there;
      case Operator::kDoesNotExist:
        return !there;
    }
    return false;
  }
};

class SelectorFilter final : public Filter {
 public:
  explicit SelectorFilter(std::vector<Requirement> all) : all_(std::move(all)) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    std::erase_if(candidates, [&](Index i) {
      const auto& endpoint = (*context.snapshot.endpoints)[i];
      return !std::ranges::all_of(all_, [&](const auto& one) { return one.met(endpoint); });
    });
  }

 private:
  std::vector<Requirement> all_;
};

enum class Unlabelled : bool { kDrop, kKeep };

class ValuesFilter final : public Filter {
 public:
  ValuesFilter(std::string label, std::vector<std::string> values, Unlabelled unlabelled)
      : label_(std::move(label)), values_(std::move(values)), unlabelled_(unlabelled) {}
  void keep(const Context& context, std::vector<Index>& candidates) const override {
    std::erase_if(candidates, [&](Index i) {
      const auto& labels = (*context.snapshot.endpoints)[i].labels;
      const auto it = labels.find(label_);
      if (it == labels.end()) return unlabelled_ == Unlabelled::kDrop;
      return std::ranges::find(values_, it->second) == values_.end();
    });
  }

 private:
  std::string label_;
  std::vector<std::string> values_;
  Unlabelled unlabelled_;
};

void read_labels(Fields& parameters, std::vector<Requirement>& into) {
  const auto* labels = parameters.any("matchLabels");
  if (labels == nullptr || labels->is_null()) return;
  const auto* object = labels->if_object();
  if (object == nullptr) return parameters.fail("matchLabels", "expected an object");
  for (const auto& [key, value] : *object) {
    const auto* text = value.if_string();
    if (text == nullptr) return parameters.fail("matchLabels", "label values are strings");
    into.push_back({key, Operator::kIn, {*text}});
  }
}

void read_expressions(Fields& parameters, std::vector<Requirement>& into) {
  const auto& items = parameters.array("matchExpressions");
  const auto at = parameters.pointer() + "/matchExpressions";
  for (std::size_t i = 0; i < items.size(); ++i) {
    Fields fields(items[i], text::json::pointer(at, i));
    Requirement one;
    one.key = fields.text("key", "");
    const auto op = fields.choice("operator", "", kOperators);
    one.op = static_cast<Operator>(std::ranges::find(kOperators, op) - kOperators.begin());
    one.values = fields.texts("values");
    const bool listed = one.op == Operator::kIn || one.op == Operator::kNotIn;
    if (one.key.empty()) fields.fail("key", "a label name is missing");
    if (listed == one.values.empty()) {
      fields.fail("values", listed ? "In and NotIn need values" : "Exists takes no values");
    }
    parameters.take_error(fields);
    into.push_back(std::move(one));
  }
}

}  // namespace

// A LabelSelector; the empty one keeps all.
Plugin make_label_selector_filter(Fields& parameters) {
  std::vector<Requirement> all;
  read_labels(parameters, all);
  read_expressions(parameters, all);
  return {.filter = std::make_unique<SelectorFilter>(std::move(all))};
}

Plugin make_by_label(Fields& parameters) {
  auto label = parameters.text("label", "");
  auto values = parameters.texts("validValues");
  const bool unlabelled = parameters.boolean("allowsNoLabel", false);
  if (label.empty()) parameters.fail("label", "a label name is missing");
  if (values.empty() && !unlabelled) {
    parameters.fail("validValues", "neither values nor allowsNoLabel: no pod could pass");
  }
  return {.filter =
              std::make_unique<ValuesFilter>(std::move(label), std::move(values),
                                             unlabelled ? Unlabelled::kKeep : Unlabelled::kDrop)};
}

}  // namespace baton::schedule
