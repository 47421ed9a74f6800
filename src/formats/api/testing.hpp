#pragma once
// Random objects by the schema, for properties that hold for all of them.

#include <fmt/format.h>

#include <string>
#include <utility>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "formats/api/schema.hpp"

namespace baton::api::testing {

class Generator {
 public:
  Generator(Random& random, Versions version) : random_(random), version_(version) {}

  // Each field is there or not; lists have 0 to 2 items. Of the right types, not always valid.
  text::json::Value of(const Struct& type, int depth = 0) {
    text::json::Object out;
    for (const Field& field : type.fields) {
      const bool here = field.versions == Versions::kBoth || field.versions == version_;
      if (!here || random_.below(2) == 0 || depth > kDeepest) continue;
      out.set(field.name, value(field, depth + 1));
    }
    return out;
  }

 private:
  static constexpr int kDeepest = 7;

  std::string word() { return fmt::format("w{}", random_.below(50)); }
  std::int64_t number() { return static_cast<std::int64_t>(1 + random_.below(9)); }

  text::json::Value value(const Field& field, int depth) {
    using text::json::Array;
    using text::json::Object;
    switch (field.type) {
      case FieldType::kString:
        return field.words.empty() ? word()
                                   : std::string(field.words[random_.below(field.words.size())]);
      case FieldType::kInt:
      case FieldType::kLong:
        return number();
      case FieldType::kBool:
        return random_.below(2) == 0;
      case FieldType::kQuantity:
        return fmt::format("{}Gi", number());
      case FieldType::kIntOrPercent:
        return fmt::format("{}%", number());
      case FieldType::kStrings:
        return Array{word(), word()};
      case FieldType::kStringMap:
      case FieldType::kQuantityMap:
        return Object{{word(), word()}};
      case FieldType::kPodSpec:
      case FieldType::kRaw:
      case FieldType::kObject:
        return field.of == nullptr ? Object{{word(), number()}} : of(*field.of, depth);
      case FieldType::kRaws:
      case FieldType::kObjects: {
        Array items;
        for (std::uint64_t n = random_.below(3); n > 0; --n) {
          items.push_back(field.of == nullptr ? Object{{word(), number()}} : of(*field.of, depth));
        }
        return items;
      }
    }
    return {};
  }

  Random& random_;
  const Versions version_;
};

}  // namespace baton::api::testing
