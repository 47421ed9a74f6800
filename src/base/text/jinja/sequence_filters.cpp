#include <fmt/format.h>

#include <algorithm>

#include "base/text/jinja/filters.hpp"
#include "base/text/jinja/python_text.hpp"

namespace baton::text::jinja {
namespace {

// What an item is compared by: its attribute= when given, text without case unless case_sensitive.
struct Key {
  const Value* attribute = nullptr;
  bool case_sensitive = false;

  Result<Value> of(Interpreter& in, const Value& v) const {
    Value key = v;
    if (attribute != nullptr && !attribute->none()) {
      BATON_TRY_ASSIGN(key, in.path(v, *attribute));
    }
    if (!case_sensitive && key.text() != nullptr) return in.text(lower(*key.text()));
    return key;
  }
};

// Stable; kInvalid when two keys have no order.
Status sort_by(Interpreter& in, Items& keyed, bool descending) {
  Status status;
  sort_stably(keyed, [&](const auto& a, const auto& b) {
    if (!status) return false;
    const auto order = descending ? in.order(b.first, a.first) : in.order(a.first, b.first);
    if (!order) {
      status = Error(order.error());
      return false;
    }
    return *order < 0;
  });
  return status;
}

Result<Items> keyed(Interpreter& in, const Value& v, const Key& key) {
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(v));
  Items out;
  for (const Value& item : items) {
    BATON_TRY_ASSIGN(Value k, key.of(in, item));
    out.emplace_back(std::move(k), item);
  }
  return out;
}

Result<Value> extreme(Interpreter& in, const Value& v, const Args& args, int wanted) {
  const Key key{args.get(1, "attribute"), args.flag(0, "case_sensitive")};
  BATON_TRY_ASSIGN(const auto items, keyed(in, v, key));
  if (items.empty()) return Value();
  const auto* best = &items[0];
  for (const auto& item : items) {
    BATON_TRY_ASSIGN(const int order, in.order(item.first, best->first));
    if (order == wanted) best = &item;
  }
  return best->second;
}

// select, reject and their attr forms: keeps the items whose test gives `wanted`.
Result<Value> chosen(Interpreter& in, const Value& v, const Args& args, bool by_attribute,
                     bool wanted) {
  if (!truth(v)) return in.list({});  // also none, as jinja2 does
  BATON_TRY_ASSIGN(std::vector<Value> items, in.iterate(v));
  std::size_t next = 0;
  const Value* attribute = nullptr;
  if (by_attribute) {
    attribute = args.get(next++, "");
    if (attribute == nullptr) return invalid("'selectattr' takes an attribute");
  }
  const Value* test = args.positional.size() > next ? &args.positional[next++] : nullptr;
  if (test != nullptr && (test->text() == nullptr || !is_test(*test->text()))) {
    BATON_TRY_ASSIGN(const std::string name, repr(*test, in.room()));
    return invalid(fmt::format("no test named {}", name));
  }
  Args rest;
  for (; next < args.positional.size(); ++next) rest.positional.push_back(args.positional[next]);
  std::vector<Value> out;
  for (Value& item : items) {
    Value subject = item;
    if (attribute != nullptr) {
      BATON_TRY_ASSIGN(subject, in.path(item, *attribute));
    }
    bool yes = truth(subject);
    if (test != nullptr) {
      BATON_TRY_ASSIGN(yes, apply_test(in, *test->text(), subject, rest));
    }
    if (yes == wanted) out.push_back(std::move(item));
  }
  return in.list(std::move(out));
}

Result<std::size_t> positive(const Args& args, std::string_view name) {
  const Value* v = args.get(0, name);
  Int n = 0;
  if (v == nullptr || !v->integral(n) || n < 1 || n > 100'000)
    return invalid(fmt::format("'{}' takes a number from 1 to 100000", name));
  return static_cast<std::size_t>(n);
}

}  // namespace

Result<Value> length(Interpreter&, const Value& v, const Args&) {
  if (v.undefined()) return Value(0);
  if (const std::string* s = v.text()) return Value(count_points(*s));
  if (const List* l = v.list()) return Value(l->items.size());
  if (const Dict* d = v.dict()) return Value(d->items.size());
  return invalid(fmt::format("a {} has no length", type_name(v)));
}

Result<Value> first(Interpreter& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(std::vector<Value> items, in.iterate(v));
  return items.empty() ? Value() : items.front();
}

Result<Value> last(Interpreter& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(std::vector<Value> items, in.iterate(v));
  return items.empty() ? Value() : items.back();
}

Result<Value> list(Interpreter& in, const Value& v, const Args&) {
  BATON_TRY_ASSIGN(std::vector<Value> items, in.iterate(v));
  return in.list(std::move(items));
}

Result<Value> join(Interpreter& in, const Value& v, const Args& args) {
  const Value* separator = args.get(0, "d");
  const Value* attribute = args.get(1, "attribute");
  BATON_TRY_ASSIGN(const std::string by, in.shown(separator == nullptr ? Value("") : *separator));
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(v));
  Draft out(in.room());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) {
      BATON_TRY(out.put(by));
    }
    Value part = items[i];
    if (attribute != nullptr) {
      BATON_TRY_ASSIGN(part, in.path(items[i], *attribute));
    }
    BATON_TRY(in.add(out, part));
  }
  return in.text(out.take());
}

