#include "formats/token/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <string>

namespace baton::token {
namespace {

constexpr std::uint32_t kMatchLimit = 50'000'000;
constexpr std::uint32_t kDepthLimit = 100'000;
constexpr std::size_t kJitStack = 1 << 20;

// PCRE2's \s takes U+180E, which is no white space since Unicode 6.3: spell the class out.
constexpr std::string_view kSpaces =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";

std::string with_spaces_spelt_out(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') {
        out += in_class ? std::string(kSpaces) : fmt::format("[{}]", kSpaces);
      } else if (next == 'S' && !in_class) {
        out += fmt::format("[^{}]", kSpaces);
      } else {
        out += c;
        out += next;
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out += c;
  }
  return out;
}

struct FreeMatch {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};

// What a thread matches with: only the bounds of the whole match are asked for.
struct Matching {
  Matching()
      : match(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 << 10, kJitStack, nullptr)) {
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_depth_limit(context.get(), kDepthLimit);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  std::unique_ptr<pcre2_match_data, FreeMatch> match;
  std::unique_ptr<pcre2_match_context, FreeMatch> context;
  std::unique_ptr<pcre2_jit_stack, FreeMatch> stack;
};

}  // namespace

void Regex::Free::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kMaxPattern)
    return invalid(fmt::format("an expression of {} bytes, over {}", pattern.size(), kMaxPattern));
  const std::string ours = with_spaces_spelt_out(pattern);
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(ours.data()), ours.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR message[256];
    pcre2_get_error_message(error, message, sizeof message);
    return invalid(
        fmt::format("bad expression '{}': {}", pattern, reinterpret_cast<const char*>(message)));
  }
  Regex out;
  out.fast_ = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;  // else the interpreter runs
  out.code_.reset(code);
  return out;
}

Status Regex::find_all(std::string_view text, std::vector<Span>& out) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  thread_local const Matching m;
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  std::size_t at = 0;
  while (at < text.size()) {
    const int n =
        fast_ ? pcre2_jit_match(code, subject, text.size(), at, 0, m.match.get(), m.context.get())
              : pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, m.match.get(),
                            m.context.get());
    if (n == PCRE2_ERROR_NOMATCH) break;
    if (n < 0) return exhausted("a text that the pre-tokenizer cannot split within its limits");
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(m.match.get());
    if (bounds[1] > bounds[0]) {
      out.emplace_back(bounds[0], bounds[1]);
      at = bounds[1];
    } else {  // an empty match: one character on
      at = bounds[1] + 1;
      while (at < text.size() && (text[at] & 0xC0) == 0x80) ++at;
    }
  }
  return {};
}

}  // namespace baton::token
