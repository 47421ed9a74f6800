#pragma once
// What the pool's InferenceObjectives and InferenceModelRewrites say about a request.

#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/random.hpp"
#include "routing/schedule/objectives.hpp"

namespace baton::epp {

// Thread-safe. Without objects every priority is 0 and no model is rewritten.
class Rules {
 public:
  explicit Rules(schedule::PoolRef pool)
      : pool_(std::move(pool)), objectives_(pool_), rewrites_(pool_) {}

  // All objects of that kind as they are now; unusable ones are logged and left out.
  void set_objectives(const std::vector<text::json::Value>& objects);
  void set_rewrites(const std::vector<text::json::Value>& objects);

  // 0 for an unknown name, and for none.
  std::int32_t priority(std::string_view objective) const;
  std::vector<std::int32_t> priorities() const;
  std::optional<schedule::ModelRewrites::Rewritten> rewrite(std::string_view model,
                                                            Random& random) const;
  std::set<std::string> models() const;  // that rewrites name

 private:
  const schedule::PoolRef pool_;
  mutable std::mutex mutex_;  // guards the rest
  schedule::Objectives objectives_;
  schedule::ModelRewrites rewrites_;
};

}  // namespace baton::epp
