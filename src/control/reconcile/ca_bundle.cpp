#include "control/reconcile/ca_bundle.hpp"

#include "control/reconcile/fields.hpp"
#include "control/reconcile/kinds.hpp"
#include "net/kube/digest.hpp"

namespace baton::reconcile {

using kube::Object;

Status copy_ca_bundle(const Applier::Deps& deps, const plan::Wish& wish, const std::string& system,
                      Deadline deadline) {
  constexpr std::string_view kLedger = "ca-bundle";  // no uid: the same for every service
  const kube::ObjectKey from{kConfigMap, system, wish.source};
  const kube::ObjectKey to{kConfigMap, wish.ns, wish.name};
  const auto known_source = deps.cache.get(from);
  const auto known_copy = deps.cache.get(to);
  if (known_source && known_copy &&
      deps.ledger.has(kLedger, to, {known_source->content, known_copy->content})) {
    return {};
  }
  BATON_TRY_ASSIGN(const auto source, deps.cluster.get(from, deadline));
  Object copy;
  copy["apiVersion"] = "v1";
  copy["kind"] = "ConfigMap";
  copy["metadata"]["name"] = wish.name;
  copy["metadata"]["namespace"] = wish.ns;
  copy["data"] = has(source, {"data"}) ? *source.find("data") : Object(text::json::Object{});
  auto live = deps.cluster.get(to, deadline);
  if (!live && live.error().code() != Code::kNotFound) return live.error();
  if (!live) {
    live = deps.cluster.create(copy, kube::DryRun::kNo, deadline);
  } else if (!has(*live, {"data"}) || *live->find("data") != *copy.find("data")) {
    copy["metadata"] = *live->find("metadata");  // labels are theirs
    live = deps.cluster.update(copy, kube::DryRun::kNo, deadline);
  }
  if (!live) return live.error();
  deps.ledger.put(kLedger, to, {kube::digest_of_content(source), kube::digest_of_content(*live)});
  return {};
}

}  // namespace baton::reconcile
