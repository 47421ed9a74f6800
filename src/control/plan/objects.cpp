#include "control/plan/objects.hpp"

#include <algorithm>
#include <cctype>
#include <utility>

#include "control/plan/child_name.hpp"

namespace baton::plan {

using text::json::Array;
using text::json::Object;

std::string name_of(const Value& object) {
  return std::string(object.string_at({"metadata", "name"}));
}

std::string namespace_of(const Value& object) {
  const std::string_view ns = object.string_at({"metadata", "namespace"});
  return std::string(ns.empty() ? "default" : ns);
}

std::string pool_name(const Value& service) {
  const std::string_view ref =
      service.string_at({"spec", "router", "scheduler", "pool", "ref", "name"});
  return ref.empty() ? child_name(name_of(service), "-inference-pool") : std::string(ref);
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  return std::ranges::equal(text, lower, {}, [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
}

const Value* get(const Value& object, std::initializer_list<std::string_view> path) {
  const Value* found = object.find_path(path);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::span<const Value> items(const Value* list) {
  const Array* all = list == nullptr ? nullptr : list->if_array();
  return all == nullptr ? std::span<const Value>() : std::span<const Value>(*all);
}

std::span<Value> items(Value* list) {
  Array* all = list == nullptr ? nullptr : list->if_array();
  return all == nullptr ? std::span<Value>() : std::span<Value>(*all);
}

const Value* named(const Value* list, std::string_view name) {
  const Array* items = list == nullptr ? nullptr : list->if_array();
  if (items == nullptr) return nullptr;
  for (const Value& item : *items) {
    if (item.string_at({"name"}) == name) return &item;
  }
  return nullptr;
}

Value* named(Value* list, std::string_view name) {
  return const_cast<Value*>(named(static_cast<const Value*>(list), name));
}

void add_named(Value& list, Value item) {
  if (!list.is_array()) list = Array();
  if (named(&list, item.string_at({"name"})) == nullptr) list.push_back(std::move(item));
}

Value object(std::string_view api_version, std::string_view kind, std::string_view ns,
             std::string_view name, Value labels) {
  Object metadata{{"name", name}};
  if (!ns.empty()) metadata.set("namespace", ns);
  metadata.set("labels", std::move(labels));
  return Object{{"apiVersion", api_version}, {"kind", kind}, {"metadata", std::move(metadata)}};
}

}  // namespace baton::plan
