#pragma once
// Reads the members of a request body, with vLLM's messages for what is wrong. The first mistake is
// kept; later reads give defaults, so that a decoder is one list of members.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/error_body.hpp"

namespace baton::openai {

inline constexpr std::size_t kMaxStops = 64;        // stop strings, stop ids
inline constexpr std::size_t kMaxStopBytes = 1024;  // of one stop string
inline constexpr std::size_t kMaxPromptIds = 4 << 20;

class Fields {
 public:
  // `object` must outlive it.
  explicit Fields(const text::json::Object& object) : object_(&object) {}

  // The member, unless absent or null.
  const text::json::Value* find(std::string_view name) const;
  bool flag(std::string_view name, bool otherwise);
  std::optional<double> number(std::string_view name);
  std::optional<std::int64_t> integer(std::string_view name);
  std::optional<std::string> string(std::string_view name);
  const text::json::Object* object(std::string_view name);
  std::vector<std::uint32_t> ids(std::string_view name);

  // A schema violation: 400, type "Bad Request", param "body.<name>".
  void malformed(std::string_view name, std::string_view kind, std::string_view message,
                 const text::json::Value& input);
  void missing(std::string_view name);
  // A value that makes no sense: 400, type BadRequestError.
  void refuse(std::string_view param, std::string message);
  // "… (parameter=p, value=v)", as vLLM says it.
  void out_of_range(std::string_view param, std::string_view message, std::string_view value);

  bool failed() const { return error_.has_value(); }
  const ErrorBody& error() const { return *error_; }

 private:
  const text::json::Object* object_;
  std::optional<ErrorBody> error_;
};

// A number as Python prints it: 1.0, -0.5, 3.
std::string shown(double number);
// 400 for a body that is not a JSON object.
ErrorBody not_json(std::string_view why);
ErrorBody not_an_object(const text::json::Value& value);

}  // namespace baton::openai
