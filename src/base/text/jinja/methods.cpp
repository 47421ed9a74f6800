// Methods of str, dict, list and loop that change nothing.

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text/jinja/interpreter.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

constexpr std::array<std::string_view, 31> kTextMethods = {
    "strip",      "lstrip",       "rstrip",       "split", "rsplit",     "splitlines", "startswith",
    "endswith",   "upper",        "lower",        "title", "capitalize", "swapcase",   "casefold",
    "replace",    "join",         "find",         "rfind", "index",      "count",      "partition",
    "rpartition", "removeprefix", "removesuffix", "zfill", "format",     "isalpha",    "isdigit",
    "isspace",    "isupper",      "islower"};
constexpr std::array<std::string_view, 5> kDictMethods = {"get", "items", "keys", "values", "copy"};
constexpr std::array<std::string_view, 2> kListMethods = {"index", "count"};
// What would change a value: named, so that the message is about the sandbox.
constexpr std::array<std::string_view, 13> kUnsafe = {
    "append",  "extend", "insert",     "pop",     "remove", "clear",  "sort",
    "reverse", "update", "setdefault", "popitem", "add",    "discard"};

bool in(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result<std::string_view> text_argument(const Args& args, std::size_t i, std::string_view method) {
  if (i < args.positional.size()) {
    if (const std::string* s = args.positional[i].text()) return std::string_view(*s);
  }
  return invalid(fmt::format("{}() takes a string", method));
}

Result<Int> integer_argument(const Args& args, std::size_t i, std::string_view name,
                             Int otherwise) {
  const Value* v = args.get(i, name);
  Int out = otherwise;
  if (v == nullptr || v->none()) return otherwise;
  if (!v->integral(out)) return invalid(fmt::format("{} takes an integer", name));
  return out;
}

Result<Value> split(Interpreter& in, std::string_view s, const Args& args, Side side) {
  std::vector<Value> out;
  const auto add = [&](std::string_view piece) -> Status {
    BATON_TRY(in.charge(kItemWork));
    out.emplace_back(piece);
    return {};
  };
  BATON_TRY_ASSIGN(Int left, integer_argument(args, 1, "maxsplit", -1));
  const Value* separator = args.get(0, "sep");
  if (separator != nullptr && separator->text() != nullptr) {
    const std::string& by = *separator->text();
    if (by.empty()) return invalid("split() by an empty separator");
    while (left != 0) {
      const std::size_t at = side == Side::kLeft ? s.find(by) : s.rfind(by);
      if (at == std::string_view::npos) break;
      BATON_TRY(add(side == Side::kLeft ? s.substr(0, at) : s.substr(at + by.size())));
      s = side == Side::kLeft ? s.substr(at + by.size()) : s.substr(0, at);
      --left;
    }
    BATON_TRY(add(s));
  } else {
    while (true) {
      s = strip(s, side);
      if (s.empty()) break;
      std::size_t at = side == Side::kLeft ? 0 : s.size();
      if (left == 0) {
        BATON_TRY(add(s));
        break;
      }
      if (side == Side::kLeft) {
        while (at < s.size() && space_length(s, at) == 0) ++at;
        BATON_TRY(add(s.substr(0, at)));
        s = s.substr(at);
      } else {
        while (at > 0) {
          std::size_t start = at - 1;
          while (start > 0 && (s[start] & 0xC0) == 0x80) --start;
          if (space_length(s, start) > 0) break;
          at = start;
        }
        BATON_TRY(add(s.substr(at)));
        s = s.substr(0, at);
      }
      --left;
    }
  }
  if (side == Side::kRight) std::reverse(out.begin(), out.end());
  return in.list(std::move(out));
}

Result<Value> split_lines(Interpreter& in, std::string_view s, bool keep) {
  std::vector<Value> out;
  while (!s.empty()) {
    BATON_TRY(in.charge(kItemWork));
    const std::size_t at = s.find_first_of("\n\r\v\f\x1c\x1d\x1e");
    if (at == std::string_view::npos) {
      out.emplace_back(s);
      break;
    }
    const std::size_t end = at + (s.substr(at, 2) == "\r\n" ? 2 : 1);
    out.emplace_back(s.substr(0, keep ? end : at));
    s.remove_prefix(end);
  }
  return in.list(std::move(out));
}

// startswith and endswith: a string, or a tuple of them.
Result<Value> affix(std::string_view s, const Args& args, bool start) {
  if (args.positional.empty()) return invalid("startswith() takes a string");
  const Value& v = args.positional[0];
  const auto matches = [&](const Value& one) {
    return one.text() != nullptr && (start ? s.starts_with(*one.text()) : s.ends_with(*one.text()));
  };
  if (v.text() != nullptr) return Value(matches(v));
  if (v.list() == nullptr) return invalid("startswith() takes a string or a tuple of strings");
  return Value(std::any_of(v.list()->items.begin(), v.list()->items.end(), matches));
}

std::size_t occurrences(std::string_view s, std::string_view what) {
  if (what.empty()) return count_points(s) + 1;
  std::size_t n = 0;
  for (std::size_t at = s.find(what); at != std::string_view::npos;
       at = s.find(what, at + what.size()))
    ++n;
  return n;
}

Result<Value> partition(Interpreter& in, std::string_view s, std::string_view by, Side side) {
  const std::size_t at = side == Side::kLeft ? s.find(by) : s.rfind(by);
  std::vector<Value> out;
  if (at == std::string_view::npos) {
    out = side == Side::kLeft ? std::vector<Value>{Value(s), "", ""}
                              : std::vector<Value>{"", "", Value(s)};
  } else {
    out = {Value(s.substr(0, at)), Value(by), Value(s.substr(at + by.size()))};
  }
  return in.list(std::move(out), List::Kind::kTuple);
}

Result<Value> joined(Interpreter& in, std::string_view separator, const Args& args) {
  if (args.positional.size() != 1) return invalid("join() takes one list");
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(args.positional[0]));
  Draft out(in.room());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].text() == nullptr)
      return invalid(fmt::format("join(): item {} is a {}, not a string", i, type_name(items[i])));
    if (i > 0) {
      BATON_TRY(out.put(separator));
    }
    BATON_TRY(out.put(*items[i].text()));
  }
  return in.text(out.take());
}

