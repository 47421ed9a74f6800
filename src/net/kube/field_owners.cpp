#include "net/kube/field_owners.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

namespace baton::kube {

namespace {

// Members that name the object or are the server's.
constexpr std::array<std::string_view, 3> kUnownedRoots{"apiVersion", "kind", "status"};
constexpr std::array<std::string_view, 9> kUnownedMetadata{
    "name",          "namespace",         "uid",
    "generation",    "creationTimestamp", "resourceVersion",
    "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds"};

template <std::size_t N>
bool among(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

using Leaves = std::map<std::string, const Object*>;

void collect(const Object& value, const std::string& path, Leaves& into) {
  const auto* members = value.if_object();
  if (members == nullptr || members->empty()) {
    if (!path.empty()) into[path] = &value;
    return;
  }
  for (const auto& member : *members) {
    if (path.empty() && among(kUnownedRoots, member.key)) continue;
    if (path == ".metadata" && among(kUnownedMetadata, member.key)) continue;
    collect(member.value, path + "." + member.key, into);
  }
}

// What each field of the object holds.
Leaves leaves_of(const Object& object) {
  Leaves out;
  collect(object, "", out);
  out.erase(".metadata");  // when nothing in it is owned
  return out;
}

void merge(Object& into, const Object& from, const std::string& path) {
  const auto* members = from.if_object();
  if (members == nullptr || !into.is_object()) {
    into = from;
    return;
  }
  for (const auto& member : *members) {
    if (path.empty() && among(kUnownedRoots, member.key)) continue;
    if (path == ".metadata" && among(kUnownedMetadata, member.key)) continue;
    merge(into[member.key], member.value, path + "." + member.key);
  }
}

// Removes the field, and objects that are empty without it.
void prune(Object& value, const std::string& path, const std::string& field) {
  auto* members = value.if_object();
  if (members == nullptr) return;
  for (auto& member : *members) {
    const std::string here = path + "." + member.key;
    if (here == field) {
      members->erase(member.key);
      return;
    }
    if (!field.starts_with(here + ".")) continue;
    prune(member.value, here, field);
    if (member.value.is_object() && member.value.if_object()->empty()) {
      members->erase(member.key);
    }
    return;
  }
}

}  // namespace

void FieldOwners::created(const Object& object, const std::string& manager) {
  auto& fields = fields_[manager];
  for (const auto& [path, value] : leaves_of(object)) fields.insert(path);
}

void FieldOwners::updated(const Object& before, const Object& after) {
  const Leaves old = leaves_of(before);
  const Leaves now = leaves_of(after);
  for (const auto& [path, value] : now) {
    const auto was = old.find(path);
    if (was != old.end() && *was->second == *value) continue;
    for (auto& [manager, fields] : fields_) fields.erase(path);
    fields_[kUpdater].insert(path);
  }
  for (const auto& [path, value] : old) {
    if (now.contains(path)) continue;
    for (auto& [manager, fields] : fields_) fields.erase(path);
  }
}

Result<Object> FieldOwners::apply(const Object& live, const Object& wanted, const ApplyAs& as) {
  const Leaves now = leaves_of(live);
  const Leaves next = leaves_of(wanted);
  std::string conflicts;
  std::vector<std::pair<std::string, std::string>> taken;  // manager, field
  for (const auto& [path, value] : next) {
    const auto was = now.find(path);
    if (was != now.end() && *was->second == *value) continue;  // shared from now on
    for (const auto& [manager, fields] : fields_) {
      if (manager == as.manager || !fields.contains(path)) continue;
      taken.emplace_back(manager, path);
      conflicts +=
          fmt::format("{}conflict with \"{}\": {}", conflicts.empty() ? "" : ", ", manager, path);
    }
  }
  if (!taken.empty() && as.force == Force::kNo) return conflict(std::move(conflicts));
  for (const auto& [manager, path] : taken) fields_[manager].erase(path);

  Object merged = live;
  std::set<std::string> mine;
  for (const auto& [path, value] : next) mine.insert(path);
  for (const auto& path : fields_[as.manager]) {
    const bool shared = std::any_of(fields_.begin(), fields_.end(), [&](const auto& other) {
      return other.first != as.manager && other.second.contains(path);
    });
    if (!mine.contains(path) && !shared && now.contains(path)) prune(merged, "", path);
  }
  merge(merged, wanted, "");
  fields_[as.manager] = std::move(mine);
  return merged;
}

}  // namespace baton::kube
