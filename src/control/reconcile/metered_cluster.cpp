#include "control/reconcile/metered_cluster.hpp"

#include <string>

namespace baton::reconcile {

namespace {
std::string_view verb_of(std::string_view verb, kube::DryRun dry_run) {
  return dry_run == kube::DryRun::kYes ? std::string_view("dry-run") : verb;
}

bool is_event(const kube::Type& type) { return type.kind == "Event"; }

// Events tell of the others and are counted apart.
std::string_view verb_of(std::string_view verb, kube::DryRun dry_run, const kube::Object& object) {
  return is_event(kube::type_of(object)) ? std::string_view("event") : verb_of(verb, dry_run);
}
}  // namespace

template <class R>
R MeteredCluster::counted(std::string_view verb, R result) {
  registry_
      .counter("baton_controller_requests_total", "Requests to the API server.",
               {{"verb", std::string(verb)},
                {"result", result ? "ok" : std::string(name(result.error().code()))}})
      .add();
  return result;
}

Result<Deadline> MeteredCluster::write_by(Deadline deadline) const {
  if (!writing_) return cancelled("not written: another controller leads, or this one is stopping");
  if (!until_) return deadline;
  const Deadline fence{until_()};
  if (fence.passed(clock_->now())) return cancelled("not written: this controller does not lead");
  return deadline.earlier(fence);
}

Result<kube::Object> MeteredCluster::get(const kube::ObjectKey& key, Deadline deadline) {
  return counted("get", inner_.get(key, deadline));
}

Result<kube::List> MeteredCluster::list(const kube::Query& query, Deadline deadline) {
  return counted("list", inner_.list(query, deadline));
}

Result<kube::Object> MeteredCluster::create(const kube::Object& object, kube::DryRun dry_run,
                                            Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  return counted(verb_of("create", dry_run, object), inner_.create(object, dry_run, by));
}

Result<kube::Object> MeteredCluster::update(const kube::Object& object, kube::DryRun dry_run,
                                            Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  return counted(verb_of("update", dry_run, object), inner_.update(object, dry_run, by));
}

Result<kube::Object> MeteredCluster::update_status(const kube::Object& object, Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  return counted("update-status", inner_.update_status(object, by));
}

Result<kube::Object> MeteredCluster::patch(const kube::ObjectKey& key,
                                           const kube::Object& merge_patch, kube::DryRun dry_run,
                                           Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  const auto verb = is_event(key.type) ? std::string_view("event") : verb_of("patch", dry_run);
  return counted(verb, inner_.patch(key, merge_patch, dry_run, by));
}

Result<kube::Object> MeteredCluster::create_subresource(const kube::ObjectKey& key,
                                                        std::string_view subresource,
                                                        const kube::Object& body,
                                                        Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  return counted("create", inner_.create_subresource(key, subresource, body, by));
}

Result<kube::Object> MeteredCluster::apply(const kube::Object& object, const kube::ApplyAs& as,
                                           Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  return counted(verb_of("apply", as.dry_run), inner_.apply(object, as, by));
}

Status MeteredCluster::remove(const kube::ObjectKey& key, const kube::Removal& how,
                              Deadline deadline) {
  BATON_TRY_ASSIGN(const auto by, write_by(deadline));
  return counted("delete", inner_.remove(key, how, by));
}

Result<kube::ServerVersion> MeteredCluster::server_version(Deadline deadline) {
  return counted("get", inner_.server_version(deadline));
}

Result<std::unique_ptr<kube::Watch>> MeteredCluster::watch(const kube::Query& query,
                                                           const kube::Version& from,
                                                           Deadline deadline) {
  return counted("watch", inner_.watch(query, from, deadline));
}

}  // namespace baton::reconcile
