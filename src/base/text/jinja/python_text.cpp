#include "base/text/jinja/python_text.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/text/jinja/interpreter.hpp"

namespace baton::text::jinja {
namespace {

// Decodes one code point; a broken sequence gives U+FFFD for one byte.
std::size_t decode(std::string_view text, std::size_t at, char32_t& point) {
  utf8proc_int32_t cp = 0;
  const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                  static_cast<utf8proc_ssize_t>(text.size() - at), &cp);
  if (n <= 0) {
    point = 0xFFFD;
    return 1;
  }
  point = static_cast<char32_t>(cp);
  return static_cast<std::size_t>(n);
}

bool space(char32_t p) {
  return (p >= 9 && p <= 13) || (p >= 0x1C && p <= 0x20) || p == 0x85 || p == 0xA0 || p == 0x1680 ||
         (p >= 0x2000 && p <= 0x200A) || p == 0x2028 || p == 0x2029 || p == 0x202F || p == 0x205F ||
         p == 0x3000;
}

bool printable(char32_t p) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(p))) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return false;
    case UTF8PROC_CATEGORY_ZS:
      return p == ' ';
    default:
      return true;
  }
}

char32_t to_lower(char32_t p) {
  return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(p)));
}

// Upper case, with the characters that become several (SpecialCasing.txt, the unconditional Latin
// ones).
void append_upper(std::string& out, char32_t p) {
  switch (p) {
    case 0xDF:
      out += "SS";
      return;
    case 0x149:
      out += "\u02BCN";
      return;
    case 0x1F0:
      out += "J\u030C";
      return;
    case 0xFB00:
      out += "FF";
      return;
    case 0xFB01:
      out += "FI";
      return;
    case 0xFB02:
      out += "FL";
      return;
    case 0xFB03:
      out += "FFI";
      return;
    case 0xFB04:
      out += "FFL";
      return;
    case 0xFB05:
    case 0xFB06:
      out += "ST";
      return;
    default:
      append_utf8(out, static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(p))));
  }
}

bool cased(char32_t p) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(p));
  return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL ||
         category == UTF8PROC_CATEGORY_LT;
}

template <class F>
void each(std::string_view text, F&& f) {
  for (std::size_t at = 0; at < text.size();) {
    char32_t p = 0;
    at += decode(text, at, p);
    f(p);
  }
}

std::string repr_text(std::string_view text) {
  const bool double_quotes =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  std::string out(1, quote);
  each(text, [&](char32_t p) {
    if (p == static_cast<char32_t>(quote) || p == '\\') {
      out += '\\';
      out += static_cast<char>(p);
    } else if (p == '\n') {
      out += "\\n";
    } else if (p == '\r') {
      out += "\\r";
    } else if (p == '\t') {
      out += "\\t";
    } else if (printable(p)) {
      append_utf8(out, p);
    } else if (p < 0x100) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned>(p));
    } else if (p < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(p));
    } else {
      out += fmt::format("\\U{:08x}", static_cast<unsigned>(p));
    }
  });
  return out + quote;
}

Status put_repr(Draft& out, const Value& v);

Status put_list(Draft& out, const List& l) {
  const bool tuple = l.kind != List::Kind::kList;
  BATON_TRY(out.put(tuple ? "(" : "["));
  for (std::size_t i = 0; i < l.items.size(); ++i) {
    if (i > 0) {
      BATON_TRY(out.put(", "));
    }
    BATON_TRY(put_repr(out, l.items[i]));
  }
  if (tuple && l.items.size() == 1) {
    BATON_TRY(out.put(","));
  }
  return out.put(tuple ? ")" : "]");
}

Status put_dict(Draft& out, const Dict& d) {
  BATON_TRY(out.put("{"));
  for (std::size_t i = 0; i < d.items.size(); ++i) {
    if (i > 0) {
      BATON_TRY(out.put(", "));
    }
    BATON_TRY(put_repr(out, d.items[i].first));
    BATON_TRY(out.put(": "));
    BATON_TRY(put_repr(out, d.items[i].second));
  }
  return out.put("}");
}

std::string repr_object(const Object& o) {
  switch (o.kind) {
    case Object::Kind::kMacro:
      return fmt::format("<Macro {}>", repr_text(o.name));
    case Object::Kind::kNamespace:
      return "<Namespace>";
    case Object::Kind::kLoop:
      return fmt::format("<LoopContext {}/{}>", o.position + 1, o.items.size());
    default:
      return fmt::format("<function {}>", o.name);
  }
}

Status put_repr(Draft& out, const Value& v) {
  if (v.undefined()) return out.put("Undefined");
  if (v.none()) return out.put("None");
  if (const bool* b = v.get<bool>()) return out.put(*b ? "True" : "False");
  if (const Int* n = v.integer()) return out.put(fmt::format("{}", *n));
  if (const double* d = v.get<double>()) return out.put(repr(*d));
  if (const std::string* s = v.text()) return out.put(repr_text(*s));
  if (const List* l = v.list()) return put_list(out, *l);
  if (const Dict* d = v.dict()) return put_dict(out, *d);
  return out.put(repr_object(*v.object()));
}

}  // namespace

Status Draft::grow(std::size_t bytes) const {
  if (bytes <= most_ - text_.size()) return {};
  return exhausted(
      fmt::format("a text of more than the {} bytes that the template may make", most_));
}

Status Draft::put(std::string_view piece) {
  BATON_TRY(grow(piece.size()));
  text_ += piece;
  return {};
}

Status Draft::fill(std::size_t count, char c) {
  BATON_TRY(grow(count));
  text_.append(count, c);
  return {};
}

