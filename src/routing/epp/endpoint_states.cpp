#include "routing/epp/endpoint_states.hpp"

#include "net/http/message.hpp"

namespace baton::epp {
namespace {

using text::json::Array;
using text::json::Value;

Value list(const std::vector<std::string>& names) {
  Value out{Array()};
  for (const auto& name : names) out.push_back(name);
  return out;
}

void describe(const schedule::Load& load, Mono now, Value& into) {
  if (load.models != nullptr) into["models"] = list(*load.models);
  if (load.updated == Mono::min()) return;
  into["age_ms"] = millis(now - load.updated);
  into["waiting"] = static_cast<double>(load.waiting);
  into["running"] = static_cast<double>(load.running);
  into["kv_usage"] = static_cast<double>(load.kv_usage);
  if (load.adapters != nullptr) into["adapters"] = list(load.adapters->active);
  if (load.attributes == nullptr) return;
  for (const auto& [name, value] : load.attributes->values) into["attributes"][name] = value;
}

}  // namespace

Value endpoint_states(const schedule::Snapshot& snapshot, Mono now) {
  Value out;
  out["endpoints"] = Array();
  for (std::size_t i = 0; i < snapshot.size(); ++i) {
    const auto& endpoint = (*snapshot.endpoints)[i];
    Value one;
    one["id"] = endpoint.qualified_id();
    one["address"] = http::to_string({endpoint.host, endpoint.port});
    for (const auto& [key, value] : endpoint.labels) one["labels"][key] = value;
    one["in_flight"] = snapshot.reserved(i);
    describe(snapshot.loads[i], now, one);
    out["endpoints"].push_back(std::move(one));
  }
  return out;
}

}  // namespace baton::epp
