#include "routing/schedule/objectives.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "routing/schedule/fields.hpp"

namespace baton::schedule {
namespace {

using text::json::Value;

constexpr std::int64_t kMostWeight = 1'000'000'000;
constexpr std::size_t kMostTargets = 1024;

// The group may be left out. An object that is being deleted is as good as gone.
bool refers_to(const Value& object, const PoolRef& pool) {
  if (!object.string_at({"metadata", "deletionTimestamp"}).empty()) return false;
  const auto group = object.string_at({"spec", "poolRef", "group"});
  return object.string_at({"spec", "poolRef", "name"}) == pool.name &&
         (group.empty() || group == pool.group);
}

}  // namespace

Status Objectives::set(const Value& object) {
  const auto name = object.string_at({"metadata", "name"});
  erase(name);
  if (!refers_to(object, pool_)) return {};
  std::int32_t priority = 0;
  if (const auto* given = object.find_path({"spec", "priority"});
      given != nullptr && !given->is_null()) {
    const auto number = given->is_number() ? given->if_int() : std::nullopt;
    if (!number || *number < INT32_MIN || *number > INT32_MAX) {
      return invalid(
          fmt::format("InferenceObjective {}: /spec/priority: expected a 32 bit integer", name));
    }
    priority = static_cast<std::int32_t>(*number);
  }
  by_name_.insert_or_assign(std::string(name), priority);
  return {};
}

std::int32_t Objectives::priority(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? 0 : it->second;
}

std::vector<std::int32_t> Objectives::priorities() const {
  std::set<std::int32_t> distinct;
  for (const auto& [name, priority] : by_name_) distinct.insert(priority);
  return {distinct.begin(), distinct.end()};
}

Result<ModelRewrites::Rule> ModelRewrites::read_rule(const Value& value, std::string pointer) {
  Rule rule;
  Fields fields(value, std::move(pointer));
  for (const auto& match : fields.array("matches")) {
    const auto type = match.string_at({"model", "type"});
    if (!type.empty() && type != "Exact") fields.fail("matches", "only type Exact is known");
    rule.matches.emplace_back(match.string_at({"model", "value"}));
    if (rule.matches.back().empty()) fields.fail("matches", "a model is missing");
  }
  for (const auto& item : fields.array("targets")) {
    Target target{.model = std::string(item.string_at({"modelRewrite"})), .weight = {}};
    if (target.model.empty()) fields.fail("targets", "modelRewrite is missing");
    if (const auto* weight = item.find("weight"); weight != nullptr && !weight->is_null()) {
      target.weight = weight->is_number() ? weight->if_int() : std::nullopt;
      if (!target.weight || *target.weight < 0 || *target.weight > kMostWeight) {
        fields.fail("targets", "a weight is an integer, 0 or more");
      }
    }
    rule.targets.push_back(std::move(target));
  }
  if (rule.targets.empty()) fields.fail("targets", "a rule needs a target");
  if (rule.targets.size() > kMostTargets) fields.fail("targets", "too many targets");
  BATON_TRY(fields.finish());
  return rule;
}

Status ModelRewrites::set(const Value& object) {
  const auto name = object.string_at({"metadata", "name"});
  erase(name);
  if (!refers_to(object, pool_)) return {};
  Object made{.name = std::string(name),
              .created = std::string(object.string_at({"metadata", "creationTimestamp"})),
              .rules = {}};
  if (const auto* rules = object.find_path({"spec", "rules"}); rules != nullptr) {
    const auto* items = rules->if_array();
    if (items == nullptr) return invalid("/spec/rules: expected a list");
    for (std::size_t i = 0; i < items->size(); ++i) {
      auto rule = read_rule((*items)[i], text::json::pointer("/spec/rules", i));
      if (!rule) return std::move(rule).error().with(fmt::format("InferenceModelRewrite {}", name));
      made.rules.push_back(*std::move(rule));
    }
  }
  objects_.push_back(std::move(made));
  std::ranges::sort(objects_, {}, [](const Object& o) { return std::tie(o.created, o.name); });
  return {};
}

void ModelRewrites::erase(std::string_view name) {
  std::erase_if(objects_, [&](const Object& o) { return o.name == name; });
}

std::optional<ModelRewrites::Rewritten> ModelRewrites::rewrite(std::string_view model,
                                                               Random& random) const {
  const Rule* generic = nullptr;
  std::string_view by;
  for (const auto& object : objects_) {
    for (const auto& rule : object.rules) {
      const auto& matches = rule.matches;
      if (std::ranges::find(matches, model) != matches.end()) {
        return Rewritten{.model = choose(rule, random), .by = object.name};
      }
      if (!matches.empty() || generic != nullptr) continue;
      generic = &rule;
      by = object.name;
    }
  }
  if (generic == nullptr) return std::nullopt;
  return Rewritten{.model = choose(*generic, random), .by = std::string(by)};
}

// By weight. Without any weight, or with none above 0: each alike.
const std::string& ModelRewrites::choose(const Rule& rule, Random& random) {
  std::int64_t total = 0;
  for (const auto& target : rule.targets) total += target.weight.value_or(0);
  if (total == 0) return rule.targets[random.below(rule.targets.size())].model;
  auto drawn = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(total)));
  for (const auto& target : rule.targets) {
    drawn -= target.weight.value_or(0);
    if (drawn < 0) return target.model;
  }
  return rule.targets.back().model;
}

std::set<std::string> ModelRewrites::models() const {
  std::set<std::string> out;
  for (const auto& object : objects_) {
    for (const auto& rule : object.rules) {
      out.insert(rule.matches.begin(), rule.matches.end());
      for (const auto& target : rule.targets) out.insert(target.model);
    }
  }
  return out;
}

}  // namespace baton::schedule
