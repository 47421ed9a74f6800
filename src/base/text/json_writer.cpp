#include <fmt/format.h>

#include <cmath>
#include <iterator>
#include <utility>

#include "base/text/json.hpp"

namespace baton::text::json {
namespace {

void append_double(std::string& out, double d) {
  if (!std::isfinite(d)) {
    out += "null";  // as JSON.stringify does
    return;
  }
  const std::size_t start = out.size();
  fmt::format_to(std::back_inserter(out), "{}", d);
  if (std::string_view(out).substr(start).find_first_of(".e") == std::string_view::npos)
    out += ".0";
}

void append_pretty(std::string& out, const Value& value, std::size_t depth) {
  const auto newline = [&](std::size_t levels) {
    out += '\n';
    out.append(levels * 2, ' ');
  };
  if (const Array* array = value.if_array(); array != nullptr && !array->empty()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i > 0) out += ',';
      newline(depth + 1);
      append_pretty(out, (*array)[i], depth + 1);
    }
    newline(depth);
    out += ']';
  } else if (const Object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!std::exchange(first, false)) out += ',';
      newline(depth + 1);
      append_quoted(out, key);
      out += ": ";
      append_pretty(out, member, depth + 1);
    }
    newline(depth);
    out += '}';
  } else {
    append(out, value);
  }
}

}  // namespace

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  std::size_t plain_from = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, plain_from, i - plain_from);
    plain_from = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
    }
  }
  out.append(text, plain_from);
  out += '"';
}

void append(std::string& out, const Value& value) {
  switch (value.kind()) {
    case Kind::kNull:
      out += "null";
      break;
    case Kind::kBool:
      out += *value.if_bool() ? "true" : "false";
      break;
    case Kind::kInt:
      fmt::format_to(std::back_inserter(out), "{}", *value.if_int());
      break;
    case Kind::kUint:
      fmt::format_to(std::back_inserter(out), "{}", *value.if_uint());
      break;
    case Kind::kDouble:
      append_double(out, *value.if_double());
      break;
    case Kind::kString:
      append_quoted(out, *value.if_string());
      break;
    case Kind::kArray: {
      out += '[';
      bool first = true;
      for (const Value& item : *value.if_array()) {
        if (!std::exchange(first, false)) out += ',';
        append(out, item);
      }
      out += ']';
      break;
    }
    case Kind::kObject: {
      out += '{';
      bool first = true;
      for (const auto& [key, member] : *value.if_object()) {
        if (!std::exchange(first, false)) out += ',';
        append_quoted(out, key);
        out += ':';
        append(out, member);
      }
      out += '}';
      break;
    }
  }
}

std::string dump(const Value& value) {
  std::string out;
  append(out, value);
  return out;
}

std::string pretty(const Value& value) {
  std::string out;
  append_pretty(out, value, 0);
  return out + '\n';
}

std::string pointer(std::string_view base, std::string_view key) {
  std::string out(base);
  out += '/';
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string pointer(std::string_view base, std::size_t index) {
  return fmt::format("{}/{}", base, index);
}

}  // namespace baton::text::json
