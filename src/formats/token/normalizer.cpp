#include "formats/token/normalizer.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

namespace baton::token {
namespace {

using text::json::pointer;
using text::json::Value;

bool white(std::string_view text, std::size_t at, std::size_t& length) {
  utf8proc_int32_t p = 0;
  length = static_cast<std::size_t>(
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                       static_cast<utf8proc_ssize_t>(text.size() - at), &p));
  return (p >= 9 && p <= 13) || p == 0x20 || p == 0x85 || p == 0xA0 || p == 0x1680 ||
         (p >= 0x2000 && p <= 0x200A) || p == 0x2028 || p == 0x2029 || p == 0x202F || p == 0x205F ||
         p == 0x3000;
}

// Characters whose normalization came after Unicode 9, the version `tokenizers` normalizes by
// (0.23.3, compared one by one): there they stay as they are, and nothing moves past them or joins
// with them.
constexpr std::pair<utf8proc_int32_t, utf8proc_int32_t> kAfterUnicode9[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0xECE, 0xECE},
    {0x1715, 0x1715},   {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},
    {0xA7F2, 0xA7F4},   {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785},
    {0x10787, 0x107B0}, {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC},
    {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070},
    {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930},
    {0x11938, 0x11938}, {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0},
    {0x11A34, 0x11A34}, {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42},
    {0x11D44, 0x11D45}, {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1},
    {0x1E030, 0x1E06D}, {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE},
    {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

// A mathematical letter of four bytes becomes one of ASCII (NFKC), a Kelvin sign of three a "k".
constexpr std::size_t kFormShortens = 4, kLowercaseShortens = 3;

bool after_unicode_9(utf8proc_int32_t p) {
  const auto at = std::ranges::lower_bound(kAfterUnicode9, p, {},
                                           [](const auto& range) { return range.second; });
  return at != std::end(kAfterUnicode9) && p >= at->first;
}

Status map_run(std::string_view text, int options, std::string& out) {
  utf8proc_uint8_t* made = nullptr;
  const auto n = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                              static_cast<utf8proc_ssize_t>(text.size()), &made,
                              static_cast<utf8proc_option_t>(options));
  if (n < 0) return invalid(fmt::format("normalizing: {}", utf8proc_errmsg(n)));
  out.append(reinterpret_cast<const char*>(made), static_cast<std::size_t>(n));
  std::free(made);
  return {};
}

Result<std::string> mapped(std::string_view text, int options) {
  std::string out;
  std::size_t run = 0;
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t p = 0;
    const auto n = static_cast<std::size_t>(
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                         static_cast<utf8proc_ssize_t>(text.size() - at), &p));
    if (p >= kAfterUnicode9[0].first && after_unicode_9(p)) {
      BATON_TRY(map_run(text.substr(run, at - run), options, out));
      out.append(text, at, n);
      run = at + n;
    }
    at += n;
  }
  BATON_TRY(map_run(text.substr(run), options, out));
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t p = 0;
    at += static_cast<std::size_t>(
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                         static_cast<utf8proc_ssize_t>(text.size() - at), &p));
    if (p == 0x130) {
      out += "i\u0307";
      continue;
    }
    utf8proc_uint8_t bytes[4];
    const auto n = utf8proc_encode_char(utf8proc_tolower(p), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
  }
  return out;
}

}  // namespace

Result<Normalizer> Normalizer::parse(const Value* value) {
  Normalizer out;
  if (value == nullptr || value->is_null()) return out;
  BATON_TRY(out.read(*value, "/normalizer", 0));
  return out;
}

Status Normalizer::read(const Value& value, const std::string& at, int depth) {
  const std::string_view type = value.string_at({"type"});
  constexpr int kCompose = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
  constexpr int kDecompose = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
  if (type == "Sequence") {
    const Value* list = value.find("normalizers");
    if (list == nullptr || !list->is_array() || depth > kMaxSequence)
      return invalid(at + "/normalizers: expected an array");
    std::size_t i = 0;
    for (const Value& inner : *list->if_array()) {
      BATON_TRY(read(inner, pointer(at + "/normalizers", i++), depth + 1));
    }
  } else if (type == "NFC") {
    steps_.emplace_back(Form{kCompose});
  } else if (type == "NFD") {
    steps_.emplace_back(Form{kDecompose});
  } else if (type == "NFKC") {
    steps_.emplace_back(Form{kCompose | UTF8PROC_COMPAT});
  } else if (type == "NFKD") {
    steps_.emplace_back(Form{kDecompose | UTF8PROC_COMPAT});
  } else if (type == "Lowercase") {
    steps_.emplace_back(Lowercase{});
  } else if (type == "Prepend") {
    steps_.emplace_back(Prepend{std::string(value.string_at({"prepend"}))});
  } else if (type == "Strip") {
    steps_.emplace_back(Strip{flag(value, "strip_left", true), flag(value, "strip_right", true)});
  } else if (type == "Replace") {
    BATON_TRY_ASSIGN(Pattern pattern, Pattern::read(value, at));
    steps_.emplace_back(Replace{std::move(pattern), std::string(value.string_at({"content"}))});
  } else {
    return no_such(at, "a normalizer", type);
  }
  return {};
}

std::optional<std::size_t> Normalizer::most_shortening() const {
  std::size_t out = 1;
  for (const Step& step : steps_) {
    if (std::holds_alternative<Form>(step)) {
      out *= kFormShortens;
    } else if (std::holds_alternative<Lowercase>(step)) {
      out *= kLowercaseShortens;
    } else if (std::holds_alternative<Strip>(step)) {
      return std::nullopt;
    } else if (const auto* replace = std::get_if<Replace>(&step)) {
      const std::size_t before = replace->pattern.only().size(), after = replace->content.size();
      if (before == 0 || after == 0) return std::nullopt;
      out *= std::max<std::size_t>(1, (before + after - 1) / after);
    }
  }
  return out;
}

Result<std::string> Normalizer::apply(std::string_view text) const {
  std::string out(text);
  for (const Step& step : steps_) {
    if (const auto* form = std::get_if<Form>(&step)) {
      BATON_TRY_ASSIGN(out, mapped(out, form->options));
    } else if (std::holds_alternative<Lowercase>(step)) {
      out = lower(out);
    } else if (const auto* prepend = std::get_if<Prepend>(&step)) {
      if (!out.empty()) out.insert(0, prepend->text);
    } else if (const auto* strip = std::get_if<Strip>(&step)) {
      std::size_t n = 0;
      std::size_t from = 0;
      while (strip->left && from < out.size() && white(out, from, n)) from += n;
      std::size_t to = from;
      for (std::size_t at = from; at < out.size(); at += n) {
        if (!white(out, at, n)) to = at + n;
      }
      out = out.substr(from, strip->right ? to - from : std::string::npos);
    } else {
      const auto& replace = std::get<Replace>(step);
      std::vector<Span> found;
      BATON_TRY(replace.pattern.find_all(out, found));
      std::string made;
      std::size_t at = 0;
      for (const auto& [from, to] : found) {
        made.append(out, at, from - at);
        made += replace.content;
        at = to;
      }
      made.append(out, at);
      out = std::move(made);
    }
  }
  return out;
}

}  // namespace baton::token
