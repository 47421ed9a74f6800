#include "control/plan/merge.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

struct KeyedList {
  std::string_view list, key;
};
constexpr KeyedList kKeyedLists[] = {
    {"containers", "name"},
    {"initContainers", "name"},
    {"ephemeralContainers", "name"},
    {"volumes", "name"},
    {"env", "name"},
    {"imagePullSecrets", "name"},
    {"resourceClaims", "name"},
    {"schedulingGates", "name"},
    {"volumeMounts", "mountPath"},
    {"ports", "containerPort"},
    {"volumeDevices", "devicePath"},
    {"hostAliases", "ip"},
    {"topologySpreadConstraints", "topologyKey"},
};

// Documents of their own: replaced as a whole.
constexpr std::string_view kAtomic[] = {"inline"};

std::string_view merge_key(std::string_view list) {
  for (const KeyedList& entry : kKeyedLists) {
    if (entry.list == list) return entry.key;
  }
  return {};
}

bool sets_nothing(const Value& value) {
  if (value.is_null()) return true;
  if (const std::string* text = value.if_string()) return text->empty();
  if (const Array* items = value.if_array()) return items->empty();
  if (const Object* members = value.if_object()) return members->empty();
  return false;
}

// Members of which an object may have only one: the other one of the base gives way.
constexpr std::string_view kEnvSource[] = {"value", "valueFrom"};
constexpr std::string_view kHandler[] = {"httpGet", "exec", "tcpSocket", "grpc", "sleep"};

void drop_rivals(Object& base, const Object& over, std::span<const std::string_view> rivals) {
  const bool decided =
      std::ranges::any_of(rivals, [&](std::string_view key) { return over.find(key) != nullptr; });
  if (!decided) return;
  for (const std::string_view key : rivals) {
    if (over.find(key) == nullptr) base.erase(key);
  }
}

// A volume has one source; everything but its name is one.
void drop_volume_source(Object& base, const Object& over) {
  if (over.size() < 2) return;
  std::vector<std::string> gone;
  for (const auto& [key, value] : base) {
    if (key != "name" && over.find(key) == nullptr) gone.push_back(key);
  }
  for (const std::string& key : gone) base.erase(key);
}

// Bases come by value: what is not replaced is moved on, not copied.
Value merged_as(std::string_view name, Value base, const Value& over);

Object merged_objects(Object out, const Object& over) {
  drop_rivals(out, over, kHandler);
  for (const auto& [key, value] : over) {
    Value* present = out.find(key);
    if (value.is_null()) continue;
    if (present == nullptr) {
      out.append(key, value);
    } else if (!sets_nothing(value)) {
      *present = merged_as(key, std::move(*present), value);
    }
  }
  return out;
}

Value merged_item(std::string_view list, Value base, const Value& over) {
  Object& cleared = *base.if_object();
  if (list == "env") drop_rivals(cleared, *over.if_object(), kEnvSource);
  if (list == "volumes") drop_volume_source(cleared, *over.if_object());
  return merged_objects(std::move(cleared), *over.if_object());
}

constexpr std::size_t kNowhere = std::string_view::npos;

// The place of the item with the same key.
std::size_t place(const Array& items, const Value& item, std::string_view key) {
  const Value* wanted = item.find(key);
  for (std::size_t i = 0; wanted != nullptr && i < items.size(); ++i) {
    if (const Value* has = items[i].find(key); has != nullptr && *has == *wanted) return i;
  }
  return kNowhere;
}

// Items of both lists keep the order of the base; items of `over` alone come before the items of
// the base alone that are left.
Array merged_keyed(std::string_view list, std::string_view key, Array base, const Array& over) {
  struct Item {
    std::size_t rank;  // in the base
    Value value;
  };
  std::vector<std::size_t> places;  // in the base, of each item of `over`
  std::vector<std::size_t> ranks;   // of what both have, in the order of the base
  for (const Value& item : over) {
    places.push_back(place(base, item, key));
    if (places.back() != kNowhere) ranks.push_back(places.back());
  }
  std::ranges::sort(ranks);
  std::vector<std::size_t> left;  // of the base alone
  for (std::size_t i = 0; i < base.size(); ++i) {
    if (place(over, base[i], key) == kNowhere) left.push_back(i);
  }
  std::vector<Item> right;  // of `over`, merged
  auto shared = ranks.begin();
  for (std::size_t i = 0; i < over.size(); ++i) {
    if (places[i] == kNowhere) {
      right.push_back({kNowhere, over[i]});
      continue;
    }
    const std::size_t rank = *shared++;
    const Value& above = over[place(over, base[rank], key)];
    const bool needed_again = shared != ranks.end() && *shared == rank;
    right.push_back(
        {rank, merged_item(list, needed_again ? base[rank] : std::move(base[rank]), above)});
  }
  Array out;
  out.reserve(left.size() + right.size());
  auto l = left.begin();
  auto r = right.begin();
  while (l != left.end() || r != right.end()) {
    const bool takes_left =
        r == right.end() || (l != left.end() && r->rank != kNowhere && *l < r->rank);
    out.push_back(std::move(takes_left ? base[*l++] : (r++)->value));
  }
  return out;
}

bool all_objects(const Array& items) {
  return std::ranges::all_of(items, [](const Value& item) { return item.is_object(); });
}

Value merged_as(std::string_view name, Value base, const Value& over) {
  if (base.is_object() && over.is_object()) {
    if (std::ranges::find(kAtomic, name) != std::end(kAtomic)) return over;
    return merged_objects(std::move(*base.if_object()), *over.if_object());
  }
  const std::string_view key = merge_key(name);
  if (!key.empty() && base.is_array() && over.is_array() && all_objects(*base.if_array()) &&
      all_objects(*over.if_array())) {
    return merged_keyed(name, key, std::move(*base.if_array()), *over.if_array());
  }
  return over;
}

}  // namespace

Value merge(Value base, const Value& over) {
  if (sets_nothing(over)) return base.is_null() ? over : base;
  if (base.is_null()) return merged_as("", Object(), over);
  return merged_as("", std::move(base), over);
}

}  // namespace baton::plan
