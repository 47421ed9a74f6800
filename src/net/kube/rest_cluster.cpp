#include "net/kube/rest_cluster.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "net/kube/api_status.hpp"
#include "net/kube/list_decoder.hpp"
#include "net/kube/object.hpp"
#include "net/kube/rest_watch.hpp"

namespace baton::kube {

namespace {

constexpr int kListAttempts = 3;  // of a page that broke off

const text::json::Keep& without_managed_fields() {
  static const auto keep = text::json::Keep::all_but({"metadata.managedFields"});
  return keep;
}

// "": left out. A kubelet ends what somebody else deleted: it leaves to the object's finalizers
// what goes first. With any policy the server would take the one of the deletion away, and the
// leader of a group would go before its workers, its successor be taken for theirs.
std::string_view policy_of(const Removal& how) {
  switch (how.propagation) {
    case Propagation::kForeground:
      return "Foreground";
    case Propagation::kOrphan:
      return "Orphan";
    case Propagation::kBackground:
      return how.grace == Grace::kNone ? "" : "Background";
  }
  return "";
}

std::string doing(std::string_view verb, const ObjectKey& key) {
  return fmt::format("{} of {}", verb, to_string(key));
}

// A name is not needed: the server makes it of generateName, and says what is wrong with it.
ObjectKey loose_key(const Object& object) {
  return {type_of(object), std::string(namespace_of(object)), std::string(name_of(object))};
}

Status check_kind(const Object& object) {
  if (!object.is_object()) {
    return invalid(fmt::format("expected an object, got {}", object.kind_name()));
  }
  if (object.string_at({"apiVersion"}).empty()) return invalid("/apiVersion: missing");
  if (object.string_at({"kind"}).empty()) return invalid("/kind: missing");
  return {};
}

}  // namespace

RestCluster::RestCluster(Config config, const Clock& clock, std::unique_ptr<ApiClient> api)
    : config_(std::move(config)), clock_(clock), api_(std::move(api)), discovery_(*api_, clock) {}

Result<std::unique_ptr<RestCluster>> RestCluster::open(Config config, const Clock& clock,
                                                       Random& random) {
  BATON_TRY_ASSIGN(auto api, ApiClient::open(config.api, clock, random));
  return std::unique_ptr<RestCluster>(new RestCluster(std::move(config), clock, std::move(api)));
}

const text::json::Keep* RestCluster::keep_of(const Type& type) const {
  const auto found = config_.keep.find({type.group, type.kind});
  return found == config_.keep.end() ? &without_managed_fields() : &found->second;
}

Result<Object> RestCluster::write(const Type& type, const ApiClient::Request& request,
                                  std::string_view what, Deadline deadline) {
  BATON_TRY_ASSIGN(const auto answer, api_->send(request, deadline).with(what));
  const int status = answer.head.status;
  if (status < 200 || status >= 300) {
    if (is_unknown_resource(status, answer.body)) discovery_.forget(type);
    return api_error(status, answer.body, what);
  }
  text::json::Parser parser;
  auto object = parser.parse(answer.body, &without_managed_fields());
  if (!object) return unavailable(object.error().message()).with(what);
  return object;
}

Result<Object> RestCluster::get(const ObjectKey& key, Deadline deadline) {
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  BATON_TRY(check_path(key, resource));
  return write(key.type, {.target = object_path(key, resource, "")}, doing("get", key), deadline);
}

Result<Object> RestCluster::create(const Object& object, DryRun dry_run, Deadline deadline) {
  BATON_TRY(check_kind(object));
  const ObjectKey key = loose_key(object);
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  ObjectKey named = key;
  if (named.name.empty()) named.name = "-";  // not part of the path
  BATON_TRY(check_path(named, resource));
  QueryText query;
  query.add("fieldManager", config_.field_manager);
  if (dry_run == DryRun::kYes) query.add("dryRun", "All");
  return write(key.type,
               {.method = "POST",
                .target = collection_path(key.type, resource, key.ns) + query.text(),
                .body = text::json::dump(object),
                .content = "application/json"},
               doing("create", key), deadline);
}

Result<Object> RestCluster::put(const Object& object, std::string_view subresource, DryRun dry_run,
                                Deadline deadline) {
  BATON_TRY_ASSIGN(const ObjectKey key, key_of(object));
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  BATON_TRY(check_path(key, resource));
  if (!subresource.empty() && !resource.has_status) {
    return unsupported(
        fmt::format("{}: the kind has no status subresource", doing("update of the status", key)));
  }
  QueryText query;
  query.add("fieldManager", config_.field_manager);
  if (dry_run == DryRun::kYes) query.add("dryRun", "All");
  const std::string target = object_path(key, resource, subresource) + query.text();
  const auto what = doing(subresource.empty() ? "update" : "update of the status", key);
  const auto send = [&](const Object& wanted) {
    return write(key.type,
                 {.method = "PUT",
                  .target = target,
                  .body = text::json::dump(wanted),
                  .content = "application/json"},
                 what, deadline);
  };
  if (!object.string_at({"metadata", "resourceVersion"}).empty()) return send(object);
  // Custom resources are not updated without a version: the last write wins all the same.
  for (int tries = 1;; ++tries) {
    BATON_TRY_ASSIGN(const Object current, get(key, deadline));
    Object wanted = object;
    wanted["metadata"]["resourceVersion"] = current.string_at({"metadata", "resourceVersion"});
    auto made = send(wanted);
    const bool again = !made && made.error().code() == Code::kConflict && tries < kConflictRetries;
    if (!again) return made;
  }
}

Result<Object> RestCluster::update(const Object& object, DryRun dry_run, Deadline deadline) {
  return put(object, "", dry_run, deadline);
}

Result<Object> RestCluster::update_status(const Object& object, Deadline deadline) {
  return put(object, "status", DryRun::kNo, deadline);
}

Result<Object> RestCluster::patch(const ObjectKey& key, const Object& merge_patch, DryRun dry_run,
                                  Deadline deadline) {
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  BATON_TRY(check_path(key, resource));
  if (!merge_patch.is_object()) {
    return invalid(fmt::format("merge patch of {}: expected an object, got {}", to_string(key),
                               merge_patch.kind_name()));
  }
  QueryText query;
  query.add("fieldManager", config_.field_manager);
  if (dry_run == DryRun::kYes) query.add("dryRun", "All");
  return write(key.type,
               {.method = "PATCH",
                .target = object_path(key, resource, "") + query.text(),
                .body = text::json::dump(merge_patch),
                .content = "application/merge-patch+json"},
               doing("patch", key), deadline);
}

Result<Object> RestCluster::create_subresource(const ObjectKey& key, std::string_view subresource,
                                               const Object& body, Deadline deadline) {
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  BATON_TRY(check_path(key, resource));
  return write(key.type,
               {.method = "POST",
                .target = object_path(key, resource, subresource),
                .body = text::json::dump(body),
                .content = "application/json"},
               doing(subresource, key), deadline);
}

Result<Object> RestCluster::apply(const Object& object, const ApplyAs& as, Deadline deadline) {
  BATON_TRY_ASSIGN(const ObjectKey key, key_of(object));
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  BATON_TRY(check_path(key, resource));
  Object wanted = object;
  wanted["metadata"].if_object()->erase("managedFields");  // must not be there
  QueryText query;
  query.add("fieldManager", as.manager).add("force", as.force == Force::kYes ? "true" : "false");
  if (as.dry_run == DryRun::kYes) query.add("dryRun", "All");
  return write(key.type,
               {.method = "PATCH",
                .target = object_path(key, resource, "") + query.text(),
                .body = text::json::dump(wanted),
                .content = "application/apply-patch+yaml"},  // JSON is YAML
               doing("apply", key), deadline);
}

Status RestCluster::remove(const ObjectKey& key, const Removal& how, Deadline deadline) {
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(key.type, deadline));
  BATON_TRY(check_path(key, resource));
  Object options;
  options["apiVersion"] = "v1";
  options["kind"] = "DeleteOptions";
  if (const auto policy = policy_of(how); !policy.empty()) {
    options["propagationPolicy"] = policy;
  }
  if (how.grace == Grace::kNone) options["gracePeriodSeconds"] = 0;
  if (!how.uid.empty()) options["preconditions"]["uid"] = how.uid;
  if (!how.version.empty()) options["preconditions"]["resourceVersion"] = how.version;
  BATON_TRY(write(key.type,
                  {.method = "DELETE",
                   .target = object_path(key, resource, ""),
                   .body = text::json::dump(options),
                   .content = "application/json"},
                  doing("delete", key), deadline));
  return {};
}

