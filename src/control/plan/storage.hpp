#pragma once
// The model of the service, brought to a container of a pod: downloaded before it starts, mounted,
// or linked out of an image.

#include <string>
#include <string_view>

#include "control/plan/accounts.hpp"
#include "control/plan/build.hpp"

namespace baton::plan {

struct ModelTarget {
  std::string_view container = "main";
  std::string path = "/mnt/models";  // where the container finds it
  std::string pointer = {};          // of the pod spec in the service, for warnings
  Account account = {};              // of the pod: its Secrets are what it fetches with
  const Value* live = nullptr;       // the pod spec as the cluster has it
  bool with_adapters = false;        // spec.model.lora too, with their flags
  bool with_tiers = false;           // KV tiers will be mounted in /mnt
  bool only_tokenizer = false;       // of the model only the files of its tokenizer
};

// Nothing when the pod has no such container, or storageInitializer.enabled is false.
Status attach_model(Build& build, const ModelTarget& target, Value& pod);

}  // namespace baton::plan
