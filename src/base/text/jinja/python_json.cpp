// json.dumps.

#include <fmt/format.h>

#include <cmath>

#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

void json_text(std::string& out, std::string_view text, bool ascii) {
  if (!ascii) {
    json::append_quoted(out, text);
    return;
  }
  out += '"';
  for (const char32_t p : points(text)) {
    if (p < 0x80) {
      std::string one;
      json::append_quoted(one, std::string(1, static_cast<char>(p)));
      out.append(one, 1, one.size() - 2);
    } else if (p < 0x10000) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(p));
    } else {
      const unsigned v = static_cast<unsigned>(p) - 0x10000;
      out += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (v >> 10), 0xDC00 + (v & 0x3FF));
    }
  }
  out += '"';
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, std::size_t most) : style_(style), out_(most) {}

  Status write(const Value& v, std::size_t depth) {
    if (const List* l = v.list()) return list(*l, depth);
    if (const Dict* d = v.dict()) return dict(*d, depth);
    return scalar(v);
  }
  std::string take() { return out_.take(); }

 private:
  Status scalar(const Value& v) {
    if (v.none()) return out_.put("null");
    if (const bool* b = v.get<bool>()) return out_.put(*b ? "true" : "false");
    if (const double* d = v.get<double>()) {
      return out_.put(std::isnan(*d)   ? "NaN"
                      : std::isinf(*d) ? (*d > 0 ? "Infinity" : "-Infinity")
                                       : repr(*d));
    }
    if (const Int* n = v.integer()) return out_.put(fmt::format("{}", *n));
    if (const std::string* s = v.text()) {
      std::string quoted;
      json_text(quoted, *s, style_.ensure_ascii);
      return out_.put(quoted);
    }
    return invalid(fmt::format("object of type {} has no JSON form", type_name(v)));
  }

  Status newline(std::size_t depth) {
    if (style_.indent < 0) return {};
    BATON_TRY(out_.put("\n"));
    return out_.fill(depth * static_cast<std::size_t>(style_.indent), ' ');
  }

  Status list(const List& l, std::size_t depth) {
    if (l.items.empty()) return out_.put("[]");
    BATON_TRY(out_.put("["));
    for (std::size_t i = 0; i < l.items.size(); ++i) {
      if (i > 0) {
        BATON_TRY(out_.put(style_.item_separator));
      }
      BATON_TRY(newline(depth + 1));
      BATON_TRY(write(l.items[i], depth + 1));
    }
    BATON_TRY(newline(depth));
    return out_.put("]");
  }

  Status key(const Value& v) {
    if (v.text() != nullptr) return scalar(v);
    if (v.list() != nullptr || v.dict() != nullptr) return invalid("a JSON key cannot be a list");
    BATON_TRY(out_.put("\""));
    BATON_TRY(scalar(v));
    return out_.put("\"");
  }

  Status dict(const Dict& d, std::size_t depth) {
    if (d.items.empty()) return out_.put("{}");
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : d.items) items.push_back(&item);
    if (style_.sort_keys) {
      sort_stably(items, [](const auto* a, const auto* b) {
        const auto order = compare(a->first, b->first);
        return order && *order < 0;
      });
    }
    BATON_TRY(out_.put("{"));
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (i > 0) {
        BATON_TRY(out_.put(style_.item_separator));
      }
      BATON_TRY(newline(depth + 1));
      BATON_TRY(key(items[i]->first));
      BATON_TRY(out_.put(style_.key_separator));
      BATON_TRY(write(items[i]->second, depth + 1));
    }
    BATON_TRY(newline(depth));
    return out_.put("}");
  }

  const JsonStyle& style_;
  Draft out_;
};

}  // namespace

Result<std::string> to_json(const Value& v, const JsonStyle& style, std::size_t most) {
  JsonWriter writer(style, most);
  BATON_TRY(writer.write(v, 0));
  return writer.take();
}

}  // namespace baton::text::jinja
