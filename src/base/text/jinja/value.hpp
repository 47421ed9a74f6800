#pragma once
// What a template computes with: Python's values as far as templates see them. Lists and dicts do
// not change once made (the sandbox forbids it), so copies share them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::text::jinja {

using Int = __int128;  // Python's integers have no bound; past this one arithmetic is an error

class Value;
struct Object;
struct List {
  enum class Kind : std::uint8_t { kList, kTuple, kGroup } kind = Kind::kList;
  std::vector<Value> items;
  std::size_t depth = 1;
};
using Items = std::vector<std::pair<Value, Value>>;
struct Dict {
  Items items;
  std::size_t depth = 1;
};
struct Text {
  std::string bytes;  // UTF-8
  bool safe = false;  // markup: not escaped again
};
struct Undefined {
  std::string_view name;  // of the missing variable or attribute, in the template; for messages
};
struct None {};

class Value {
 public:
  Value() : data_(Undefined{}) {}
  Value(Undefined u) : data_(u) {}
  Value(None) : data_(None{}) {}
  Value(bool b) : data_(b) {}
  Value(Int n) : data_(n) {}
  Value(std::size_t n) : data_(static_cast<Int>(n)) {}
  Value(int n) : data_(static_cast<Int>(n)) {}
  Value(double d) : data_(d) {}
  Value(std::string s, bool safe = false)
      : data_(std::make_shared<const Text>(Text{std::move(s), safe})) {}
  Value(std::string_view s) : Value(std::string(s)) {}
  Value(const char* s) : Value(std::string(s)) {}
  Value(std::shared_ptr<const List> l) : data_(std::move(l)) {}
  Value(std::shared_ptr<const Dict> d) : data_(std::move(d)) {}
  Value(Object* o) : data_(o) {}

  template <class T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  bool undefined() const { return get<Undefined>() != nullptr; }
  bool none() const { return get<None>() != nullptr; }
  const std::string* text() const {
    const auto* p = get<std::shared_ptr<const Text>>();
    return p == nullptr ? nullptr : &(*p)->bytes;
  }
  bool safe() const {
    const auto* p = get<std::shared_ptr<const Text>>();
    return p != nullptr && (*p)->safe;
  }
  const List* list() const {
    const auto* p = get<std::shared_ptr<const List>>();
    return p == nullptr ? nullptr : p->get();
  }
  const Dict* dict() const {
    const auto* p = get<std::shared_ptr<const Dict>>();
    return p == nullptr ? nullptr : p->get();
  }
  Object* object() const {
    const auto* p = get<Object*>();
    return p == nullptr ? nullptr : *p;
  }
  // An integer or a boolean.
  const Int* integer() const { return get<Int>(); }
  bool number(double& out) const;  // bool, int or float
  bool integral(Int& out) const;   // bool or int
  bool same(const Value& other) const { return data_.index() == other.data_.index(); }

 private:
  std::variant<Undefined, None, bool, Int, double, std::shared_ptr<const Text>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>, Object*>
      data_;
};

// kInvalid when nested deeper than kMaxNesting.
Result<Value> make_list(std::vector<Value> items, List::Kind kind = List::Kind::kList);
Result<Value> make_dict(std::vector<std::pair<Value, Value>> items);
Value from_json(const json::Value& value);

std::string_view type_name(const Value& v);  // "str", "int", … as Python names them
bool truth(const Value& v);
// Of numbers and texts: -1, 0, 1; kInvalid when Python has no order between them.
Result<int> compare(const Value& a, const Value& b);
const Value* find(const Dict& d, std::string_view key);

// Stable, and safe with an order that is none (NaN): at worst the result is in no useful order.
template <class T, class Less>
void sort_stably(std::vector<T>& items, Less&& less) {
  for (std::size_t run = 1; run < items.size(); run *= 2) {
    std::vector<T> merged;
    merged.reserve(items.size());
    for (std::size_t from = 0; from < items.size(); from += 2 * run) {
      std::size_t i = from;
      const std::size_t middle = std::min(from + run, items.size());
      std::size_t j = middle;
      const std::size_t end = std::min(from + 2 * run, items.size());
      while (i < middle || j < end) {
        const bool right = i == middle || (j < end && less(items[j], items[i]));
        merged.push_back(std::move(items[right ? j++ : i++]));
      }
    }
    items = std::move(merged);
  }
}

}  // namespace baton::text::jinja
