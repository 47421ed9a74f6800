#include "formats/api/local_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

struct Found {
  std::string_view name;
  std::string_view ns;  // "" for one of the cluster's
  std::string_view source;
  std::string_view node_group;
};

bool holds(std::string_view source, std::string_view uri) {
  while (source.ends_with('/')) source.remove_suffix(1);
  return !source.empty() && uri.starts_with(source) &&
         (uri.size() == source.size() || uri[source.size()] == '/');
}

// The node group to take: the wanted one if the cache has it, else, when none is wanted, the first.
std::string_view node_group(const Value& cache, std::string_view wanted) {
  const Value* groups = cache.find_path({"spec", "nodeGroups"});
  if (groups == nullptr || !groups->is_array()) return "";
  for (const Value& group : *groups->if_array()) {
    const std::string* name = group.if_string();
    if (name != nullptr && (wanted.empty() || *name == wanted)) return *name;
  }
  return "";
}

bool look(std::span<const Value> caches, std::string_view uri, std::string_view wanted,
          Found& found) {
  for (const Value& cache : caches) {
    const std::string_view source = cache.string_at({"spec", "sourceModelUri"});
    const std::string_view group = node_group(cache, wanted);
    if (group.empty() || !holds(source, uri)) continue;
    found = {cache.string_at({"metadata", "name"}), cache.string_at({"metadata", "namespace"}),
             source, group};
    return true;
  }
  return false;
}

// Sets the member of metadata.<map>, or removes it when the value is empty.
void put(Value& service, std::string_view map, std::string_view key, std::string_view value) {
  Value& metadata = service["metadata"];
  if (!metadata.is_object()) metadata = Object();
  Value* members = metadata.find(map);
  if (value.empty()) {
    if (members != nullptr && members->is_object()) members->if_object()->erase(key);
    return;
  }
  Value& all = metadata[map];
  if (!all.is_object()) all = Object();
  all[key] = value;
}

}  // namespace

void set_local_model(Value& service, const LocalModelCaches& caches) {
  if (!service.is_object()) return;
  const auto annotation = [&](std::string_view key) {
    return std::string(service.string_at({"metadata", "annotations", key}));
  };
  const std::string uri(service.string_at({"spec", "model", "uri"}));
  const std::string wanted = annotation(kNodeGroup);
  const std::string opt_out = annotation(kNoLocalModel);
  Found found;
  const bool wants = opt_out.empty() || opt_out == "false";
  const bool is_there = wants && (look(caches.of_namespace, uri, wanted, found) ||
                                  look(caches.of_cluster, uri, wanted, found));
  put(service, "labels", kLocalModel, found.name);
  put(service, "labels", kLocalModelNamespace, found.ns);
  put(service, "annotations", kLocalModelSource, found.source);
  put(service, "annotations", kLocalModelClaim,
      is_there ? fmt::format("{}-{}", found.name, found.node_group) : "");
}

}  // namespace baton::api
