// Any body at /convert: all objects converted or none. Of the spec of what was converted nothing is
// lost on the way back and forth, whatever is in it; and from the second time on nothing else
// changes either but the status, whose new fields v1alpha1 does not carry. As at an API server,
// an object holds only what its version has.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text/json.hpp"
#include "control/webhook/review.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/schema.hpp"

namespace {

namespace api = baton::api;
using baton::text::json::Object;
using baton::text::json::Value;

void check(bool holds) {
  if (!holds) std::abort();
}

// Removes what a version's schema does not have, and nulls of what it has, as an API server does
// with what it is sent, reads from its store or gets from a webhook. In adapters, which are models
// again and have no schema there, it goes further: what only the other version knows may move into
// an annotation.
class Pruner {
 public:
  explicit Pruner(api::Versions version) : version_(version) {}

  void members(const api::Struct& type, Value& value) {
    if (!value.is_object()) return;
    Object kept;
    for (auto& [name, member] : *value.if_object()) {
      const api::Field* field = find(type, name);
      if (field == nullptr ? !type.open : member.is_null()) continue;
      if (field != nullptr) this->field(*field, member);
      kept.append(name, std::move(member));
    }
    value = std::move(kept);
  }

 private:
  const api::Field* find(const api::Struct& type, std::string_view name) const {
    for (const api::Field& field : type.fields) {
      const bool here = field.versions == api::Versions::kBoth || field.versions == version_;
      if (here && field.name == name) return &field;
    }
    return nullptr;
  }

  void field(const api::Field& field, Value& value) {
    if (field.of == nullptr) return;
    if (auto* items = value.if_array()) {
      for (Value& item : *items) members(*field.of, item);
    } else {
      members(*field.of, value);
    }
  }

  const api::Versions version_;
};

Value stored(Value object) {
  const bool old = object.string_at({"apiVersion"}) == api::kOldApiVersion;
  if (Value* spec = object.find("spec")) {
    Pruner(old ? api::Versions::kV1Alpha1 : api::Versions::kV1Alpha2)
        .members(api::service_spec(), *spec);
  }
  object.if_object()->erase("status");
  return object;
}

Value back_and_forth(const Value& v1alpha2) {
  const auto old = api::to_v1alpha1(v1alpha2);
  check(old.has_value());
  const auto again = api::to_v1alpha2(stored(*old));
  check(again.has_value());
  return stored(*again);
}

void check_round_trips(const Value& converted) {
  const auto given = api::to_v1alpha2(stored(converted));
  check(given.has_value());
  const Value first = stored(*given);
  const Value second = back_and_forth(first);
  const Value* before = first.find("spec");
  const Value* after = second.find("spec");
  check(before == nullptr ? after == nullptr : after != nullptr && *after == *before);
  check(back_and_forth(second) == second);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(bytes), size);
  const auto given = baton::webhook::answer("/convert", body, {});
  if (given.status != 200) return 0;
  const auto review = baton::text::json::parse(given.body);
  const auto asked = baton::text::json::parse(body);
  check(review.has_value() && asked.has_value());
  const Value& converted = *review->find_path({"response", "convertedObjects"});
  if (given.refused) {
    check(converted.if_array()->empty());
    return 0;
  }
  check(converted.if_array()->size() ==
        asked->find_path({"request", "objects"})->if_array()->size());
  for (const Value& one : *converted.if_array()) check_round_trips(one);
  return 0;
}
