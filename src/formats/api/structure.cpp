#include "formats/api/structure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/core/nearest.hpp"
#include "formats/api/quantity.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::pointer;
using text::json::Value;

class Checker {
 public:
  explicit Checker(Findings& out) : out_(out) {}

  void members(const Struct& type, const Value& value, const std::string& at) {
    if (!value.is_object()) return wrong(at, "an object", value);
    for (const auto& [key, member] : *value.if_object()) {
      const Field* field = known(type, key, pointer(at, key));
      if (field != nullptr && !member.is_null()) {
        this->field(*field, member, pointer(at, key));
      }
    }
  }

 private:
  void error(const std::string& at, std::string message) {
    out_.errors.push_back({at, std::move(message)});
  }
  void wrong(const std::string& at, std::string_view expected, const Value& value) {
    const bool small = !value.is_object() && !value.is_array();
    error(at,
          fmt::format("expected {}, is {}", expected,
                      small ? text::json::dump(value) : fmt::format("an {}", value.kind_name())));
  }
  // The field of that name; else null, and a warning.
  const Field* known(const Struct& type, std::string_view name, const std::string& at) {
    if (const Field* field = type.find(name)) return field;
    std::vector<std::string_view> names;
    for (const Field& one : type.fields) {
      if (one.versions != Versions::kV1Alpha1) names.push_back(one.name);
    }
    out_.warnings.push_back(
        {at, fmt::format("unknown field, has no effect{}", did_you_mean(name, names))});
    return nullptr;
  }

  void field(const Field& field, const Value& value, const std::string& at) {
    switch (field.type) {
      case FieldType::kString:
        return string(field, value, at);
      case FieldType::kInt:
      case FieldType::kLong:
        return integer(field, value, at);
      case FieldType::kBool:
        if (value.if_bool() == nullptr) wrong(at, "true or false", value);
        return;
      case FieldType::kQuantity:
        if (auto parsed = quantity(value); !parsed) error(at, parsed.error().message());
        return;
      case FieldType::kIntOrPercent:
        if (!value.if_int() && !value.is_string()) wrong(at, "a number or a percentage", value);
        return;
      case FieldType::kStrings:
        return words(value, at);
      case FieldType::kStringMap:
        return string_map(value, at);
      case FieldType::kPodSpec:
        return pod_spec(value, at);
      case FieldType::kQuantityMap:
      case FieldType::kRaw:
        if (!value.is_object()) wrong(at, "an object", value);
        return;
      case FieldType::kRaws:
      case FieldType::kObjects:
        return list(field, value, at);
      case FieldType::kObject:
        return members(*field.of, value, at);
    }
  }

  void string(const Field& field, const Value& value, const std::string& at) {
    if (!value.is_string()) return wrong(at, "a string (quote it)", value);
    const std::string& text = *value.if_string();
    if (field.words.empty() || text.empty() || text.contains("{{")) return;
    if (std::ranges::find(field.words, text) == field.words.end()) {
      wrong(at, fmt::format("one of {}", fmt::join(field.words, ", ")), value);
    }
  }

  void integer(const Field& field, const Value& value, const std::string& at) {
    const auto number = value.if_int();
    if (!number) return wrong(at, "a whole number", value);
    if (field.least && *number < *field.least) {
      error(at, fmt::format("must be at least {}, is {}", *field.least, *number));
    }
    if (field.most && *number > *field.most) {
      error(at, fmt::format("must be at most {}, is {}", *field.most, *number));
    }
  }

  void string_map(const Value& value, const std::string& at) {
    if (!value.is_object()) return wrong(at, "an object", value);
    for (const auto& [key, member] : *value.if_object()) {
      if (!member.is_string()) wrong(pointer(at, key), "a string (quote it)", member);
    }
  }

  void list(const Field& field, const Value& value, const std::string& at) {
    const Array* items = value.if_array();
    if (items == nullptr) return wrong(at, "a list", value);
    for (std::size_t i = 0; i < items->size(); ++i) {
      const std::string place = pointer(at, i);
      if (field.type == FieldType::kObjects) {
        members(*field.of, (*items)[i], place);
      } else if (!(*items)[i].is_object()) {
        wrong(place, "an object", (*items)[i]);
      }
    }
  }

  // Kubernetes checks pods in depth; here what a slip of the pen usually hits.
  void pod_spec(const Value& value, const std::string& at) {
    if (!value.is_object()) return wrong(at, "an object", value);
    for (const auto& [key, member] : *value.if_object()) {
      known(api::pod_spec(), key, pointer(at, key));
      const bool containers = key == "containers" || key == "initContainers";
      if (containers && !member.is_null()) this->containers(member, pointer(at, key));
      if (key == "volumes" && !member.is_null()) named_items(member, pointer(at, key));
    }
  }

  bool named_items(const Value& value, const std::string& at) {
    const Array* items = value.if_array();
    if (items == nullptr) {
      wrong(at, "a list", value);
      return false;
    }
    for (std::size_t i = 0; i < items->size(); ++i) {
      if ((*items)[i].string_at({"name"}).empty()) error(pointer(at, i), "has no name");
    }
    return true;
  }

  void containers(const Value& value, const std::string& at) {
    if (!named_items(value, at)) return;
    for (std::size_t i = 0; i < value.if_array()->size(); ++i) {
      const Object* container = (*value.if_array())[i].if_object();
      if (container == nullptr) continue;
      const std::string place = pointer(at, i);
      for (const auto& [key, member] : *container) {
        known(api::container(), key, pointer(place, key));
        const bool is_words = key == "command" || key == "args";
        if (is_words && !member.is_null()) words(member, pointer(place, key));
        if (key == "env" && !member.is_null()) named_items(member, pointer(place, key));
      }
    }
  }

  void words(const Value& value, const std::string& at) {
    const Array* items = value.if_array();
    if (items == nullptr) return wrong(at, "a list of strings", value);
    for (std::size_t i = 0; i < items->size(); ++i) {
      if (!(*items)[i].is_string()) wrong(pointer(at, i), "a string (quote it)", (*items)[i]);
    }
  }

  Findings& out_;
};

}  // namespace

void check_structure(const Struct& type, const Value& value, const std::string& pointer,
                     Findings& out) {
  Checker(out).members(type, value, pointer);
}

}  // namespace baton::api
