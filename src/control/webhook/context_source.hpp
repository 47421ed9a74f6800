#pragma once
// What reviews need to know of the installation, as it is now.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "control/webhook/local_models.hpp"
#include "control/webhook/review.hpp"

namespace baton::webhook {

// Thread-safe. The installation's ConfigMap is read at most every ten seconds; while it cannot be
// read, or is wrong, what was known stays. Model caches are followed once they are switched on.
class ContextSource {
 public:
  struct Config {
    std::string ns = "kserve";
    std::string config_map = "inferenceservice-config";
    plan::Settings settings = {};  // without a ConfigMap
    bool keep_well_known_configs = true;
  };
  using ReadSettings = std::function<Result<plan::Settings>(const kube::Object& config_map)>;

  ContextSource(kube::Cluster& cluster, const Clock& clock, Config config, ReadSettings read);
  Context get();

 private:
  void refresh();
  void follow(bool local_models);

  kube::Cluster& cluster_;
  const Clock& clock_;
  const Config config_;
  const ReadSettings read_;

  std::mutex mutex_;  // guards what follows
  std::optional<Mono> read_at_;
  plan::Settings settings_;
  std::shared_ptr<LocalModels> local_models_;
};

}  // namespace baton::webhook
