#pragma once
// Strict reading of one JSON object of our own configuration: the members asked for are the members
// there are; anything else is an error with the nearest name.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::schedule {

// Collects the first error; ask for every member, then finish(). The value must outlive it.
class Fields {
 public:
  // null counts as an empty object.
  Fields(const text::json::Value& value, std::string pointer);

  std::string text(std::string_view key, std::string_view otherwise);
  std::int64_t integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                       std::int64_t most);
  double number(std::string_view key, double otherwise);
  // The items with their pointers; empty when absent.
  const text::json::Array& array(std::string_view key);
  // The member, or null.
  const text::json::Value* any(std::string_view key);
  // A member that Baton knows and does not offer: an error with this sentence when present.
  void later(std::string_view key, std::string_view sentence);

  bool has(std::string_view key) const;
  void fail(std::string_view key, std::string_view problem);
  // The first error; else unknown members.
  Status finish();
  const std::string& pointer() const { return pointer_; }

 private:
  const text::json::Value* take(std::string_view key);

  const text::json::Object* object_ = nullptr;
  std::string pointer_;
  std::vector<std::string_view> known_;
  std::string error_;
  Code code_ = Code::kInvalid;
};

}  // namespace baton::schedule
