#include "formats/openai/splice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "base/core/assert.hpp"
#include "base/core/utf8.hpp"
#include "formats/openai/special_bytes.hpp"

namespace baton::openai {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Behind a backslash.
bool is_escape(char c) {
  return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' ||
         c == 't' || c == 'u';
}

// The four hexadecimal digits at the front; -1 when they are not.
int hex4(std::string_view text) {
  if (text.size() < 4) return -1;
  int value = 0;
  for (char c : text.substr(0, 4)) {
    int digit = is_digit(c)            ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

void append_utf8(std::string& out, unsigned point) {
  auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (point < 0x80) {
    put(point);
  } else if (point < 0x800) {
    put(0xC0U | (point >> 6U));
    put(0x80U | (point & 0x3FU));
  } else if (point < 0x10000) {
    put(0xE0U | (point >> 12U));
    put(0x80U | ((point >> 6U) & 0x3FU));
    put(0x80U | (point & 0x3FU));
  } else {
    put(0xF0U | (point >> 18U));
    put(0x80U | ((point >> 12U) & 0x3FU));
    put(0x80U | ((point >> 6U) & 0x3FU));
    put(0x80U | (point & 0x3FU));
  }
}

// The text of a valid string's inside.
std::string unescape(std::string_view raw) {
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\') {
      out += raw[i];
      continue;
    }
    char c = raw[++i];
    if (c != 'u') {
      static constexpr std::string_view kFrom = "bfnrt";
      static constexpr std::string_view kTo = "\b\f\n\r\t";
      std::size_t at = kFrom.find(c);
      out += at == std::string_view::npos ? c : kTo[at];
      continue;
    }
    auto point = static_cast<unsigned>(hex4(raw.substr(i + 1)));
    i += 4;
    if (point >= 0xD800 && point < 0xDC00) {
      auto low = static_cast<unsigned>(hex4(raw.substr(i + 3)));
      point = 0x10000U + ((point - 0xD800U) << 10U) + (low - 0xDC00U);
      i += 6;
    }
    append_utf8(out, point);
  }
  return out;
}

// A strict reader of JSON syntax. Functions return false once the text is wrong; then `at` is the
// place and `expected` what should have stood there.
class Syntax {
 public:
  explicit Syntax(std::string_view text) : text_(text), special_(text) {}

  std::size_t at() const { return at_; }
  std::string_view expected() const { return expected_; }

  void spaces() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool ended() const { return at_ == text_.size(); }
  bool is(char c) const { return at_ < text_.size() && text_[at_] == c; }
  bool take(char c, std::string_view name) {
    if (!is(c)) return fail(name);
    ++at_;
    return true;
  }
  bool fail(std::string_view expected) {
    expected_ = expected;
    return false;
  }

  bool value(std::size_t depth) {
    if (ended()) return fail("a value");
    switch (text_[at_]) {
      case '{':
        return container(depth, '}');
      case '[':
        return container(depth, ']');
      case '"':
        return string(nullptr);
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  // Sets `escaped` when the string has escapes.
  bool string(bool* escaped) {
    if (!take('"', "a string")) return false;
    for (;;) {
      at_ = special_.next(at_);
      if (ended()) return fail("the end of a string");
      char c = text_[at_];
      if (c == '"') break;
      if (c == '\\') {
        if (escaped != nullptr) *escaped = true;
        if (!escape()) return false;
        continue;
      }
      if (static_cast<unsigned char>(c) < 0x20) return fail("no control byte in a string");
      std::size_t length = utf8_length(text_.substr(at_));
      if (length == 0) return fail("valid UTF-8");
      at_ += length;
    }
    ++at_;
    return true;
  }

 private:
  bool escape() {
    std::string_view rest = text_.substr(at_ + 1);
    if (rest.empty() || !is_escape(rest[0])) return fail("a JSON escape");
    if (rest[0] != 'u') {
      at_ += 2;
      return true;
    }
    int point = hex4(rest.substr(1));
    if (point < 0) return fail("four hexadecimal digits after \\u");
    at_ += 6;
    if (point < 0xD800 || point > 0xDFFF) return true;
    std::string_view pair = text_.substr(std::min(at_, text_.size()));
    int low = pair.starts_with("\\u") ? hex4(pair.substr(2)) : -1;
    if (point >= 0xDC00 || low < 0xDC00 || low > 0xDFFF) return fail("a surrogate pair");
    at_ += 6;
    return true;
  }

  bool word(std::string_view name) {
    if (!text_.substr(at_).starts_with(name)) return fail("a value");
    at_ += name.size();
    return true;
  }

  bool digits() {
    if (ended() || !is_digit(text_[at_])) return fail("a digit");
    while (!ended() && is_digit(text_[at_])) ++at_;
    return true;
  }

  bool number() {
    if (!is('-') && !is_digit(text_[at_])) return fail("a value");
    if (is('-')) ++at_;
    bool zero = is('0');
    std::size_t first = at_;
    if (!digits()) return false;
    if (zero && at_ > first + 1) {
      at_ = first + 1;
      return fail("no digit after a leading zero");
    }
    if (is('.')) {
      ++at_;
      if (!digits()) return false;
    }
    if (is('e') || is('E')) {
      ++at_;
      if (is('+') || is('-')) ++at_;
      if (!digits()) return false;
    }
    return true;
  }

  bool container(std::size_t depth, char close) {
    if (depth >= kMaxBodyDepth) return fail("no deeper nesting");
    ++at_;
    spaces();
    if (is(close)) {
      ++at_;
      return true;
    }
    for (;;) {
      spaces();
      if (close == '}') {
        if (!string(nullptr)) return false;
        spaces();
        if (!take(':', "':'")) return false;
        spaces();
      }
      if (!value(depth + 1)) return false;
      spaces();
      if (is(close)) break;
      if (!take(',', close == '}' ? "',' or '}'" : "',' or ']'")) return false;
    }
    ++at_;
    return true;
  }

  std::string_view text_;
  SpecialBytes special_;
  std::size_t at_ = 0;
  std::string_view expected_;
};

}  // namespace

// Builds the index on top of the syntax.
class BodyIndex::Scanner {
 public:
  Scanner(BodyIndex& index, std::string_view nested)
      : index_(index), nested_(nested), syntax_(index.body_) {}

