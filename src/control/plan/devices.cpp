// Devices by dynamic resource allocation, asked for with annotations. Controller reference 4.14.

#include <fmt/format.h>

#include <charconv>
#include <sstream>

#include "base/core/trim.hpp"
#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::string_view kClaim = "managed-device";

std::string annotation(const Build& build, std::string_view suffix) {
  const std::string key = fmt::format("serving.kserve.io/exp-dra-{}", suffix);
  return std::string(build.service.string_at({"metadata", "annotations", key}));
}

std::string template_name(const Build& build) { return build.child("-managed-dra"); }

// Validation has seen that it is a number of at least 1.
std::int64_t device_count(const Build& build) {
  const std::string text = annotation(build, "device-count");
  const std::string_view digits = trim(text, " \t\r\n");
  std::int64_t count = 1;
  std::from_chars(digits.data(), digits.data() + digits.size(), count);
  return count;
}

Array selectors(const Build& build) {
  Array out;
  std::istringstream lines(annotation(build, "cel-selector"));
  for (std::string line; std::getline(lines, line);) {
    if (trim(line, " \t\r\n").empty()) continue;
    out.push_back(Object{{"cel", Object{{"expression", trim(line, " \t\r\n")}}}});
  }
  return out;
}

}  // namespace

void add_device_template(Build& build) {
  const std::string device_class = annotation(build, "device-class");
  if (trim(device_class, " \t\r\n").empty()) return;
  Object exactly{{"deviceClassName", trim(device_class, " \t\r\n")}};
  if (const std::int64_t count = device_count(build); count > 1) exactly.set("count", count);
  if (Array cel = selectors(build); !cel.empty()) exactly.set("selectors", std::move(cel));
  Value out = object("resource.k8s.io/v1", "ResourceClaimTemplate", build.ns, template_name(build),
                     component_labels(build.name, "llminferenceservice-workload"));
  const Object request{{"name", "device"}, {"exactly", std::move(exactly)}};
  out["spec"]["spec"]["devices"]["requests"] = Array{request};
  build.add(std::move(out));
}

void claim_devices(Build& build, const PodPlace& place, Value& pod) {
  if (trim(annotation(build, "device-class"), " \t\r\n").empty()) return;
  add_named(pod["resourceClaims"],
            Object{{"name", kClaim}, {"resourceClaimTemplateName", template_name(build)}});
  const std::string text = annotation(build, "container-name");
  const std::string_view wanted = trim(text, " \t\r\n");
  Value* containers = pod.find("containers");
  Value* target = nullptr;
  if (!wanted.empty()) {
    target = named(containers, wanted);
  } else if (containers != nullptr && containers->is_array() && !containers->if_array()->empty()) {
    target = &containers->if_array()->front();
  }
  if (target != nullptr) {
    add_named((*target)["resources"]["claims"], Object{{"name", kClaim}});
  } else if (!wanted.empty()) {
    build.warn("/metadata/annotations/serving.kserve.io~1exp-dra-container-name",
               fmt::format("{} has no container '{}': its pods claim a device that none of them "
                           "uses",
                           place.pointer(), wanted));
  }
}

}  // namespace baton::plan
