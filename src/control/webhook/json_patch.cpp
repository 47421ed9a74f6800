#include "control/webhook/json_patch.hpp"

#include <string>
#include <utility>

namespace baton::webhook {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::pointer;
using text::json::Value;

void differ(const Value& before, const Value& after, const std::string& at, Array& out) {
  const Object* was = before.if_object();
  const Object* is = after.if_object();
  if (was != nullptr && is != nullptr) {
    for (const auto& [key, value] : *was) {
      if (is->find(key) == nullptr) {
        out.push_back(Object{{"op", "remove"}, {"path", pointer(at, key)}});
      }
    }
    for (const auto& [key, value] : *is) {
      if (const Value* old = was->find(key)) {
        differ(*old, value, pointer(at, key), out);
      } else {
        out.push_back(Object{{"op", "add"}, {"path", pointer(at, key)}, {"value", value}});
      }
    }
    return;
  }
  const Array* had = before.if_array();
  const Array* has = after.if_array();
  if (had != nullptr && has != nullptr && had->size() == has->size()) {
    for (std::size_t i = 0; i < has->size(); ++i) differ((*had)[i], (*has)[i], pointer(at, i), out);
    return;
  }
  if (before != after) {
    out.push_back(Object{{"op", "replace"}, {"path", at}, {"value", after}});
  }
}

}  // namespace

Array json_patch(const Value& before, const Value& after) {
  Array out;
  differ(before, after, "", out);
  return out;
}

}  // namespace baton::webhook
