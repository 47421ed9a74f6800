#pragma once
// What an edit must mean: parse, edit the value, compare. For tests and the fuzzer.

#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"
#include "formats/openai/splice.hpp"

namespace baton::openai {

inline void apply(text::json::Value& target, const Edit& edit) {
  text::json::Object& object = *target.if_object();
  if (edit.value) {
    object.set(edit.key, *text::json::parse(*edit.value));
  } else {
    object.erase(edit.key);
  }
}

// "" when the splice is what the parsed edit gives; else what is wrong. `body` has been indexed
// with `nested`, and is readable for the JSON parser (which refuses integers beyond 64 bits).
inline std::string disagreement(std::string_view body, std::string_view nested,
                                const std::vector<Edit>& edits) {
  auto index = BodyIndex::scan(body, nested);
  auto expected = text::json::parse(body);
  if (!index || !expected) return index ? "" : "not indexed: " + index.error().message();
  for (const Edit& edit : edits) {
    apply(edit.where == Where::kTop ? *expected : *expected->find(nested), edit);
  }
  std::string joined = index->splice(edits).join();
  auto got = text::json::parse(joined);
  if (!got) return "not JSON any more: " + joined;
  if (!(*got == *expected)) return "got " + joined + " instead of " + text::json::dump(*expected);
  return "";
}

}  // namespace baton::openai
