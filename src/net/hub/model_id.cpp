#include "net/hub/model_id.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace baton::hub {

namespace {

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Letters, digits, '_', '.', '-'; begins and ends with none of the last two, and has no two of them
// in a row that would make a path or another model's folder.
bool is_name(std::string_view part) {
  if (part.empty() || !is_word(part.front()) || !is_word(part.back())) return false;
  const bool plain =
      std::ranges::all_of(part, [](char c) { return is_word(c) || c == '.' || c == '-'; });
  return plain && !part.contains("..") && !part.contains("--");
}

bool is_revision(std::string_view text) {
  if (text.empty() || text.size() > kMaxRevision || text.contains("..")) return false;
  if (!is_word(text.front()) || !is_word(text.back()) || text.contains("//")) return false;
  return std::ranges::all_of(
      text, [](char c) { return is_word(c) || c == '.' || c == '-' || c == '/' || c == '+'; });
}

}  // namespace

std::string to_string(const ModelId& id) {
  return id.revision == "main" ? id.repository : id.repository + "@" + id.revision;
}

Result<ModelId> parse_model_id(std::string_view text) {
  const std::string_view given = text;
  if (text.starts_with("hf://")) text.remove_prefix(5);
  ModelId out;
  const auto mark = text.find_first_of("@:");
  if (mark != std::string_view::npos) {
    out.revision = text.substr(mark + 1);
    if (!is_revision(out.revision)) {
      return invalid(fmt::format("model '{}': '{}' is no branch, tag or commit", given,
                                 std::string_view(out.revision).substr(0, kMaxRevision)));
    }
  }
  text = text.substr(0, mark);
  while (text.ends_with('/')) text.remove_suffix(1);
  const auto slash = text.find('/');
  const bool named = slash == std::string_view::npos
                         ? is_name(text)
                         : is_name(text.substr(0, slash)) && is_name(text.substr(slash + 1));
  if (!named || text.size() > kMaxName) {
    return invalid(fmt::format("model '{}': expected hf://ORG/NAME, or hf://ORG/NAME@REVISION",
                               given.substr(0, 300)));
  }
  out.repository = text;
  return out;
}

bool is_commit(std::string_view revision) {
  return revision.size() == 40 && std::ranges::all_of(revision, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

std::string percent_encoded(std::string_view text, Slashes slashes) {
  std::string out;
  for (const char c : text) {
    const bool kept =
        is_word(c) || c == '-' || c == '.' || c == '~' || (c == '/' && slashes == Slashes::kKeep);
    if (kept) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace baton::hub
