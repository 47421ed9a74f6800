#include "formats/token/added_tokens.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <span>
#include <utility>

#include "formats/token/tokenizer.hpp"

namespace baton::token {
namespace {

using text::json::Value;

utf8proc_int32_t point_at(std::string_view text, std::size_t at, std::size_t& length) {
  utf8proc_int32_t p = 0;
  const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                  static_cast<utf8proc_ssize_t>(text.size() - at), &p);
  length = n > 0 ? static_cast<std::size_t>(n) : 1;
  return p;
}

std::size_t start_of_last(std::string_view text) {
  std::size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return at;
}

// \w of Rust's regex: letters, also in circles and squares, marks, decimal digits, connectors,
// joiners.
bool word(utf8proc_int32_t p) {
  switch (utf8proc_category(p)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return p == 0x200C || p == 0x200D || (p >= 0x24B6 && p <= 0x24E9) ||
             (p >= 0x1F130 && p <= 0x1F149) || (p >= 0x1F150 && p <= 0x1F169) ||
             (p >= 0x1F170 && p <= 0x1F189);
  }
}

bool white(utf8proc_int32_t p) {
  return (p >= 9 && p <= 13) || p == 0x20 || p == 0x85 || p == 0xA0 || p == 0x1680 ||
         (p >= 0x2000 && p <= 0x200A) || p == 0x2028 || p == 0x2029 || p == 0x202F || p == 0x205F ||
         p == 0x3000;
}

bool between_words(std::string_view text, std::size_t from, std::size_t to) {
  std::size_t n = 0;
  if (from > 0 && word(point_at(text, start_of_last(text.substr(0, from)), n))) return false;
  return to >= text.size() || !word(point_at(text, to, n));
}

}  // namespace

Result<std::vector<AddedToken>> parse_added_tokens(const Value* list) {
  std::vector<AddedToken> out;
  if (list == nullptr || list->is_null()) return out;
  if (!list->is_array()) return invalid("/added_tokens: expected an array");
  if (list->if_array()->size() > kMaxAddedTokens)
    return invalid(fmt::format("/added_tokens: more than {}", kMaxAddedTokens));
  for (const Value& value : *list->if_array()) {
    AddedToken token;
    const std::string at = text::json::pointer("/added_tokens", out.size());
    token.content = value.string_at({"content"});
    const Value* id = value.find("id");
    const auto n = id == nullptr ? std::nullopt : id->if_uint();
    if (!n || *n >= kMaxVocab)
      return invalid(fmt::format("{}/id: expected an id below {}", at, kMaxVocab));
    token.id = static_cast<TokenId>(*n);
    const auto flag = [&](std::string_view key) {
      const Value* member = value.find(key);
      return member != nullptr && member->if_bool() != nullptr && *member->if_bool();
    };
    token.special = flag("special");
    token.single_word = flag("single_word");
    token.lstrip = flag("lstrip");
    token.rstrip = flag("rstrip");
    token.normalized = flag("normalized");
    out.push_back(std::move(token));
  }
  return out;
}

void AddedTokenFinder::add(const AddedToken& token, std::string spelling) {
  if (spelling.empty()) return;
  any_ = true;
  by_first_byte_[static_cast<unsigned char>(spelling[0])].push_back({std::move(spelling), &token});
}

void AddedTokenFinder::seal() {
  const auto order = [](const Entry& e) {
    return std::pair(std::string_view(e.spelling), e.token->id);
  };
  for (auto& entries : by_first_byte_) std::ranges::sort(entries, {}, order);
}

// Of the spellings that `text`, not empty, begins with. Those that agree with one byte more lie
// together, so that a text costs little however many begin with the same bytes.
const AddedTokenFinder::Entry* AddedTokenFinder::longest_at(std::string_view text) const {
  std::span<const Entry> left = by_first_byte_[static_cast<unsigned char>(text[0])];
  const Entry* found = nullptr;
  for (std::size_t length = 1; !left.empty(); ++length) {
    if (left.front().spelling.size() == length) found = &left.front();
    while (!left.empty() && left.front().spelling.size() == length) left = left.subspan(1);
    if (length == text.size()) break;
    const auto next = std::ranges::equal_range(
        left, static_cast<unsigned char>(text[length]), {},
        [length](const Entry& e) { return static_cast<unsigned char>(e.spelling[length]); });
    left = {next.begin(), next.end()};
  }
  return found;
}

std::size_t AddedTokenFinder::longest() const {
  std::size_t out = 0;
  for (const auto& entries : by_first_byte_) {
    for (const Entry& entry : entries) out = std::max(out, entry.spelling.size());
  }
  return out;
}

std::vector<Piece> AddedTokenFinder::split(std::string_view text) const {
  std::vector<Piece> out;
  std::size_t done = 0;  // everything before is in `out`
  for (std::size_t at = any_ ? 0 : text.size(); at < text.size();) {
    const Entry* const hit = longest_at(text.substr(at));
    if (hit == nullptr) {
      ++at;
      continue;
    }
    std::size_t from = at;
    std::size_t to = at + hit->spelling.size();
    at = to;
    if (hit->token->single_word && !between_words(text, from, to)) continue;
    std::size_t n = 0;
    while (hit->token->lstrip && from > done) {
      const std::size_t start = start_of_last(text.substr(0, from));
      if (start < done || !white(point_at(text, start, n))) break;
      from = start;
    }
    while (hit->token->rstrip && to < text.size() && white(point_at(text, to, n))) to += n;
    if (from > done) out.push_back({nullptr, done, from});
    out.push_back({hit->token, from, to});
    done = to;
    at = std::max(at, done);
  }
  if (done < text.size()) out.push_back({nullptr, done, text.size()});
  return out;
}

}  // namespace baton::token
