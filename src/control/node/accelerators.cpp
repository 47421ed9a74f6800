#include "control/node/accelerators.hpp"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <sstream>

#include "formats/api/resource_name.hpp"

namespace baton::node {

namespace {

constexpr std::string_view kGpu = "nvidia.com/gpu";

std::int64_t count_of(const text::json::Value& quantity) {
  if (const auto number = quantity.if_int()) return *number;
  std::int64_t number = 0;
  if (const auto* text = quantity.if_string()) {
    std::from_chars(text->data(), text->data() + text->size(), number);
  }
  return number;
}

// Limits and requests of an extended resource are equal; either may be left out.
void add_resources(std::map<std::string, std::int64_t>& sum, const kube::Object& container) {
  std::map<std::string, std::int64_t> own;
  for (const auto* kind : {"requests", "limits"}) {
    const auto* list = container.find_path({"resources", kind});
    if (list == nullptr || list->if_object() == nullptr) continue;
    for (const auto& entry : *list->if_object()) {
      if (api::is_extended_resource(entry.key)) own[entry.key] = count_of(entry.value);
    }
  }
  for (const auto& [resource, count] : own) sum[resource] += count;
}

}  // namespace

std::map<std::string, std::int64_t> extended_resources(const kube::Object& pod) {
  std::map<std::string, std::int64_t> out;
  for (const auto* member : {"initContainers", "containers"}) {
    const auto* list = pod.find_path({"spec", member});
    if (list == nullptr || list->if_array() == nullptr) continue;
    for (const auto& container : *list->if_array()) add_resources(out, container);
  }
  return out;
}

Accelerators::Accelerators(int gpus, Emulate emulate) : total_(gpus), emulate_(emulate) {
  for (int i = 0; i < gpus; ++i) free_.insert(i);
}

Result<std::string> Accelerators::take(const kube::Object& pod) {
  if (emulate_ == Emulate::kYes) return std::string();
  std::int64_t wanted = 0;
  for (const auto& [resource, count] : extended_resources(pod)) {
    if (count <= 0) continue;
    const std::int64_t present = resource == kGpu ? static_cast<std::int64_t>(free_.size()) : 0;
    if (count > present) {
      return exhausted(fmt::format(
          "insufficient {}: {} wanted, {} free of {} on this machine; --stand-in storyteller "
          "emulates accelerators",
          resource, count, present, resource == kGpu ? total_ : 0));
    }
    if (resource == kGpu) wanted = count;
  }
  std::string out;
  for (; wanted > 0; --wanted) {
    if (!out.empty()) out += ',';
    out += std::to_string(*free_.begin());
    free_.erase(free_.begin());
  }
  return out;
}

void Accelerators::give_back(const std::string& indices) {
  std::istringstream list(indices);
  std::string index;
  while (std::getline(list, index, ',')) free_.insert(std::stoi(index));
}

int count_gpus() {
  std::error_code ignored;
  int count = 0;
  for (std::filesystem::directory_iterator at("/proc/driver/nvidia/gpus", ignored), end; at != end;
       at.increment(ignored)) {
    ++count;
  }
  return count;
}

}  // namespace baton::node
