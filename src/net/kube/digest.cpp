#include "net/kube/digest.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

namespace baton::kube {

namespace {

constexpr std::array<std::string_view, 7> kServerKept = {
    "resourceVersion",   "uid",          "generation", "managedFields",
    "creationTimestamp", "generateName", "selfLink"};

// Constants of FNV-1a 64 (draft-eastlake-fnv).
class Fnv {
 public:
  void byte(unsigned char b) { state_ = (state_ ^ b) * 1099511628211U; }
  void number(std::uint64_t n) {
    for (int i = 0; i < 64; i += 8) byte(static_cast<unsigned char>(n >> i));
  }
  void put(std::string_view s) {
    number(s.size());
    for (const char c : s) byte(static_cast<unsigned char>(c));
  }
  void value(const Object& v) {
    byte(static_cast<unsigned char>(v.kind()));
    if (const auto* b = v.if_bool()) byte(*b ? 1 : 0);
    if (const auto* s = v.if_string()) put(*s);
    if (v.is_number()) number(std::bit_cast<std::uint64_t>(v.if_double().value_or(0)));
    if (const auto* a = v.if_array()) {
      number(a->size());
      for (const auto& one : *a) value(one);
    }
    if (const auto* o = v.if_object()) {
      number(o->size());
      for (const auto& [key, one] : *o) {
        put(key);
        value(one);
      }
    }
  }
  // Without the revision that the Deployment controller counts there.
  void annotations(const text::json::Object& map) {
    for (const auto& [key, one] : map) {
      if (key.starts_with("deployment.kubernetes.io/")) continue;
      put(key);
      value(one);
    }
  }
  std::uint64_t state() const { return state_; }

 private:
  std::uint64_t state_ = 14695981039346656037U;
};

}  // namespace

std::uint64_t digest(const Object& value) {
  Fnv fnv;
  fnv.value(value);
  return fnv.state();
}

std::uint64_t digest_of_content(const Object& object) {
  Fnv fnv;
  if (object.if_object() == nullptr) return fnv.state();
  for (const auto& [key, value] : *object.if_object()) {
    // A list's items come without apiVersion and kind.
    if (key == "status" || key == "apiVersion" || key == "kind") continue;
    fnv.put(key);
    if (key != "metadata" || value.if_object() == nullptr) {
      fnv.value(value);
      continue;
    }
    for (const auto& [member, content] : *value.if_object()) {
      if (std::ranges::find(kServerKept, member) != kServerKept.end()) continue;
      if (member == "annotations" && content.if_object() != nullptr) {
        fnv.annotations(*content.if_object());
        continue;
      }
      fnv.put(member);
      fnv.value(content);
    }
  }
  return fnv.state();
}

}  // namespace baton::kube
