#include "control/reconcile/routing_key.hpp"

#include <utility>

#include "base/text/base64.hpp"
#include "control/reconcile/fields.hpp"

namespace baton::reconcile {

namespace {

constexpr std::size_t kKeyBytes = 32;  // as long as what it signs with: SHA-256

bool is_kept(const Applier& applier, const kube::Object& secret) {
  return applier.controls(secret) && !kube::is_deleting(secret) && has(secret, {"data", "key"});
}

}  // namespace

Status keep_routing_key(Applier& applier, const Applier::Deps& deps, kube::Object frame,
                        Random& random, Deadline deadline) {
  BATON_TRY_ASSIGN(const auto key, kube::key_of(frame));
  const auto known = deps.cache.get(key);
  if (known && is_kept(applier, known->object)) return {};
  // The cache may not show yet what an earlier pass wrote: a key must not change behind readers.
  const auto live = deps.cluster.get(key, deadline);
  if (live && is_kept(applier, *live)) return {};
  if (!live && live.error().code() != Code::kNotFound) return live.error();
  frame["type"] = "Opaque";
  frame["data"]["key"] = text::base64(random_hex(random, kKeyBytes));
  BATON_TRY(applier.apply(frame));
  return {};
}

}  // namespace baton::reconcile
