#include "routing/epp/rules.hpp"

#include <utility>

#include "base/core/log.hpp"

namespace baton::epp {
namespace {

template <class Store>
Store read_all(const schedule::PoolRef& pool, const std::vector<text::json::Value>& objects,
               std::string_view kind) {
  Store out(pool);
  for (const auto& object : objects) {
    const auto taken = out.set(object);
    if (taken) continue;
    log::warn("an object is passed over", {{"kind", kind},
                                           {"name", object.string_at({"metadata", "name"})},
                                           {"why", taken.error().message()}});
  }
  return out;
}

}  // namespace

void Rules::set_objectives(const std::vector<text::json::Value>& objects) {
  auto next = read_all<schedule::Objectives>(pool_, objects, "InferenceObjective");
  const std::lock_guard lock(mutex_);
  objectives_ = std::move(next);
}

void Rules::set_rewrites(const std::vector<text::json::Value>& objects) {
  auto next = read_all<schedule::ModelRewrites>(pool_, objects, "InferenceModelRewrite");
  const std::lock_guard lock(mutex_);
  rewrites_ = std::move(next);
}

std::int32_t Rules::priority(std::string_view objective) const {
  if (objective.empty()) return 0;
  const std::lock_guard lock(mutex_);
  return objectives_.priority(objective);
}

std::vector<std::int32_t> Rules::priorities() const {
  const std::lock_guard lock(mutex_);
  return objectives_.priorities();
}

std::optional<schedule::ModelRewrites::Rewritten> Rules::rewrite(std::string_view model,
                                                                 Random& random) const {
  const std::lock_guard lock(mutex_);
  return rewrites_.rewrite(model, random);
}

std::set<std::string> Rules::models() const {
  const std::lock_guard lock(mutex_);
  return rewrites_.models();
}

}  // namespace baton::epp
