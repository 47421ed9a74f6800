#include "formats/token/pre_tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "formats/token/scratch.hpp"

namespace baton::token {

using text::json::pointer;
using text::json::Value;

namespace {

// Inside brackets: \w of Rust's regex. That of PCRE2 has neither marks, joiners nor letters in
// circles and squares, but numbers such as "²".
constexpr std::string_view kRustWord =
    R"(\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9})"
    R"(\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";

}  // namespace

Result<PreTokenizer> PreTokenizer::parse(const Value* value) {
  PreTokenizer out;
  if (value != nullptr && !value->is_null()) {
    BATON_TRY(out.read(*value, "/pre_tokenizer", 0));
  }
  return out;
}

Status PreTokenizer::add_regex(std::string_view pattern, Behavior behavior) {
  Split step;
  BATON_TRY_ASSIGN(step.pattern, Pattern::regex(pattern));
  step.behavior = behavior;
  steps_.emplace_back(std::move(step));
  return {};
}

Status PreTokenizer::read(const Value& value, const std::string& at, int depth) {
  const std::string_view type = value.string_at({"type"});
  if (byte_level_) return unsupported(at + ": a step after ByteLevel");
  if (type == "Sequence") {
    const Value* list = value.find("pretokenizers");
    if (list == nullptr || !list->is_array() || depth > kMaxSequence)
      return invalid(at + "/pretokenizers: expected an array");
    std::size_t i = 0;
    for (const Value& inner : *list->if_array()) {
      BATON_TRY(read(inner, pointer(at + "/pretokenizers", i++), depth + 1));
    }
    return {};
  }
  if (type == "ByteLevel") return read_byte_level(value);
  if (type == "Metaspace") return read_metaspace(value, at);
  if (type == "Split") return read_split(value, at);
  if (type == "Digits")
    return add_regex(flag(value, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)",
                     Behavior::kIsolated);
  if (type == "Whitespace") {
    BATON_TRY(add_regex(fmt::format(R"([{0}]+|[^{0}\s]+)", kRustWord), Behavior::kRemoved));
    std::get<Split>(steps_.back()).invert = true;
    return {};
  }
  if (type == "WhitespaceSplit") return add_regex(R"(\s)", Behavior::kRemoved);
  if (type == "Punctuation") {
    BATON_TRY_ASSIGN(const auto behavior, read_behavior(value, at, "Isolated"));
    return add_regex(R"([\p{P}!-/:-@\[-`{-~])", behavior);
  }
  return no_such(at, "a pre-tokenizer", type);
}

Status PreTokenizer::read_split(const Value& value, const std::string& at) {
  Split step;
  BATON_TRY_ASSIGN(step.pattern, Pattern::read(value, at));
  step.invert = flag(value, "invert", false);
  BATON_TRY_ASSIGN(step.behavior, read_behavior(value, at, ""));
  steps_.push_back(std::move(step));
  return {};
}

Result<PreTokenizer::Behavior> PreTokenizer::read_behavior(const Value& value,
                                                           const std::string& at,
                                                           std::string_view absent) {
  const auto behavior = value.find("behavior") == nullptr ? absent : value.string_at({"behavior"});
  if (behavior == "Removed") return Behavior::kRemoved;
  if (behavior == "Isolated") return Behavior::kIsolated;
  if (behavior == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (behavior == "MergedWithNext") return Behavior::kMergedWithNext;
  if (behavior == "Contiguous") return Behavior::kContiguous;
  return no_such(at + "/behavior", "a behavior", behavior);
}

Status PreTokenizer::read_byte_level(const Value& value) {
  byte_level_ = true;
  const bool prefix = flag(value, "add_prefix_space", true);
  if (flag(value, "use_regex", true)) {
    BATON_TRY(
        add_regex(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
                  Behavior::kIsolated));
    std::get<Split>(steps_.back()).prefix_space = prefix;
  } else if (prefix) {
    Split step;  // finds nothing: only the space
    step.prefix_space = true;
    steps_.push_back(std::move(step));
  }
  return {};
}

Status PreTokenizer::read_metaspace(const Value& value, const std::string& at) {
  Metaspace step;
  step.mark = value.string_at({"replacement"});
  if (step.mark.empty()) return invalid(at + "/replacement: expected a character");
  const std::string_view scheme = value.string_at({"prepend_scheme"});
  if (scheme == "first") {
    step.prepend = Metaspace::Prepend::kFirst;
  } else if (scheme == "never" || (scheme.empty() && !flag(value, "add_prefix_space", true))) {
    step.prepend = Metaspace::Prepend::kNever;
  } else if (scheme != "always" && !scheme.empty()) {
    return no_such(at + "/prepend_scheme", "a scheme", scheme);
  }
  if (flag(value, "split", true)) {
    step.split.pattern = Pattern::literal(step.mark);
    step.split.behavior = Behavior::kMergedWithNext;
  }
  steps_.emplace_back(std::move(step));
  return {};
}

void PreTokenizer::mark_spaces(const Metaspace& step, bool first, std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out += step.mark;
    } else {
      out += c;
    }
  }
  const bool prepends = step.prepend == Metaspace::Prepend::kAlways ||
                        (step.prepend == Metaspace::Prepend::kFirst && first);
  if (prepends && !out.starts_with(step.mark)) out.insert(0, step.mark);
  text = std::move(out);
}

