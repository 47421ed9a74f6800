// "%s-%d" % (a, b), and "{} and {}".format(a, b).

#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/text/jinja/interpreter.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

constexpr std::size_t kMaxWidth = 10'000;

struct Spec {
  bool left = false, plus = false, blank = false, zero = false, hash = false;
  std::size_t width = 0;
  int precision = -1;
  char type = 's';
};

std::string digits(Int n, int base, bool capitals) {
  std::string out;
  do {
    const int d = static_cast<int>(n % base);
    out.insert(out.begin(), static_cast<char>(d < 10 ? '0' + d : (capitals ? 'A' : 'a') + d - 10));
    n /= base;
  } while (n > 0);
  return out;
}

Result<std::string> number(const Spec& spec, const Value& v, std::string& sign) {
  double d = 0;
  if (!v.number(d))
    return invalid(fmt::format("%{} needs a number, not {}", spec.type, type_name(v)));
  const bool integral = std::string_view("diuxXo").find(spec.type) != std::string_view::npos;
  if (integral) {
    Int n = 0;
    if (!v.integral(n)) {
      if (!(std::fabs(d) < 1e37)) return invalid("a number too large for an integer format");
      n = static_cast<Int>(d);
    }
    if (n < 0) sign = "-";
    const Int magnitude = n < 0 ? -n : n;
    if (spec.type == 'x' || spec.type == 'X')
      return (spec.hash ? "0x" : "") + digits(magnitude, 16, spec.type == 'X');
    if (spec.type == 'o') return (spec.hash ? "0o" : "") + digits(magnitude, 8, false);
    return digits(magnitude, 10, false);
  }
  if (std::signbit(d)) sign = "-";
  const int precision = spec.precision < 0 ? 6 : spec.precision;
  char buffer[512];
  const char format[] = {'%', '.', '*', spec.type, '\0'};
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wformat-nonliteral"
  const int n =
      std::snprintf(buffer, sizeof buffer, format, std::min(precision, 100), std::fabs(d));
#pragma clang diagnostic pop
  return std::string(buffer, static_cast<std::size_t>(std::min(n, 511)));
}

Result<std::string> one(Interpreter& in, const Spec& spec, const Value& v) {
  std::string sign;
  std::string body;
  bool numeric_type = true;
  switch (spec.type) {
    case 's':
    case 'r':
    case 'a': {
      BATON_TRY_ASSIGN(body, spec.type == 's' ? str(v, in.room()) : repr(v, in.room()));
      BATON_TRY(in.charge(body.size() / 8));
      if (spec.precision >= 0)
        body = utf8(points(body).substr(0, static_cast<std::size_t>(spec.precision)));
      numeric_type = false;
      break;
    }
    case 'c': {
      Int n = 0;
      if (v.integral(n)) {
        append_utf8(body, static_cast<char32_t>(n));
      } else {
        BATON_TRY_ASSIGN(body, in.shown(v));
      }
      numeric_type = false;
      break;
    }
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
    case 'f':
    case 'F':
    case 'e':
    case 'E':
    case 'g':
    case 'G': {
      BATON_TRY_ASSIGN(body, number(spec, v, sign));
      if (sign.empty() && spec.plus) sign = "+";
      if (sign.empty() && spec.blank) sign = " ";
      break;
    }
    default:
      return invalid(fmt::format("unsupported format character '{}'", spec.type));
  }
  const std::size_t length = count_points(sign) + count_points(body);
  const std::size_t fill = spec.width > length ? spec.width - length : 0;
  if (spec.left) return sign + body + std::string(fill, ' ');
  if (spec.zero && numeric_type) return sign + std::string(fill, '0') + body;
  return std::string(fill, ' ') + sign + body;
}

Result<std::size_t> count(std::string_view format, std::size_t& at) {
  std::size_t n = 0;
  while (at < format.size() && format[at] >= '0' && format[at] <= '9') {
    n = n * 10 + static_cast<std::size_t>(format[at++] - '0');
    if (n > kMaxWidth) return invalid(fmt::format("a format width over {}", kMaxWidth));
  }
  return n;
}

}  // namespace