Result<Value> map(Interpreter& in, const Value& v, const Args& args) {
  if (!truth(v)) return in.list({});  // also none, as jinja2 does
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(v));
  std::vector<Value> out;
  const Value* attribute = args.positional.empty() ? args.get(0, "attribute") : nullptr;
  Args rest;
  if (attribute == nullptr) {
    if (args.positional.empty() || args.positional[0].text() == nullptr)
      return invalid("'map' takes a filter or attribute=");
    rest.positional.assign(args.positional.begin() + 1, args.positional.end());
    rest.named = args.named;
  }
  const Value* otherwise = args.get(args.positional.size(), "default");
  for (const Value& item : items) {
    if (attribute == nullptr) {
      BATON_TRY_ASSIGN(Value made, apply_filter(in, *args.positional[0].text(), item, rest));
      out.push_back(std::move(made));
    } else {
      BATON_TRY_ASSIGN(Value part, in.path(item, *attribute));
      out.push_back(part.undefined() && otherwise != nullptr ? *otherwise : part);
    }
  }
  return in.list(std::move(out));
}

Result<Value> select(Interpreter& in, const Value& v, const Args& args) {
  return chosen(in, v, args, false, true);
}
Result<Value> reject(Interpreter& in, const Value& v, const Args& args) {
  return chosen(in, v, args, false, false);
}
Result<Value> selectattr(Interpreter& in, const Value& v, const Args& args) {
  return chosen(in, v, args, true, true);
}
Result<Value> rejectattr(Interpreter& in, const Value& v, const Args& args) {
  return chosen(in, v, args, true, false);
}
Result<Value> max(Interpreter& in, const Value& v, const Args& args) {
  return extreme(in, v, args, 1);
}
Result<Value> min(Interpreter& in, const Value& v, const Args& args) {
  return extreme(in, v, args, -1);
}

Result<Value> reverse(Interpreter& in, const Value& v, const Args&) {
  if (const std::string* s = v.text()) {
    std::u32string all = points(*s);
    std::reverse(all.begin(), all.end());
    return in.text(utf8(all));
  }
  BATON_TRY_ASSIGN(std::vector<Value> items, in.iterate(v));
  std::reverse(items.begin(), items.end());
  return in.list(std::move(items));
}

Result<Value> sort(Interpreter& in, const Value& v, const Args& args) {
  const Key key{args.get(2, "attribute"), args.flag(1, "case_sensitive")};
  BATON_TRY_ASSIGN(auto items, keyed(in, v, key));
  BATON_TRY(sort_by(in, items, args.flag(0, "reverse")));
  std::vector<Value> out;
  for (auto& item : items) out.push_back(std::move(item.second));
  return in.list(std::move(out));
}

Result<Value> dictsort(Interpreter& in, const Value& v, const Args& args) {
  if (v.dict() == nullptr) return invalid("'dictsort' takes a mapping");
  const Value* by = args.get(1, "by");
  const bool by_value = by != nullptr && by->text() != nullptr && *by->text() == "value";
  const Value position(by_value ? 1 : 0);
  BATON_TRY_ASSIGN(const Value pairs, call_method(in, v, "items", {}));
  const Key key{&position, args.flag(0, "case_sensitive")};
  BATON_TRY_ASSIGN(auto items, keyed(in, pairs, key));
  BATON_TRY(sort_by(in, items, args.flag(2, "reverse")));
  std::vector<Value> out;
  for (auto& item : items) out.push_back(std::move(item.second));
  return in.list(std::move(out));
}

