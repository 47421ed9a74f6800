// Filters on one value. Those on sequences are in sequence_filters.cpp.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "base/text/jinja/filters.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

using In = Interpreter;

Result<Int> integer(const Args& args, std::size_t i, std::string_view name, Int otherwise) {
  const Value* v = args.get(i, name);
  Int out = otherwise;
  if (v == nullptr || v->none()) return otherwise;
  if (!v->integral(out)) return invalid(fmt::format("'{}' takes an integer", name));
  return out;
}

Result<Value> f_upper(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  return Value(upper(s));
}
Result<Value> f_lower(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  return Value(lower(s));
}
Result<Value> f_capitalize(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  return Value(capitalize(s));
}
Result<Value> f_string(In& in, const Value& v, const Args&) {
  if (v.text() != nullptr) return v;
  BATON_TRY_ASSIGN(std::string s, in.shown(v));
  return Value(std::move(s));
}
Result<Value> f_safe(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(std::string s, in.shown(v));
  return Value(std::move(s), true);
}
Result<Value> f_forceescape(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  std::string escaped = escape(s);
  BATON_TRY(in.charge(escaped.size() / 8));
  return Value(std::move(escaped), true);
}
Result<Value> f_escape(In& in, const Value& v, const Args& args) {
  return v.safe() ? v : f_forceescape(in, v, args);
}

// jinja2's title: words begin after space, '-' or an opening bracket only.
Result<Value> f_title(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  std::string out;
  for (std::size_t at = 0; at < s.size();) {
    const auto splits = [&](std::size_t i) {
      return std::string_view("-({[<").find(s[i]) != std::string_view::npos ||
             space_length(s, i) > 0;
    };
    const bool split = splits(at);
    std::size_t end = at;
    while (end < s.size() && splits(end) == split) {
      do {
        ++end;
      } while (end < s.size() && (s[end] & 0xC0) == 0x80);
    }
    out += split ? s.substr(at, end - at) : capitalize(std::string_view(s).substr(at, end - at));
    at = end;
  }
  return Value(std::move(out));
}

Result<Value> f_trim(In& in, const Value& v, const Args& args) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  const Value* set = args.get(0, "chars");
  if (set == nullptr || set->none()) return Value(strip(s, Side::kBoth));
  BATON_TRY_ASSIGN(const std::string characters, in.shown(*set));
  return Value(strip(s, Side::kBoth, characters));
}

Result<Value> f_replace(In& in, const Value& v, const Args& args) {
  const Value* from = args.get(0, "old");
  const Value* to = args.get(1, "new");
  if (from == nullptr || to == nullptr)
    return invalid("'replace' takes what to replace and by what");
  BATON_TRY_ASSIGN(const Int limit, integer(args, 2, "count", -1));
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  BATON_TRY_ASSIGN(const std::string old, in.shown(*from));
  BATON_TRY_ASSIGN(const std::string fresh, in.shown(*to));
  return replace_text(in, s, old, fresh, limit);
}

Result<Value> f_format(In& in, const Value& v, const Args& args) {
  Value values;
  if (!args.named.empty()) {
    std::vector<std::pair<Value, Value>> named;
    for (const auto& [key, value] : args.named) named.emplace_back(Value(key), value);
    BATON_TRY_ASSIGN(values, make_dict(std::move(named)));
  } else {
    BATON_TRY_ASSIGN(values, make_list(args.positional, List::Kind::kTuple));
  }
  BATON_TRY_ASSIGN(const std::string format, in.shown(v));
  return printf_style(in, format, values);
}

Result<Value> f_default(In&, const Value& v, const Args& args) {
  const Value* other = args.get(0, "default_value");
  const bool missing = v.undefined() || (args.flag(1, "boolean") && !truth(v));
  return missing ? (other == nullptr ? Value("") : *other) : v;
}

