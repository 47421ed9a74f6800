#include "engine/model/config_fields.hpp"

#include <fmt/format.h>

#include <cmath>

namespace baton::model {

namespace json = text::json;

const json::Value* given(const json::Value& config, std::string_view field) {
  const json::Value* value = config.find(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

Result<std::size_t> size_field(const json::Value& config, std::string_view field,
                               std::optional<std::size_t> otherwise, std::size_t most) {
  const json::Value* value = given(config, field);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    return invalid(fmt::format("no field '{}'", field));
  }
  const auto number = value->if_uint();
  if (!number || *number == 0 || *number > most) {
    return invalid(fmt::format("{} is {}; it must be an integer from 1 to {}", field,
                               json::dump(*value), most));
  }
  return static_cast<std::size_t>(*number);
}

Result<double> positive_field(const json::Value& config, std::string_view field,
                              std::optional<double> otherwise) {
  const json::Value* value = given(config, field);
  if (value == nullptr) {
    if (otherwise) return *otherwise;
    return invalid(fmt::format("no field '{}'", field));
  }
  const auto number = value->if_double();
  if (!number || !std::isfinite(*number) || *number <= 0) {
    return invalid(
        fmt::format("{} is {}; it must be a positive number", field, json::dump(*value)));
  }
  return *number;
}

Result<bool> bool_field(const json::Value& config, std::string_view field, bool otherwise) {
  const json::Value* value = given(config, field);
  if (value == nullptr) return otherwise;
  const bool* flag = value->if_bool();
  if (flag == nullptr) {
    return invalid(fmt::format("{} is {}; it must be true or false", field, json::dump(*value)));
  }
  return *flag;
}

Error not_supported(std::string_view field, const json::Value& value, std::string_view what) {
  return invalid(fmt::format("{} {} is not supported: {}", field, json::dump(value), what));
}

}  // namespace baton::model
