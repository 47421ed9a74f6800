#include "formats/token/post_process.hpp"

#include <fmt/format.h>

#include <limits>

#include "formats/token/pattern.hpp"

namespace baton::token {
namespace {

using text::json::pointer;
using text::json::Value;

Status read_template(const Value& value, const std::string& at, PostProcessor& out) {
  const Value* single = value.find("single");
  if (single == nullptr || !single->is_array()) return invalid(at + "/single: expected an array");
  bool seen = false;  // the sequence itself
  std::size_t i = 0;
  for (const Value& item : *single->if_array()) {
    const std::string here = pointer(at + "/single", i++);
    if (item.find("Sequence") != nullptr) {
      seen = true;
      continue;
    }
    const std::string_view name = item.string_at({"SpecialToken", "id"});
    const Value* ids = value.find_path({"special_tokens", name, "ids"});
    if (ids == nullptr || !ids->is_array())
      return invalid(fmt::format("{}: no ids for '{}'", here, name));
    for (const Value& id : *ids->if_array()) {
      const auto n = id.if_uint();
      if (!n || *n > std::numeric_limits<TokenId>::max()) return invalid(here + ": expected ids");
      (seen ? out.after : out.before).push_back(static_cast<TokenId>(*n));
    }
  }
  if (!seen) return invalid(at + "/single: without a Sequence");
  return {};
}

Status read(const Value& value, const std::string& at, int depth, PostProcessor& out) {
  const std::string_view type = value.string_at({"type"});
  if (type == "ByteLevel") return {};  // offsets only
  if (type == "TemplateProcessing") {
    PostProcessor inner;
    BATON_TRY(read_template(value, at, inner));
    out.before.insert(out.before.begin(), inner.before.begin(), inner.before.end());
    out.after.insert(out.after.end(), inner.after.begin(), inner.after.end());
    return {};
  }
  if (type == "Sequence") {
    const Value* list = value.find("processors");
    if (list == nullptr || !list->is_array() || depth > kMaxSequence)
      return invalid(at + "/processors: expected an array");
    std::size_t i = 0;
    for (const Value& inner : *list->if_array()) {
      BATON_TRY(read(inner, pointer(at + "/processors", i++), depth + 1, out));
    }
    return {};
  }
  return unsupported(fmt::format("{}: a post-processor of type '{}'", at, type));
}

}  // namespace

Result<PostProcessor> PostProcessor::parse(const Value* value) {
  PostProcessor out;
  if (value == nullptr || value->is_null()) return out;
  BATON_TRY(read(*value, "/post_processor", 0, out));
  return out;
}

}  // namespace baton::token