  Status run() {
    syntax_.spaces();
    bool good = syntax_.is('{') ? object(index_.top_, 1) : syntax_.fail("an object");
    if (good) {
      syntax_.spaces();
      good = syntax_.ended() || syntax_.fail("the end of the text");
    }
    if (good) return {};
    return invalid(fmt::format("at byte {}: expected {}", syntax_.at(), syntax_.expected()));
  }

 private:
  bool object(Object& into, std::size_t depth) {
    (void)syntax_.take('{', "an object");
    into = {};
    into.open = syntax_.at();
    syntax_.spaces();
    bool empty = syntax_.is('}');
    std::size_t begin = into.open;
    while (!empty) {
      if (into.members.size() == kMaxBodyMembers) return syntax_.fail("fewer members");
      if (!member(into, begin, depth)) return false;
      if (syntax_.is('}')) break;
      if (!syntax_.take(',', "',' or '}'")) return false;
      begin = syntax_.at();
    }
    into.close = syntax_.at();
    return syntax_.take('}', "'}'");
  }

  bool member(Object& into, std::size_t begin, std::size_t depth) {
    Member m{};
    m.begin = begin;
    syntax_.spaces();
    m.key = syntax_.at() + 1;
    if (!syntax_.string(&m.escaped)) return false;
    m.key_end = syntax_.at() - 1;
    syntax_.spaces();
    if (!syntax_.take(':', "':'")) return false;
    syntax_.spaces();
    m.value = syntax_.at();
    bool named = depth == 1 && !nested_.empty() && index_.has_key(m, nested_);
    if (named) index_.nested_ = {};
    bool good = named && syntax_.is('{') ? object(index_.nested_, depth + 1) : syntax_.value(depth);
    if (!good) return false;
    m.value_end = syntax_.at();
    syntax_.spaces();
    m.end = syntax_.at();
    into.members.push_back(m);
    return true;
  }

  BodyIndex& index_;
  std::string_view nested_;
  Syntax syntax_;
};

// Collects slices; neighbours in the original become one piece.
class BodyIndex::Writer {
 public:
  Writer(const BodyIndex& index, std::span<const Edit> edits) : index_(index), edits_(edits) {}

  Spliced run() {
    keep(0, index_.top_.open);
    object(index_.top_, Where::kTop);
    keep(index_.top_.close, index_.body_.size());
    return finish();
  }

 private:
  struct Slice {
    bool original;
    std::size_t begin, end;
  };

  void keep(std::size_t begin, std::size_t end) {
    if (!slices_.empty() && slices_.back().original && slices_.back().end == begin) {
      slices_.back().end = end;
    } else if (begin < end) {
      slices_.push_back({true, begin, end});
    }
  }
  void add(std::string_view text) {
    std::size_t begin = added_.size();
    added_.insert(added_.end(), text.begin(), text.end());
    if (!slices_.empty() && !slices_.back().original && slices_.back().end == begin) {
      slices_.back().end = added_.size();
    } else {
      slices_.push_back({false, begin, added_.size()});
    }
  }

