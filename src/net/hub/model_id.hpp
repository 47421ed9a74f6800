#pragma once
// What a model is called on a hub. Pure.

#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::hub {

struct ModelId {
  std::string repository;  // "org/name", or "name" as the oldest models have it
  std::string revision = "main";

  friend bool operator==(const ModelId&, const ModelId&) = default;
};
std::string to_string(const ModelId& id);  // without revision when that is main

inline constexpr std::size_t kMaxName = 96;       // of a repository, huggingface_hub's limit
inline constexpr std::size_t kMaxRevision = 200;  // bytes of a branch, tag or commit

// ORG/NAME, with @REVISION or (KServe's storage initializer) :REVISION behind it; "hf://" in front
// or not. kInvalid: anything that could be another path than it looks like, too.
Result<ModelId> parse_model_id(std::string_view text);

// A commit: 40 hexadecimal digits.
bool is_commit(std::string_view revision);

// A name or value for a URL's path: RFC 3986 2.3 stays, the rest becomes %XX. Slashes, too, unless
// they are kept.
enum class Slashes : bool { kEncode, kKeep };
std::string percent_encoded(std::string_view text, Slashes slashes);

}  // namespace baton::hub