// isalpha and the like: true when there is a character and all are.
template <class F>
bool all_points(std::string_view s, F&& f) {
  const std::u32string all = points(s);
  return !all.empty() && std::all_of(all.begin(), all.end(), f);
}

Result<Value> replaced(Interpreter& in, std::string_view s, const Args& args) {
  BATON_TRY_ASSIGN(const std::string_view from, text_argument(args, 0, "replace"));
  BATON_TRY_ASSIGN(const std::string_view to, text_argument(args, 1, "replace"));
  BATON_TRY_ASSIGN(const Int limit, integer_argument(args, 2, "count", -1));
  return replace_text(in, s, from, to, limit);
}

Result<Value> text_method(Interpreter& in, const Value& self, std::string_view name,
                          const Args& args) {
  const std::string_view s = *self.text();
  BATON_TRY(in.charge(s.size() / 8));
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    const Side side = name[0] == 's' ? Side::kBoth : name[0] == 'l' ? Side::kLeft : Side::kRight;
    const Value* set = args.get(0, "chars");
    if (set == nullptr || set->none()) return Value(strip(s, side));
    if (set->text() == nullptr) return invalid(fmt::format("{}() takes a string", name));
    return Value(strip(s, side, *set->text()));
  }
  if (name == "split") return split(in, s, args, Side::kLeft);
  if (name == "rsplit") return split(in, s, args, Side::kRight);
  if (name == "splitlines") return split_lines(in, s, args.flag(0, "keepends"));
  if (name == "startswith" || name == "endswith") return affix(s, args, name[0] == 's');
  if (name == "upper") return Value(upper(s));
  if (name == "lower") return Value(lower(s));
  if (name == "title") return Value(title(s));
  if (name == "capitalize") return Value(capitalize(s));
  if (name == "swapcase") return Value(swapcase(s));
  if (name == "casefold") return Value(casefold(s));
  if (name == "replace") return replaced(in, s, args);
  if (name == "join") return joined(in, s, args);
  if (name == "format") return brace_style(in, s, args);
  if (name == "zfill") {
    BATON_TRY_ASSIGN(const Int width, integer_argument(args, 0, "width", 0));
    const std::size_t n = count_points(s);
    if (width <= static_cast<Int>(n)) return self;
    BATON_TRY(in.charge(static_cast<std::size_t>(width > (Int{1} << 40) ? Int{1} << 40 : width)));
    const bool sign = s.starts_with('-') || s.starts_with('+');
    return Value(std::string(s.substr(0, sign ? 1 : 0)) +
                 std::string(static_cast<std::size_t>(width) - n, '0') +
                 std::string(s.substr(sign ? 1 : 0)));
  }
  if (name == "isalpha") return Value(all_points(s, alphabetic));
  if (name == "isdigit") return Value(all_points(s, numeric));
  if (name == "isspace") return Value(!s.empty() && strip(s, Side::kBoth).empty());
  if (name == "isupper") return Value(upper(s) == s && lower(s) != s);
  if (name == "islower") return Value(lower(s) == s && upper(s) != s);
  BATON_TRY_ASSIGN(const std::string_view what, text_argument(args, 0, name));
  if (name == "partition") return partition(in, s, what, Side::kLeft);
  if (name == "rpartition") return partition(in, s, what, Side::kRight);
  if (name == "removeprefix") return Value(s.starts_with(what) ? s.substr(what.size()) : s);
  if (name == "removesuffix")
    return Value(s.ends_with(what) ? s.substr(0, s.size() - what.size()) : s);
  if (name == "count") return Value(occurrences(s, what));
  const std::size_t at = name == "rfind" ? s.rfind(what) : s.find(what);
  if (at != std::string_view::npos) return Value(count_points(s.substr(0, at)));
  if (name == "index") return invalid("index(): no such text");
  return Value(-1);
}