void append_utf8(std::string& out, char32_t point) {
  utf8proc_uint8_t bytes[4];
  const bool valid = point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
  const auto n = utf8proc_encode_char(valid ? static_cast<utf8proc_int32_t>(point) : 0xFFFD, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(n));
}

std::u32string points(std::string_view text) {
  std::u32string out;
  each(text, [&](char32_t p) { out += p; });
  return out;
}

std::string utf8(std::u32string_view from) {
  std::string out;
  for (const char32_t p : from) append_utf8(out, p);
  return out;
}

std::size_t count_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::size_t space_length(std::string_view text, std::size_t at) {
  char32_t p = 0;
  const std::size_t n = decode(text, at, p);
  return space(p) ? n : 0;
}

std::string_view strip(std::string_view text, Side side) {
  std::size_t from = 0;
  std::size_t to = text.size();
  if (side != Side::kRight) {
    while (from < to) {
      const std::size_t n = space_length(text, from);
      if (n == 0) break;
      from += n;
    }
  }
  while (side != Side::kLeft && to > from) {
    std::size_t start = to - 1;
    while (start > from && (text[start] & 0xC0) == 0x80) --start;
    if (space_length(text, start) != to - start) break;
    to = start;
  }
  return text.substr(from, to - from);
}

std::string_view strip(std::string_view text, Side side, std::string_view characters) {
  const std::u32string set = points(characters);
  std::size_t from = 0;
  std::size_t to = text.size();
  char32_t p = 0;
  while (side != Side::kRight && from < to) {
    const std::size_t n = decode(text, from, p);
    if (set.find(p) == std::u32string::npos) break;
    from += n;
  }
  while (side != Side::kLeft && to > from) {
    std::size_t start = to - 1;
    while (start > from && (text[start] & 0xC0) == 0x80) --start;
    decode(text, start, p);
    if (set.find(p) == std::u32string::npos) break;
    to = start;
  }
  return text.substr(from, to - from);
}

std::string upper(std::string_view text) {
  std::string out;
  each(text, [&](char32_t p) { append_upper(out, p); });
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  each(text, [&](char32_t p) {
    if (p == 0x130) {
      out += "i\u0307";
    } else {
      append_utf8(out, to_lower(p));
    }
  });
  return out;
}

std::string casefold(std::string_view text) {
  utf8proc_uint8_t* folded = nullptr;
  const auto n =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                   static_cast<utf8proc_ssize_t>(text.size()), &folded, UTF8PROC_CASEFOLD);
  if (n < 0) return std::string(text);
  std::string out(reinterpret_cast<const char*>(folded), static_cast<std::size_t>(n));
  std::free(folded);
  return out;
}

std::string swapcase(std::string_view text) {
  std::string out;
  each(text, [&](char32_t p) {
    if (utf8proc_category(static_cast<utf8proc_int32_t>(p)) == UTF8PROC_CATEGORY_LU) {
      append_utf8(out, to_lower(p));
    } else {
      append_upper(out, p);
    }
  });
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  each(text, [&](char32_t p) {
    if (out.empty()) {
      append_upper(out, p);
    } else {
      append_utf8(out, to_lower(p));
    }
  });
  return out;
}

std::string title(std::string_view text) {
  std::string out;
  bool inside = false;
  each(text, [&](char32_t p) {
    if (inside) {
      append_utf8(out, to_lower(p));
    } else {
      append_upper(out, p);
    }
    inside = cased(p);
  });
  return out;
}

bool alphabetic(char32_t p) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(p));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool numeric(char32_t p) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(p)) == UTF8PROC_CATEGORY_ND;
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string repr(double d) {
  if (std::isnan(d)) return "nan";
  if (std::isinf(d)) return d > 0 ? "inf" : "-inf";
  if (d == 0) return std::signbit(d) ? "-0.0" : "0.0";
  // The shortest digits that read back as d, as fmt writes them.
  const std::string shortest = fmt::format("{}", std::fabs(d));
  std::string digits;
  for (const char c : shortest) {
    if (c == 'e') break;
    if (c != '.') digits += c;
  }
  digits.erase(0, digits.find_first_not_of('0'));
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.empty()) digits = "0";
  int exponent = 0;
  if (const std::size_t e = shortest.find('e'); e != std::string::npos) {
    exponent = std::atoi(shortest.c_str() + e + 1);
  } else {
    const std::size_t dot = std::min(shortest.find('.'), shortest.size());
    const std::size_t lead = shortest.find_first_not_of("0.");
    exponent = lead < dot ? static_cast<int>(dot - lead) - 1 : -static_cast<int>(lead - dot);
  }
  std::string out = d < 0 ? "-" : "";
  const int n = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    out += digits[0];
    if (n > 1) out += '.' + digits.substr(1);
    return out + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  if (n <= exponent + 1)
    return out + digits + std::string(static_cast<std::size_t>(exponent + 1 - n), '0') + ".0";
  return out + digits.substr(0, static_cast<std::size_t>(exponent) + 1) + '.' +
         digits.substr(static_cast<std::size_t>(exponent) + 1);
}

Result<std::string> str(const Value& v, std::size_t most) {
  if (v.undefined()) return std::string();
  if (v.text() == nullptr) return repr(v, most);
  Draft out(most);
  BATON_TRY(out.put(*v.text()));
  return out.take();
}

Result<std::string> repr(const Value& v, std::size_t most) {
  Draft out(most);
  BATON_TRY(put_repr(out, v));
  return out.take();
}

}  // namespace baton::text::jinja