Result<ServerVersion> RestCluster::server_version(Deadline deadline) {
  constexpr std::string_view kDoing = "get of the server's version";
  BATON_TRY_ASSIGN(const auto answer, api_->send({.target = "/version"}, deadline).with(kDoing));
  if (answer.head.status != 200) return api_error(answer.head.status, answer.body, kDoing);
  return parse_version(answer.body).with(kDoing);
}

Status RestCluster::list_page(const Query& query, const Resource& resource, Page& page, List& into,
                              Deadline deadline) {
  const auto what = fmt::format("list of {}", query.type.kind);
  QueryText text;
  if (page.limit > 0) text.add("limit", std::to_string(page.limit));
  if (!page.from.empty()) text.add("continue", page.from);
  if (!query.labels.empty()) text.add("labelSelector", selector_text(query.labels));
  BATON_TRY_ASSIGN(
      auto opened,
      api_->open_stream({.target = collection_path(query.type, resource, query.ns) + text.text()},
                        deadline)
          .with(what));
  if (!opened.stream) {
    const auto& refusal = opened.refusal;
    if (is_unknown_resource(refusal.head.status, refusal.body)) discovery_.forget(query.type);
    return api_error(refusal.head.status, refusal.body, what);
  }
  ListDecoder decoder(query.type, keep_of(query.type),
                      [&](Object item) { into.items.push_back(std::move(item)); });
  while (true) {
    const auto piece =
        opened.stream->read_some(deadline.earlier(Deadline::in(clock_, config_.page_timeout)));
    if (!piece) {
      const auto& failure = piece.error();
      const bool late = failure.kind == http::Failure::Kind::kTimeout;
      return Error(late ? Code::kTimeout : Code::kUnavailable, failure.error.message()).with(what);
    }
    if (piece->empty()) break;
    BATON_TRY(decoder.feed(*piece));
  }
  BATON_TRY(decoder.finish());
  into.version = decoder.version();
  page.from = decoder.next_page();
  return {};
}

