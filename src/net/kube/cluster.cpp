#include "net/kube/cluster.hpp"

#include <fmt/format.h>

namespace baton::kube {

std::string to_string(const ObjectKey& key) {
  std::string out = key.type.api_version() + " " + key.type.kind + " ";
  if (!key.ns.empty()) out += key.ns + "/";
  return out + key.name;
}

Type type_of(const Object& object) {
  std::string_view api_version = object.string_at({"apiVersion"});
  std::string_view group;
  if (auto slash = api_version.find('/'); slash != std::string_view::npos) {
    group = api_version.substr(0, slash);
    api_version.remove_prefix(slash + 1);
  }
  return {std::string(group), std::string(api_version), std::string(object.string_at({"kind"}))};
}

Result<ObjectKey> key_of(const Object& object) {
  if (!object.is_object()) {
    return invalid(fmt::format("expected an object, got {}", object.kind_name()));
  }
  if (object.string_at({"apiVersion"}).empty()) return invalid("/apiVersion: missing");
  if (object.string_at({"kind"}).empty()) return invalid("/kind: missing");
  if (object.string_at({"metadata", "name"}).empty()) return invalid("/metadata/name: missing");
  return ObjectKey{type_of(object), std::string(object.string_at({"metadata", "namespace"})),
                   std::string(object.string_at({"metadata", "name"}))};
}

bool matches(const LabelSelector& selector, const Object& object) {
  for (const auto& [label, value] : selector) {
    const auto* found = object.find_path({"metadata", "labels", label});
    const std::string* text = found == nullptr ? nullptr : found->if_string();
    if (text == nullptr || *text != value) return false;
  }
  return true;
}

Result<Object> Cluster::apply(const Object& object, const ApplyAs&, Deadline) {
  return unsupported(
      fmt::format("server-side apply of {} is not possible here", object.string_at({"kind"})));
}

Result<ServerVersion> Cluster::server_version(Deadline) {
  return unsupported("the store has no version");
}

Result<Object> Cluster::create_subresource(const ObjectKey& key, std::string_view subresource,
                                           const Object&, Deadline) {
  return unsupported(fmt::format("{}: no subresource '{}' here", to_string(key), subresource));
}

}  // namespace baton::kube