// All of the text in pieces, each with whether it is a delimiter; then joined as the behavior says.
void PreTokenizer::pieces(const Split& step, std::string_view text, const std::vector<Span>& found,
                          std::vector<std::string_view>& out) {
  if (step.behavior == Behavior::kIsolated) {  // most models'
    std::size_t at = 0;
    for (const auto& [from, to] : found) {
      if (from > at) out.push_back(text.substr(at, from - at));
      out.push_back(text.substr(from, to - from));
      at = to;
    }
    if (at < text.size()) out.push_back(text.substr(at));
    return;
  }
  struct Piece {
    std::size_t from, to;
    bool delimiter;
  };
  std::vector<Piece> all;
  std::size_t at = 0;
  for (const auto& [from, to] : found) {
    if (from > at) all.push_back({at, from, step.invert});
    all.push_back({from, to, !step.invert});
    at = to;
  }
  if (at < text.size()) all.push_back({at, text.size(), step.invert});
  std::vector<Piece> joined;
  bool last_was_delimiter = false;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Piece& piece = all[step.behavior == Behavior::kMergedWithNext ? all.size() - 1 - i : i];
    switch (step.behavior) {
      case Behavior::kRemoved:
        if (!piece.delimiter) joined.push_back(piece);
        break;
      case Behavior::kIsolated:
        joined.push_back(piece);
        break;
      case Behavior::kMergedWithPrevious:
        if (piece.delimiter && !last_was_delimiter && !joined.empty()) {
          joined.back().to = piece.to;
        } else {
          joined.push_back(piece);
        }
        break;
      case Behavior::kMergedWithNext:
        if (piece.delimiter && !last_was_delimiter && !joined.empty()) {
          joined.back().from = piece.from;
        } else {
          joined.push_back(piece);
        }
        break;
      case Behavior::kContiguous:
        if (!joined.empty() && joined.back().delimiter == piece.delimiter) {
          joined.back().to = piece.to;
        } else {
          joined.push_back(piece);
        }
        break;
    }
    last_was_delimiter = piece.delimiter;
  }
  if (step.behavior == Behavior::kMergedWithNext) {
    for (std::size_t i = joined.size(); i-- > 0;)
      out.emplace_back(text.substr(joined[i].from, joined[i].to - joined[i].from));
    return;
  }
  for (const Piece& piece : joined)
    out.emplace_back(text.substr(piece.from, piece.to - piece.from));
}

bool PreTokenizer::drops_text() const {
  return std::ranges::any_of(steps_, [](const Step& step) {
    const auto* split = std::get_if<Split>(&step);
    return split != nullptr && split->behavior == Behavior::kRemoved;
  });
}

void PreTokenizer::Words::shrink() {
  own.clear();
  give_back(words);
  give_back(before);
  give_back(found);
}

Status PreTokenizer::apply(std::string_view text, bool first, Words& w) const {
  w.own.clear();
  w.words.assign(1, text);
  for (const Step& step : steps_) {
    const auto* metaspace = std::get_if<Metaspace>(&step);
    const Split& split = metaspace != nullptr ? metaspace->split : std::get<Split>(step);
    w.before.swap(w.words);
    w.words.clear();
    for (std::size_t i = 0; i < w.before.size(); ++i) {
      std::string_view piece = w.before[i];
      if (metaspace != nullptr) {
        auto& marked = w.own.emplace_back(piece);
        mark_spaces(*metaspace, first && i == 0, marked);
        piece = marked;
      }
      if (split.prefix_space && !piece.starts_with(' ')) {
        piece = w.own.emplace_back(" ").append(piece);
      }
      w.found.clear();
      if (split.pattern) {
        BATON_TRY(split.pattern->find_all(piece, w.found));
      }
      pieces(split, piece, w.found, w.words);
    }
  }
  std::erase_if(w.words, [](std::string_view word) { return word.empty(); });
  return {};
}

}  // namespace baton::token