Result<List> RestCluster::list(const Query& query, Deadline deadline) {
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(query.type, deadline));
  List out;
  Page page{.limit = config_.page, .from = ""};
  int failures = 0;
  while (true) {
    const std::size_t complete = out.items.size();
    const bool first = page.from.empty();
    const Status done = list_page(query, resource, page, out, deadline);
    if (done && page.from.empty()) return out;
    if (done) continue;
    out.items.resize(complete);
    const Code code = done.error().code();
    if (code == Code::kConflict && !first) {
      // The snapshot is gone, and would be again: everything at once, as client-go does.
      page = {};
      out = {};
      continue;
    }
    const bool broken = code == Code::kUnavailable && ++failures < kListAttempts;
    if (!broken || deadline.passed(clock_.now())) return done.error();
  }
}

Result<std::unique_ptr<Watch>> RestCluster::watch(const Query& query, const Version& from,
                                                  Deadline deadline) {
  BATON_TRY_ASSIGN(const Resource resource, discovery_.find(query.type, deadline));
  auto out =
      std::make_unique<RestWatch>(*api_, clock_, query, resource, from,
                                  RestWatch::Config{config_.watch_time, config_.watch_idle,
                                                    config_.resume_for, keep_of(query.type)});
  const Status opened = out->open(deadline);
  if (!opened) return opened.error();
  return std::unique_ptr<Watch>(std::move(out));
}

}  // namespace baton::kube
