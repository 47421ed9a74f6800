#include "net/kube/digest.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include <xxhash.h>

namespace baton::kube {

namespace {

constexpr std::array<std::string_view, 7> kServerKept = {
    "resourceVersion",   "uid",          "generation", "managedFields",
    "creationTimestamp", "generateName", "selfLink"};

class Digest {
 public:
  void number(std::uint64_t n) { state_ = XXH3_64bits_withSeed(&n, sizeof n, state_); }
  void put(std::string_view s) {
    number(s.size());
    state_ = XXH3_64bits_withSeed(s.data(), s.size(), state_);
  }
  void value(const Object& v) {
    number(static_cast<std::uint64_t>(v.kind()));
    if (const auto* b = v.if_bool()) number(*b ? 1 : 0);
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
  std::uint64_t state_ = 0;
};

}  // namespace

std::uint64_t digest(const Object& value) {
  Digest out;
  out.value(value);
  return out.state();
}

std::uint64_t digest_of_content(const Object& object) {
  Digest out;
  if (object.if_object() == nullptr) return out.state();
  for (const auto& [key, value] : *object.if_object()) {
    // A list's items come without apiVersion and kind.
    if (key == "status" || key == "apiVersion" || key == "kind") continue;
    out.put(key);
    if (key != "metadata" || value.if_object() == nullptr) {
      out.value(value);
      continue;
    }
    for (const auto& [member, content] : *value.if_object()) {
      if (std::ranges::find(kServerKept, member) != kServerKept.end()) continue;
      if (member == "annotations" && content.if_object() != nullptr) {
        out.annotations(*content.if_object());
        continue;
      }
      out.put(member);
      out.value(content);
    }
  }
  return out.state();
}

}  // namespace baton::kube