Result<Value> f_int(In&, const Value& v, const Args& args) {
  const Value* given = args.get(0, "default");
  Value otherwise = given == nullptr ? Value(0) : *given;
  BATON_TRY_ASSIGN(const Int base, integer(args, 1, "base", 10));
  Int n = 0;
  if (v.integral(n)) return Value(n);
  if (const double* d = v.get<double>())
    return std::fabs(*d) < 1e37 ? Value(static_cast<Int>(*d)) : otherwise;
  if (v.text() == nullptr) return otherwise;
  if (base != 0 && (base < 2 || base > 36))
    return invalid(fmt::format("'int' takes a base of 0 or 2 to 36, not {}", base));
  std::string s(strip(*v.text(), Side::kBoth));
  std::erase(s, '_');
  char* end = nullptr;
  const bool prefixed =
      s.size() > 2 && s[0] == '0' &&
      ((base == 16 && (s[1] | 0x20) == 'x') || (base == 8 && (s[1] | 0x20) == 'o') ||
       (base == 2 && (s[1] | 0x20) == 'b'));
  const char* start = s.c_str() + (prefixed ? 2 : 0);
  errno = 0;
  const long long whole = std::strtoll(start, &end, static_cast<int>(base));
  if (!s.empty() && *end == '\0' && end != start && errno == 0)
    return Value(static_cast<Int>(whole));
  const double d = std::strtod(s.c_str(), &end);
  if (!s.empty() && *end == '\0' && std::fabs(d) < 1e37 && base == 10)
    return Value(static_cast<Int>(d));
  return otherwise;
}

Result<Value> f_float(In&, const Value& v, const Args& args) {
  const Value* given = args.get(0, "default");
  Value otherwise = given == nullptr ? Value(0.0) : *given;
  double d = 0;
  if (v.number(d)) return Value(d);
  if (v.text() == nullptr) return otherwise;
  const std::string s(strip(*v.text(), Side::kBoth));
  char* end = nullptr;
  d = std::strtod(s.c_str(), &end);
  return s.empty() || *end != '\0' ? otherwise : Value(d);
}

Result<Value> f_round(In& in, const Value& v, const Args& args) {
  BATON_TRY_ASSIGN(const Int precision, integer(args, 0, "precision", 0));
  const Value* method = args.get(1, "method");
  BATON_TRY_ASSIGN(const std::string how, in.shown(method == nullptr ? Value("common") : *method));
  double d = 0;
  if (!v.number(d)) return invalid(fmt::format("'round' takes a number, not {}", type_name(v)));
  if (precision < -300 || precision > 300) return invalid("'round' precision is out of range");
  if (how == "common") {
    // The decimal text rounds half to even on the exact value, as Python does.
    if (precision >= 0)
      return Value(
          std::strtod(fmt::format("{:.{}f}", d, static_cast<int>(precision)).c_str(), nullptr));
    const double unit = std::pow(10.0, static_cast<double>(-precision));
    return Value(std::nearbyint(d / unit) * unit);
  }
  if (how != "ceil" && how != "floor") return invalid("'round' knows common, ceil and floor");
  const double unit = std::pow(10.0, static_cast<double>(precision));
  return Value((how == "ceil" ? std::ceil(d * unit) : std::floor(d * unit)) / unit);
}

Result<Value> f_abs(In&, const Value& v, const Args&) {
  Int n = 0;
  if (v.integral(n)) return Value(n < 0 ? -n : n);
  double d = 0;
  if (v.number(d)) return Value(std::fabs(d));
  return invalid(fmt::format("'abs' takes a number, not {}", type_name(v)));
}

