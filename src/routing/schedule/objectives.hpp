#pragma once
// What InferenceObjective and InferenceModelRewrite objects say about a request (picker reference
// 5.4, 5.5). Pure: the objects as JSON in, answers out.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::schedule {

struct PoolRef {
  std::string group = "inference.networking.k8s.io", name;
};

// Objectives of one pool by name. Higher is more important; below 0 may be shed.
class Objectives {
 public:
  explicit Objectives(PoolRef pool) : pool_(std::move(pool)) {}
  // An object that came or changed; one of another pool is forgotten. kInvalid: not usable, and
  // forgotten.
  Status set(const text::json::Value& object);
  void erase(std::string_view name) {
    std::erase_if(by_name_, [&](const auto& e) { return e.first == name; });
  }
  // 0 for an unknown name.
  std::int32_t priority(std::string_view name) const;
  std::vector<std::int32_t> priorities() const;  // distinct, ascending

 private:
  PoolRef pool_;
  std::map<std::string, std::int32_t, std::less<>> by_name_;
};

// Rewrites of one pool. Exact rules before generic ones, then the oldest object, then the first
// rule.
class ModelRewrites {
 public:
  explicit ModelRewrites(PoolRef pool) : pool_(std::move(pool)) {}
  Status set(const text::json::Value& object);
  void erase(std::string_view name);
  // The model to ask the engine for; nullopt: no rule applies. `model` is empty when the request
  // names none: generic rules still apply.
  struct Rewritten {
    std::string model, by;  // the object's name
  };
  std::optional<Rewritten> rewrite(std::string_view model, Random& random) const;
  // Every model that rules name: matched and written.
  std::set<std::string> models() const;

 private:
  struct Target {
    std::string model;
    std::optional<std::int64_t> weight;
  };
  struct Rule {
    std::vector<std::string> matches;  // empty: generic
    std::vector<Target> targets;
  };
  struct Object {
    std::string name, created;  // RFC 3339 in UTC: text order is time order
    std::vector<Rule> rules;
  };
  static const std::string& choose(const Rule& rule, Random& random);
  static Result<Rule> read_rule(const text::json::Value& value, std::string pointer);

  PoolRef pool_;
  std::vector<Object> objects_;  // oldest first, then by name
};

}  // namespace baton::schedule
