#include "routing/epp/plugin_states.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace baton::epp {
namespace {

using text::json::Value;

std::string timestamp(Wall now) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(now);
  const auto nanos = std::chrono::duration_cast<Nanos>(now - whole).count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:09}Z", whole, nanos);
}

// Name and type of every plugin, listed or created.
std::vector<std::pair<std::string, std::string>> plugins_of(const schedule::Setup& setup) {
  std::vector<std::pair<std::string, std::string>> out;
  std::string type;
  for (const auto& setting : setup.effective) {
    const auto& pointer = setting.pointer;
    if (!pointer.starts_with("/plugins/")) continue;
    const auto* value = setting.value.if_string();
    const auto part = std::string_view(pointer).substr(pointer.rfind('/') + 1);
    const bool own = std::ranges::count(pointer, '/') == 3;  // not of its parameters
    if (value == nullptr) continue;
    if (own && part == "type") type = *value;
    if (own && part == "name") out.emplace_back(*value, type);
    if (part == "-") out.emplace_back(*value, *value);
  }
  return out;
}

// The first endpoints, each with what `told` says of it.
template <class Told>
Value by_endpoint(const schedule::Snapshot& snapshot, const Told& told) {
  Value out;
  out["endpoints"] = text::json::Object();
  for (std::size_t i = 0; i < std::min(snapshot.size(), kMostShown); ++i) {
    out["endpoints"][(*snapshot.endpoints)[i].qualified_id()] = told(i);
  }
  out["totalEndpoints"] = snapshot.size();
  out["maxEndpoints"] = kMostShown;
  out["truncated"] = snapshot.size() > kMostShown;
  return out;
}

}  // namespace

Value plugin_states(const schedule::Setup& setup, const schedule::Snapshot& snapshot,
                    std::span<const std::size_t> blocks, Wall now) {
  Value out;
  out["timestamp"] = timestamp(now);
  out["plugins"] = text::json::Object();
  for (const auto& [name, type] : plugins_of(setup)) {
    Value one;
    one["name"] = name;
    one["type"] = type;
    const auto producer = std::ranges::find(setup.producers, name, &schedule::Producer::name);
    const bool produces = producer != setup.producers.end();
    if (produces && producer->data == schedule::Data::kPrefixMatch) {
      one["state"]["totalBlocks"] = blocks[producer->view];
    } else if (produces && producer->data == schedule::Data::kInFlight) {
      one["state"] = by_endpoint(snapshot, [&](std::size_t i) {
        Value load;
        load["requests"] = snapshot.reserved(i);
        load["tokens"] = snapshot.tokens(i);
        return load;
      });
    } else {
      one["message"] = "plugin does not support state collection";
    }
    out["plugins"][name] = std::move(one);
  }
  return out;
}

}  // namespace baton::epp
