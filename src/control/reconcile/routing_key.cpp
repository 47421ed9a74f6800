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
  frame["type"] = "Opaque";
  frame["data"]["key"] = text::base64(random_hex(random, kKeyBytes));
  if (!known) {
    // Hardly ever is there one that the cache does not show: to look would cost as much as to try.
    const auto made = applier.make(frame);
    if (made) return {};
    if (made.error().code() != Code::kConflict) return made.error();
  }
  // A key must not change behind its readers.
  const auto live = deps.cluster.get(key, deadline);
  if (live && is_kept(applier, *live)) return {};
  if (!live && live.error().code() != Code::kNotFound) return live.error();
  BATON_TRY(applier.apply(frame));
  return {};
}

}  // namespace baton::reconcile