Result<Value> f_tojson(In& in, const Value& v, const Args& args) {
  JsonStyle style;
  // Position as in transformers: tojson(x, ensure_ascii=False, indent=None, separators=None,
  // sort_keys=False).
  style.ensure_ascii = args.flag(0, "ensure_ascii");
  BATON_TRY_ASSIGN(const Int indent, integer(args, 1, "indent", -1));
  if (indent > 64) return invalid("'tojson' indents by at most 64");
  style.indent = static_cast<int>(indent < -1 ? Int{-1} : indent);
  if (style.indent >= 0) style.item_separator = ",";
  if (const Value* s = args.get(2, "separators");
      s != nullptr && s->list() != nullptr && s->list()->items.size() == 2) {
    BATON_TRY_ASSIGN(style.item_separator, in.shown(s->list()->items[0]));
    BATON_TRY_ASSIGN(style.key_separator, in.shown(s->list()->items[1]));
  }
  style.sort_keys = args.flag(3, "sort_keys");
  BATON_TRY_ASSIGN(std::string out, to_json(v, style, in.room()));
  return in.text(std::move(out));
}

Result<Value> f_indent(In& in, const Value& v, const Args& args) {
  const Value* width = args.get(0, "width");
  Int n = 4;
  std::string prefix;
  if (width != nullptr && width->text() != nullptr) {
    prefix = *width->text();
  } else {
    if (width != nullptr && !width->integral(n)) return invalid("'indent' takes a width");
    if (n > 1000) return invalid("'indent' takes at most 1000");
    prefix.assign(static_cast<std::size_t>(n < 0 ? Int{0} : n), ' ');
  }
  const bool first = args.flag(1, "first");
  const bool blank = args.flag(2, "blank");
  BATON_TRY_ASSIGN(std::string s, in.shown(v));
  s += '\n';
  BATON_TRY(in.charge(static_cast<std::size_t>(std::count(s.begin(), s.end(), '\n')) *
                      (prefix.size() / 8 + 1)));
  std::string out = first ? prefix : "";
  std::size_t from = 0;
  for (std::size_t at = s.find('\n'); at != std::string::npos; at = s.find('\n', from)) {
    if (from > 0) {
      out += '\n';
      if (blank || at > from) out += prefix;
    }
    out.append(s, from, at - from);
    from = at + 1;
  }
  return in.text(std::move(out));
}