  void object(const Object& object, Where where) {
    std::vector<bool> done(edits_.size(), false);  // the edit's key has been met
    bool first = true;
    for (const Member& m : object.members) {
      std::size_t at = edit_of(m, where);
      bool edited = at < edits_.size();
      if (edited && (done[at] || !edits_[at].value)) continue;
      if (where == Where::kTop && is_shadowed(m)) continue;
      if (!first) keep(m.begin - 1, m.begin);  // its own comma
      first = false;
      if (edited) {
        done[at] = true;
        keep(m.begin, m.value);
        add(*edits_[at].value);
        keep(m.value_end, m.end);
      } else if (where == Where::kTop && edits_nested() && m.value + 1 == index_.nested_.open) {
        keep(m.begin, index_.nested_.open);
        this->object(index_.nested_, Where::kNested);
        keep(index_.nested_.close, m.end);
      } else {
        keep(m.begin, m.end);
      }
    }
    append_new(where, done, first);
  }

  void append_new(Where where, const std::vector<bool>& done, bool first) {
    for (std::size_t i = 0; i < edits_.size(); ++i) {
      if (edits_[i].where != where || done[i] || !edits_[i].value) continue;
      if (!first) add(",");
      first = false;
      add("\"");
      add(edits_[i].key);
      add("\":");
      add(*edits_[i].value);
    }
  }

  std::size_t edit_of(const Member& m, Where where) const {
    for (std::size_t i = 0; i < edits_.size(); ++i) {
      if (edits_[i].where == where && index_.has_key(m, edits_[i].key)) return i;
    }
    return edits_.size();
  }
  bool edits_nested() const {
    return std::any_of(edits_.begin(), edits_.end(),
                       [](const Edit& e) { return e.where == Where::kNested; });
  }
  // An earlier duplicate of the member whose inside is edited.
  bool is_shadowed(const Member& m) const {
    return edits_nested() && m.value + 1 != index_.nested_.open &&
           index_.has_key(m, index_.nested_key_);
  }

  Spliced finish() {
    Spliced out;
    out.added = std::move(added_);
    std::string_view added(out.added.data(), out.added.size());
    for (const Slice& s : slices_) {
      out.pieces.push_back((s.original ? index_.body_ : added).substr(s.begin, s.end - s.begin));
    }
    return out;
  }

  const BodyIndex& index_;
  std::span<const Edit> edits_;
  std::vector<Slice> slices_;
  std::vector<char> added_;
};

Result<BodyIndex> BodyIndex::scan(std::string_view body, std::string_view nested) {
  BodyIndex index(body);
  index.nested_key_ = nested;
  Scanner scanner(index, nested);
  BATON_TRY(scanner.run());
  return index;
}

bool BodyIndex::has_key(const Member& member, std::string_view key) const {
  std::string_view raw = body_.substr(member.key, member.key_end - member.key);
  return member.escaped ? unescape(raw) == key : raw == key;
}

const BodyIndex::Member* BodyIndex::last(const Object& object, std::string_view key) const {
  auto found = std::find_if(object.members.rbegin(), object.members.rend(),
                            [&](const Member& m) { return has_key(m, key); });
  return found == object.members.rend() ? nullptr : &*found;
}

std::optional<std::string_view> BodyIndex::find(std::string_view key, Where where) const {
  const Member* member = last(where == Where::kTop ? top_ : nested_, key);
  if (member == nullptr) return std::nullopt;
  return body_.substr(member->value, member->value_end - member->value);
}

Spliced BodyIndex::splice(std::span<const Edit> edits) const {
  for (const Edit& edit : edits) BATON_ASSERT(edit.where == Where::kTop || has_nested());
  return Writer(*this, edits).run();
}

std::size_t Spliced::size() const {
  std::size_t sum = 0;
  for (std::string_view piece : pieces) sum += piece.size();
  return sum;
}

std::string Spliced::join() const {
  std::string all;
  all.reserve(size());
  for (std::string_view piece : pieces) all += piece;
  return all;
}

std::optional<std::size_t> count_elements(std::string_view array) {
  Syntax syntax(array);
  syntax.spaces();
  if (!syntax.is('[')) return std::nullopt;
  (void)syntax.take('[', "an array");
  syntax.spaces();
  if (syntax.is(']')) return 0;
  for (std::size_t count = 1;; ++count) {
    syntax.spaces();
    if (!syntax.value(1)) return std::nullopt;
    syntax.spaces();
    if (syntax.is(']')) return count;
    if (!syntax.take(',', "',' or ']'")) return std::nullopt;
  }
}

}  // namespace baton::openai