Result<Value> printf_style(Interpreter& in, std::string_view format, const Value& arguments) {
  const List* list = arguments.list();
  const bool tuple = list != nullptr && list->kind != List::Kind::kList;
  std::size_t used = 0;
  Draft out(in.room());
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      BATON_TRY(out.put(format.substr(at, 1)));
      continue;
    }
    ++at;
    const Value* value = nullptr;
    if (at < format.size() && format[at] == '(') {
      const std::size_t close = format.find(')', at);
      if (close == std::string_view::npos || arguments.dict() == nullptr)
        return invalid("%(name) needs a mapping");
      BATON_TRY(in.charge(arguments.dict()->items.size() / 8));
      value = find(*arguments.dict(), format.substr(at + 1, close - at - 1));
      if (value == nullptr) return invalid("%(name) is not in the mapping");
      at = close + 1;
    }
    Spec spec;
    for (; at < format.size(); ++at) {
      const char c = format[at];
      if (c == '-')
        spec.left = true;
      else if (c == '+')
        spec.plus = true;
      else if (c == ' ')
        spec.blank = true;
      else if (c == '0')
        spec.zero = true;
      else if (c == '#')
        spec.hash = true;
      else
        break;
    }
    BATON_TRY_ASSIGN(spec.width, count(format, at));
    if (at < format.size() && format[at] == '.') {
      ++at;
      BATON_TRY_ASSIGN(const std::size_t precision, count(format, at));
      spec.precision = static_cast<int>(precision);
    }
    if (at >= format.size()) return invalid("an incomplete format");
    spec.type = format[at];
    if (spec.type == '%') {
      BATON_TRY(out.put("%"));
      continue;
    }
    if (value == nullptr) {
      if (tuple ? used >= list->items.size() : used > 0)
        return invalid("not enough arguments for the format");
      value = tuple ? &list->items[used] : &arguments;
      ++used;
    }
    BATON_TRY_ASSIGN(const std::string piece, one(in, spec, *value));
    BATON_TRY(out.put(piece));
  }
  if (tuple && used < list->items.size())
    return invalid("not all arguments are used by the format");
  return in.text(out.take());
}

Result<Value> brace_style(Interpreter& in, std::string_view format, const Args& args) {
  Draft out(in.room());
  std::size_t automatic = 0;
  for (std::size_t at = 0; at < format.size(); ++at) {
    const char c = format[at];
    if ((c == '{' || c == '}') && at + 1 < format.size() && format[at + 1] == c) {
      BATON_TRY(out.put(format.substr(at++, 1)));
      continue;
    }
    if (c != '{') {
      BATON_TRY(out.put(format.substr(at, 1)));
      continue;
    }
    const std::size_t close = format.find('}', at);
    if (close == std::string_view::npos) return invalid("'{' without '}' in a format");
    const std::string_view field = format.substr(at + 1, close - at - 1);
    const Value* value = nullptr;
    if (field.find_first_of(":!.[") != std::string_view::npos) {
      return invalid(fmt::format(
          "the format field '{{{}}}' is not supported: only {{}}, {{0}} and {{name}}", field));
    }
    if (field.empty()) {
      value = args.get(automatic++, "");
    } else if (field.find_first_not_of("0123456789") == std::string_view::npos &&
               field.size() < 6) {
      value = args.get(static_cast<std::size_t>(std::atoi(std::string(field).c_str())), "");
    } else {
      value = args.get(args.positional.size(), field);
    }
    if (value == nullptr)
      return invalid(fmt::format("no argument for the format field '{{{}}}'", field));
    BATON_TRY_ASSIGN(const std::string piece, in.shown(*value));
    BATON_TRY(out.put(piece));
    at = close;
  }
  return in.text(out.take());
}

}  // namespace baton::text::jinja