Result<Value> f_wordcount(In& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  std::size_t words = 0;
  bool inside = false;
  for (const char32_t p : points(s)) {
    const bool word = alphabetic(p) || numeric(p) || p == '_';
    words += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value(words);
}

Result<Value> f_center(In& in, const Value& v, const Args& args) {
  BATON_TRY_ASSIGN(const Int width, integer(args, 0, "width", 80));
  BATON_TRY_ASSIGN(const std::string s, in.shown(v));
  const auto n = static_cast<Int>(count_points(s));
  if (width <= n) return Value(s);
  if (width > 100'000) return invalid("'center' takes at most 100000");
  const auto fill = static_cast<std::size_t>(width - n);
  const std::size_t left = fill / 2 + (fill & static_cast<std::size_t>(width) & 1);
  return in.text(std::string(left, ' ') + s + std::string(fill - left, ' '));
}

Result<Value> f_truncate(In& in, const Value& v, const Args& args) {
  BATON_TRY_ASSIGN(const Int length, integer(args, 0, "length", 255));
  const bool cut = args.flag(1, "killwords");
  const Value* given = args.get(2, "end");
  BATON_TRY_ASSIGN(const std::string tail, in.shown(given == nullptr ? Value("...") : *given));
  const std::u32string end = points(tail);
  BATON_TRY_ASSIGN(const Int leeway, integer(args, 3, "leeway", 5));
  BATON_TRY_ASSIGN(const std::string all, in.shown(v));
  const std::u32string s = points(all);
  if (length < static_cast<Int>(end.size()) || leeway < 0)
    return invalid("'truncate' to less than its end");
  if (static_cast<Int>(s.size()) <= length + leeway) return Value(utf8(s));
  std::u32string kept = s.substr(0, static_cast<std::size_t>(length) - end.size());
  if (!cut) kept = kept.substr(0, kept.rfind(U' '));
  return in.text(utf8(kept + end));
}

Result<Value> f_attr(In& in, const Value& v, const Args& args) {
  const Value* name = args.get(0, "name");
  if (name == nullptr || name->text() == nullptr) return invalid("'attr' takes a name");
  if (v.dict() != nullptr) return Value();  // a mapping's members are no attributes
  BATON_TRY_ASSIGN(Value out, in.attribute(v, *name->text()));
  return out.undefined() ? Value() : out;
}

Result<Value> f_items(In& in, const Value& v, const Args&) {
  if (v.undefined()) return in.list({});
  if (v.dict() == nullptr) return invalid("'items' takes a mapping");
  return call_method(in, v, "items", {});
}

struct Entry {
  std::string_view name;
  Filter* filter;
};
constexpr std::array kFilters = std::to_array<Entry>({
    {"abs", f_abs},
    {"attr", f_attr},
    {"batch", batch},
    {"capitalize", f_capitalize},
    {"center", f_center},
    {"count", length},
    {"d", f_default},
    {"default", f_default},
    {"dictsort", dictsort},
    {"e", f_escape},
    {"escape", f_escape},
    {"first", first},
    {"float", f_float},
    {"forceescape", f_forceescape},
    {"format", f_format},
    {"groupby", groupby},
    {"indent", f_indent},
    {"int", f_int},
    {"items", f_items},
    {"join", join},
    {"last", last},
    {"length", length},
    {"list", list},
    {"lower", f_lower},
    {"map", map},
    {"max", max},
    {"min", min},
    {"reject", reject},
    {"rejectattr", rejectattr},
    {"replace", f_replace},
    {"reverse", reverse},
    {"round", f_round},
    {"safe", f_safe},
    {"select", select},
    {"selectattr", selectattr},
    {"slice", slice},
    {"sort", sort},
    {"string", f_string},
    {"sum", sum},
    {"title", f_title},
    {"tojson", f_tojson},
    {"trim", f_trim},
    {"truncate", f_truncate},
    {"unique", unique},
    {"upper", f_upper},
    {"wordcount", f_wordcount},
});
constexpr auto kNames = [] {
  std::array<std::string_view, kFilters.size()> names;
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = kFilters[i].name;
  return names;
}();

}  // namespace

Result<Value> replace_text(Interpreter& in, std::string_view s, std::string_view from,
                           std::string_view to, Int limit) {
  Draft out(in.room());
  if (from.empty()) {  // between all characters
    for (std::size_t at = 0; at <= s.size(); ++at) {
      if (at == s.size() || (s[at] & 0xC0) != 0x80) {
        if (limit != 0) {
          BATON_TRY(out.put(to));
        }
        if (limit > 0) --limit;
      }
      BATON_TRY(out.put(s.substr(at, 1)));
    }
    return in.text(out.take());
  }
  std::size_t at = 0;
  for (std::size_t hit = s.find(from); hit != std::string_view::npos && limit != 0;
       hit = s.find(from, at)) {
    BATON_TRY(out.put(s.substr(at, hit - at)));
    BATON_TRY(out.put(to));
    at = hit + from.size();
    if (limit > 0) --limit;
  }
  BATON_TRY(out.put(s.substr(at)));
  return in.text(out.take());
}

bool is_filter(std::string_view name) {
  return std::binary_search(kNames.begin(), kNames.end(), name);
}
std::span<const std::string_view> filter_names() { return kNames; }

Result<Value> apply_filter(Interpreter& in, std::string_view name, const Value& input,
                           const Args& args) {
  const auto at = std::lower_bound(kNames.begin(), kNames.end(), name);
  if (at == kNames.end() || *at != name) return invalid(fmt::format("no filter named '{}'", name));
  BATON_TRY(in.charge(1 + (input.text() == nullptr ? 0 : input.text()->size() / 8)));
  return kFilters[static_cast<std::size_t>(at - kNames.begin())].filter(in, input, args);
}

}  // namespace baton::text::jinja
