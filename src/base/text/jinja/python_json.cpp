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
  explicit JsonWriter(const JsonStyle& style) : style_(style) {}
  std::string out;

  Status write(const Value& v, std::size_t depth) {
    if (const List* l = v.list()) return list(*l, depth);
    if (const Dict* d = v.dict()) return dict(*d, depth);
    return scalar(v);
  }

 private:
  Status scalar(const Value& v) {
    if (v.none()) {
      out += "null";
    } else if (const bool* b = v.get<bool>()) {
      out += *b ? "true" : "false";
    } else if (const double* d = v.get<double>()) {
      out += std::isnan(*d)   ? "NaN"
             : std::isinf(*d) ? (*d > 0 ? "Infinity" : "-Infinity")
                              : repr(*d);
    } else if (v.integer() != nullptr) {
      out += str(v);
    } else if (const std::string* s = v.text()) {
      json_text(out, *s, style_.ensure_ascii);
    } else {
      return invalid(fmt::format("object of type {} has no JSON form", type_name(v)));
    }
    return {};
  }

  void newline(std::size_t depth) {
    if (style_.indent < 0) return;
    out += '\n';
    out.append(depth * static_cast<std::size_t>(style_.indent), ' ');
  }

  Status list(const List& l, std::size_t depth) {
    if (l.items.empty()) {
      out += "[]";
      return {};
    }
    out += '[';
    for (std::size_t i = 0; i < l.items.size(); ++i) {
      if (i > 0) out += style_.item_separator;
      newline(depth + 1);
      BATON_TRY(write(l.items[i], depth + 1));
    }
    newline(depth);
    out += ']';
    return {};
  }

  Status dict(const Dict& d, std::size_t depth) {
    if (d.items.empty()) {
      out += "{}";
      return {};
    }
    std::vector<const std::pair<Value, Value>*> items;
    for (const auto& item : d.items) items.push_back(&item);
    if (style_.sort_keys) {
      sort_stably(items, [](const auto* a, const auto* b) {
        const auto order = compare(a->first, b->first);
        return order && *order < 0;
      });
    }
    out += '{';
    bool first = true;
    for (const auto* item : items) {
      if (!std::exchange(first, false)) out += style_.item_separator;
      newline(depth + 1);
      const Value& key = item->first;
      if (key.text() != nullptr) {
        BATON_TRY(scalar(key));
      } else {
        out += '"';
        if (key.list() != nullptr || key.dict() != nullptr)
          return invalid("a JSON key cannot be a list");
        BATON_TRY(scalar(key));
        out += '"';
      }
      out += style_.key_separator;
      BATON_TRY(write(item->second, depth + 1));
    }
    newline(depth);
    out += '}';
    return {};
  }

  const JsonStyle& style_;
};

}  // namespace

Result<std::string> to_json(const Value& v, const JsonStyle& style) {
  JsonWriter writer(style);
  BATON_TRY(writer.write(v, 0));
  return std::move(writer.out);
}

}  // namespace baton::text::jinja