Result<Value> unique(Interpreter& in, const Value& v, const Args& args) {
  const Key key{args.get(1, "attribute"), args.flag(0, "case_sensitive")};
  BATON_TRY_ASSIGN(auto items, keyed(in, v, key));
  std::vector<Value> seen;
  std::vector<Value> out;
  for (auto& [k, item] : items) {
    bool again = false;
    for (std::size_t i = 0; !again && i < seen.size(); ++i) {
      BATON_TRY_ASSIGN(again, in.equals(seen[i], k));
    }
    if (again) continue;
    seen.push_back(k);
    out.push_back(std::move(item));
  }
  return in.list(std::move(out));
}

Result<Value> groupby(Interpreter& in, const Value& v, const Args& args) {
  const Value* attribute = args.get(0, "attribute");
  if (attribute == nullptr) return invalid("'groupby' takes an attribute");
  const Key key{attribute, args.flag(2, "case_sensitive")};
  BATON_TRY_ASSIGN(auto items, keyed(in, v, key));
  BATON_TRY(sort_by(in, items, false));
  std::vector<Value> out;
  for (std::size_t from = 0; from < items.size();) {
    std::vector<Value> group;
    std::size_t to = from;
    for (; to < items.size(); ++to) {
      BATON_TRY_ASSIGN(const bool same, in.equals(items[to].first, items[from].first));
      if (!same) break;
      group.push_back(items[to].second);
    }
    BATON_TRY_ASSIGN(Value name, in.path(group[0], *attribute));
    BATON_TRY_ASSIGN(Value members, in.list(std::move(group)));
    BATON_TRY_ASSIGN(Value pair,
                     in.list({std::move(name), std::move(members)}, List::Kind::kGroup));
    out.push_back(std::move(pair));
    from = to;
  }
  return in.list(std::move(out));
}

Result<Value> sum(Interpreter& in, const Value& v, const Args& args) {
  const Value* attribute = args.get(0, "attribute");
  const Value* start = args.get(1, "start");
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(v));
  Value total = start == nullptr ? Value(0) : *start;
  for (const Value& item : items) {
    Value part = item;
    if (attribute != nullptr && !attribute->none()) {
      BATON_TRY_ASSIGN(part, in.path(item, *attribute));
    }
    BATON_TRY_ASSIGN(total, binary(in, "+", total, part));
  }
  return total;
}

Result<Value> batch(Interpreter& in, const Value& v, const Args& args) {
  BATON_TRY_ASSIGN(const std::size_t n, positive(args, "linecount"));
  const Value* fill = args.get(1, "fill_with");
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(v));
  std::vector<Value> out;
  for (std::size_t from = 0; from < items.size(); from += n) {
    std::vector<Value> row;
    for (std::size_t i = from; i < std::min(from + n, items.size()); ++i) row.push_back(items[i]);
    if (fill != nullptr && !fill->none()) row.resize(n, *fill);
    BATON_TRY_ASSIGN(Value made, in.list(std::move(row)));
    out.push_back(std::move(made));
  }
  return in.list(std::move(out));
}

Result<Value> slice(Interpreter& in, const Value& v, const Args& args) {
  BATON_TRY_ASSIGN(const std::size_t n, positive(args, "slices"));
  const Value* fill = args.get(1, "fill_with");
  BATON_TRY_ASSIGN(const std::vector<Value> items, in.iterate(v));
  std::vector<Value> out;
  std::size_t at = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const bool longer = i < items.size() % n;
    std::vector<Value> column;
    for (std::size_t k = 0; k < items.size() / n + (longer ? 1 : 0); ++k)
      column.push_back(items[at++]);
    if (fill != nullptr && !fill->none() && !longer) column.push_back(*fill);
    BATON_TRY_ASSIGN(Value made, in.list(std::move(column)));
    out.push_back(std::move(made));
  }
  return in.list(std::move(out));
}

}  // namespace baton::text::jinja
