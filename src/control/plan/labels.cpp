#include "control/plan/labels.hpp"

namespace baton::plan {

using text::json::Object;

bool is_selected(std::string_view key) {
  return key == kComponent || key == kName || key == kPartOf || key == kWorkload;
}

Value component_labels(std::string_view service, std::string_view component) {
  Object out;
  out.set(kComponent, component);
  out.set(kName, service);
  out.set(kPartOf, "llminferenceservice");
  return out;
}

Value workload_selector(std::string_view service) {
  Object out;
  out.set(kName, service);
  out.set(kPartOf, "llminferenceservice");
  out.set(kWorkload, "workload");
  return out;
}

Value front_selector(std::string_view service, Split split) {
  Value out = workload_selector(service);
  out[kRole] = split == Split::kYes ? "decode" : "both";
  return out;
}

}  // namespace baton::plan