Result<Value> dict_method(Interpreter& in, const Value& self, std::string_view name,
                          const Args& args) {
  const Dict& d = *self.dict();
  if (name == "copy") return self;
  if (name == "get") {
    if (args.positional.empty()) return invalid("get() takes a key");
    BATON_TRY_ASSIGN(const std::size_t at, in.place(d.items, args.positional[0]));
    if (at < d.items.size()) return d.items[at].second;
    return args.positional.size() > 1 ? args.positional[1] : Value(None{});
  }
  BATON_TRY(in.charge(d.items.size() * (name == "items" ? 2 * kItemWork : 1)));
  std::vector<Value> out;
  for (const auto& [key, value] : d.items) {
    if (name == "items") {
      BATON_TRY_ASSIGN(Value pair, make_list({key, value}, List::Kind::kTuple));
      out.push_back(std::move(pair));
    } else {
      out.push_back(name == "keys" ? key : value);
    }
  }
  return in.list(std::move(out));
}

Result<Value> list_method(Interpreter& in, const List& l, std::string_view name, const Args& args) {
  if (args.positional.empty()) return invalid(fmt::format("{}() takes an item", name));
  std::size_t n = 0;
  for (std::size_t i = 0; i < l.items.size(); ++i) {
    BATON_TRY_ASSIGN(const bool same, in.equals(l.items[i], args.positional[0]));
    if (!same) continue;
    if (name == "index") return Value(i);
    ++n;
  }
  if (name == "index") return invalid("index(): no such item");
  return Value(n);
}

Result<Value> object_method(Interpreter& in, Object& o, std::string_view name, const Args& args) {
  if (o.kind == Object::Kind::kCycler) {
    if (name == "reset") {
      o.position = 0;
      return Value(None{});
    }
    return o.items[o.position++ % o.items.size()];
  }
  if (name == "cycle") {
    if (args.positional.empty()) return invalid("loop.cycle() takes at least one item");
    return args.positional[o.position % args.positional.size()];
  }
  bool same = o.changed.size() == args.positional.size() && !o.changed.empty();
  for (std::size_t i = 0; same && i < o.changed.size(); ++i) {
    BATON_TRY_ASSIGN(same, in.equals(o.changed[i], args.positional[i]));
  }
  o.changed = args.positional;
  return Value(!same);
}

}  // namespace

bool is_method(const Value& v, std::string_view name) {
  if (v.text() != nullptr) return in(kTextMethods, name);
  if (v.dict() != nullptr) return in(kDictMethods, name) || in(kUnsafe, name);
  if (v.list() != nullptr) return in(kListMethods, name) || in(kUnsafe, name);
  if (const Object* o = v.object()) {
    if (o->kind == Object::Kind::kLoop) return name == "cycle" || name == "changed";
    return o->kind == Object::Kind::kCycler && (name == "next" || name == "reset");
  }
  return false;
}

Result<Value> call_method(Interpreter& interpreter, const Value& self, std::string_view name,
                          const Args& args) {
  BATON_TRY(interpreter.charge(1));
  if (self.text() != nullptr) return text_method(interpreter, self, name, args);
  if (Object* o = self.object()) return object_method(interpreter, *o, name, args);
  if (in(kUnsafe, name)) {
    return invalid(fmt::format("'{}' would change a {}: templates cannot", name, type_name(self)));
  }
  if (self.dict() != nullptr) return dict_method(interpreter, self, name, args);
  return list_method(interpreter, *self.list(), name, args);
}

}  // namespace baton::text::jinja
