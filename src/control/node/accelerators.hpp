#pragma once
// Which pod has which GPU.

#include <map>
#include <set>
#include <string>

#include "base/core/result.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

// Extended resources ("nvidia.com/gpu") a pod asks for, summed over its containers.
std::map<std::string, std::int64_t> extended_resources(const kube::Object& pod);

// Confined to its owner.
class Accelerators {
 public:
  enum class Emulate : bool { kNo, kYes };
  Accelerators(int gpus, Emulate emulate);

  // The indices for CUDA_VISIBLE_DEVICES ("0,3"), "" when none are asked for or all is emulated.
  // kExhausted: not enough; the message is the reason the pod stays Pending.
  Result<std::string> take(const kube::Object& pod);
  void give_back(const std::string& indices);

 private:
  int total_;
  Emulate emulate_;
  std::set<int> free_;
};

// nvidia.com/gpu of this machine, from /proc/driver/nvidia/gpus.
int count_gpus();

}  // namespace baton::node
