#pragma once
// Strict reading of one JSON object of our own configuration: the members asked for are the members
// there are; anything else is an error with the nearest name.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::schedule {

// One value that the configuration comes to.
struct Setting {
  std::string pointer;
  text::json::Value value;
  std::string origin;  // "given", "default", or a sentence
  std::string unused;  // why it has no effect; "" when it has
};

// Collects the first error; ask for every member, then finish(). The value must outlive it.
class Fields {
 public:
  // null counts as an empty object. `settings`, when there, gets every value read.
  Fields(const text::json::Value& value, std::string pointer,
         std::vector<Setting>* settings = nullptr);

  std::string text(std::string_view key, std::string_view otherwise);
  bool boolean(std::string_view key, bool otherwise);
  std::int64_t integer(std::string_view key, std::int64_t otherwise, std::int64_t least,
                       std::int64_t most);
  double number(std::string_view key, double otherwise);
  // As number(), within least..most.
  double number(std::string_view key, double otherwise, double least, double most);
  // A Go duration, not negative: "200ms", "1m30s", "0".
  Nanos duration(std::string_view key, Nanos otherwise);
  // A Kubernetes quantity, not negative: "10Gi", 500.
  std::int64_t quantity(std::string_view key, std::int64_t otherwise);
  // One of a few words.
  std::string choice(std::string_view key, std::string_view otherwise,
                     std::span<const std::string_view> words);
  // A header's name, in lower case.
  std::string header(std::string_view key, std::string_view otherwise);
  std::vector<std::string> headers(std::string_view key);
  std::vector<std::string> texts(std::string_view key);
  // The items with their pointers; empty when absent.
  const text::json::Array& array(std::string_view key);
  // A nested object; its error becomes this one's by take_error().
  Fields object(std::string_view key);
  void take_error(Fields& nested);
  // The member, or null.
  const text::json::Value* any(std::string_view key);
  // A member that Baton knows and does not offer: an error with this sentence when present.
  void later(std::string_view key, std::string_view sentence);
  // A member that is accepted, for those who carry it over, and changes nothing; said in the
  // effective configuration.
  void unused(std::string_view key, std::string_view why);

  bool has(std::string_view key) const;
  void fail(std::string_view key, std::string_view problem);
  // The first error; else unknown members.
  Status finish();
  const std::string& pointer() const { return pointer_; }
  std::vector<Setting>* settings() const { return settings_; }

 private:
  const text::json::Value* take(std::string_view key);
  void note(std::string_view key, text::json::Value value, bool given);

  const text::json::Object* object_ = nullptr;
  std::string pointer_;
  std::vector<Setting>* settings_;
  std::vector<std::string_view> known_;
  std::string error_;
  Code code_ = Code::kInvalid;
};

// Without the blanks around it.
std::string_view trimmed(std::string_view text);

// kInvalid: not a Go duration, negative, or beyond 290 years.
Result<Nanos> read_duration(std::string_view text);
std::string format_duration(Nanos duration);

}  // namespace baton::schedule
