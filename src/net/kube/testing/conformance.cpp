#include "net/kube/testing/conformance.hpp"

#include <gtest/gtest.h>

#include "net/kube/object.hpp"

namespace baton::kube::testing {

namespace {

const Type kConfigMap{"", "v1", "ConfigMap"};
const Type kIngress{"networking.k8s.io", "v1", "Ingress"};

text::json::Value parse(const std::string& text) {
  auto value = text::json::parse(text);
  EXPECT_TRUE(value) << text;
  return value ? *value : Object();
}

// One store under test, with deadlines filled in.
struct Subject {
  Cluster& cluster;
  const Clock& clock;
  std::string ns;

  Deadline soon() const { return Deadline::in(clock, std::chrono::seconds(10)); }
  ObjectKey key(const Type& type, const std::string& name) const { return {type, ns, name}; }

  Object must(Result<Object> result) const {
    EXPECT_TRUE(result) << result.error().message();
    return result ? *result : Object();
  }
  Object create(const Object& o) const { return must(cluster.create(o, DryRun::kNo, soon())); }
  Object update(const Object& o) const { return must(cluster.update(o, DryRun::kNo, soon())); }
  Object get(const Type& type, const std::string& name) const {
    return must(cluster.get(key(type, name), soon()));
  }
  bool exists(const Type& type, const std::string& name) const {
    return cluster.get(key(type, name), soon()).has_value();
  }
  void remove(const Type& type, const std::string& name) const {
    EXPECT_TRUE(cluster.remove(key(type, name), Grace::kDefault, soon()));
  }
  // The next event of the watch.
  Event event(Watch& watch) const {
    auto next = watch.next(soon());
    EXPECT_TRUE(next && next->has_value());
    return next && *next ? **next : Event{};
  }
  // Until the object is gone (garbage collection is in the background).
  void await_gone(const Type& type, const std::string& name) const {
    const auto deadline = soon();
    auto list = cluster.list({type, ns, {}}, soon());
    ASSERT_TRUE(list);
    auto watch = cluster.watch({type, ns, {}}, list->version, soon());
    ASSERT_TRUE(watch);
    while (exists(type, name) && !deadline.passed(clock.now())) {
      ASSERT_TRUE((*watch)->next(deadline));
    }
    EXPECT_FALSE(exists(type, name));
  }
};

void creates_and_reads(const Subject& s) {
  SCOPED_TRACE("creates and reads");
  const Object made = s.create(config_map(s.ns, "made"));
  EXPECT_FALSE(uid_of(made).empty());
  EXPECT_FALSE(made.string_at({"metadata", "resourceVersion"}).empty());
  EXPECT_TRUE(parse_timestamp(made.string_at({"metadata", "creationTimestamp"})));
  EXPECT_EQ(s.get(kConfigMap, "made"), made);
  EXPECT_EQ(s.cluster.create(config_map(s.ns, "made"), DryRun::kNo, s.soon()).error().code(),
            Code::kConflict);
  EXPECT_EQ(s.cluster.get(s.key(kConfigMap, "absent"), s.soon()).error().code(), Code::kNotFound);
  EXPECT_EQ(s.cluster.update(config_map(s.ns, "absent"), DryRun::kNo, s.soon()).error().code(),
            Code::kNotFound);
  s.remove(kConfigMap, "made");
  EXPECT_FALSE(s.exists(kConfigMap, "made"));
  EXPECT_EQ(s.cluster.remove(s.key(kConfigMap, "made"), Grace::kDefault, s.soon()).error().code(),
            Code::kNotFound);
}

void refuses_bad_names(const Subject& s) {
  SCOPED_TRACE("refuses bad names");
  for (const auto* name : {"Upper", "under_score", "-edge", ""}) {
    const auto made = s.cluster.create(config_map(s.ns, name), DryRun::kNo, s.soon());
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code(), Code::kInvalid) << name;
  }
}

void generates_names(const Subject& s) {
  SCOPED_TRACE("generates names");
  Object wanted = config_map(s.ns, "");
  wanted["metadata"].if_object()->erase("name");
  wanted["metadata"]["generateName"] = "gen-";
  const Object first = s.create(wanted);
  const Object second = s.create(wanted);
  EXPECT_TRUE(name_of(first).starts_with("gen-"));
  EXPECT_EQ(name_of(first).size(), std::string_view("gen-").size() + 5);
  EXPECT_NE(name_of(first), name_of(second));
  s.remove(kConfigMap, std::string(name_of(first)));
  s.remove(kConfigMap, std::string(name_of(second)));
}

void detects_conflicts(const Subject& s) {
  SCOPED_TRACE("detects conflicts");
  const Object first = s.create(config_map(s.ns, "contended"));
  Object mine = first;
  mine["data"]["a"] = "mine";
  const Object second = s.update(mine);
  EXPECT_NE(second.string_at({"metadata", "resourceVersion"}),
            first.string_at({"metadata", "resourceVersion"}));

  Object stale = first;
  stale["data"]["a"] = "stale";
  EXPECT_EQ(s.cluster.update(stale, DryRun::kNo, s.soon()).error().code(), Code::kConflict);

  stale["metadata"].if_object()->erase("resourceVersion");
  EXPECT_EQ(s.update(stale).string_at({"data", "a"}), "stale");  // without one the last write wins
  EXPECT_EQ(uid_of(s.get(kConfigMap, "contended")), uid_of(first));

  const Object now = s.get(kConfigMap, "contended");
  EXPECT_EQ(s.update(now), now);  // no change, no new version
  s.remove(kConfigMap, "contended");
}

std::int64_t port_of(const Object& ingress) {
  const auto* port = ingress.find_path({"spec", "defaultBackend", "service", "port", "number"});
  return port == nullptr ? 0 : port->if_int().value_or(0);
}
std::string address_of(const Object& ingress) {
  const auto* list = ingress.find_path({"status", "loadBalancer", "ingress"});
  if (list == nullptr || list->if_array() == nullptr || list->if_array()->empty()) return "";
  return std::string(list->if_array()->front().string_at({"ip"}));
}
void set_address(Object& ingress, const std::string& ip) {
  Object entry;
  entry["ip"] = ip;
  ingress["status"]["loadBalancer"]["ingress"] = text::json::Array{entry};
}
void set_port(Object& ingress, int port) {
  ingress["spec"]["defaultBackend"]["service"]["port"]["number"] = port;
}

// Of a kind whose status no controller of a plain control plane writes.
void keeps_status_apart(const Subject& s) {
  SCOPED_TRACE("keeps status apart");
  Object wanted = parse(R"({"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{
    "name":"apart"},"spec":{"defaultBackend":{"service":{"name":"x","port":{"number":1}}}}})");
  wanted["metadata"]["namespace"] = s.ns;
  set_address(wanted, "10.0.0.7");
  const Object made = s.create(wanted);
  EXPECT_EQ(address_of(made), "");
  EXPECT_EQ(generation_of(made), 1);

  Object status = made;
  set_port(status, 5);
  set_address(status, "10.0.0.1");
  const Object with_status = s.must(s.cluster.update_status(status, s.soon()));
  EXPECT_EQ(port_of(with_status), 1);
  EXPECT_EQ(address_of(with_status), "10.0.0.1");
  EXPECT_EQ(generation_of(with_status), 1);

  Object spec = with_status;
  set_port(spec, 3);
  set_address(spec, "10.0.0.9");
  const Object changed = s.update(spec);
  EXPECT_EQ(port_of(changed), 3);
  EXPECT_EQ(address_of(changed), "10.0.0.1");
  EXPECT_EQ(generation_of(changed), 2);

  Object labelled = changed;
  labelled["metadata"]["labels"]["x"] = "y";
  EXPECT_EQ(generation_of(s.update(labelled)), 2);  // metadata is no new generation
  EXPECT_EQ(s.cluster.update_status(made, s.soon()).error().code(), Code::kConflict);
  s.remove(kIngress, "apart");
}

void patches(const Subject& s) {
  SCOPED_TRACE("patches");
  s.create(config_map(s.ns, "patched"));
  const auto key = s.key(kConfigMap, "patched");
  const Object added =
      s.must(s.cluster.patch(key, parse(R"({"data":{"a":null,"b":"2"}})"), DryRun::kNo, s.soon()));
  EXPECT_EQ(added.find_path({"data", "a"}), nullptr);
  EXPECT_EQ(added.string_at({"data", "b"}), "2");
  const auto stale = parse(R"({"metadata":{"resourceVersion":"1"},"data":{"c":"3"}})");
  EXPECT_EQ(s.cluster.patch(key, stale, DryRun::kNo, s.soon()).error().code(), Code::kConflict);
  s.remove(kConfigMap, "patched");
}

void dry_runs_change_nothing(const Subject& s) {
  SCOPED_TRACE("dry runs change nothing");
  EXPECT_TRUE(s.cluster.create(config_map(s.ns, "dry"), DryRun::kYes, s.soon()));
  EXPECT_FALSE(s.exists(kConfigMap, "dry"));
  Object made = s.create(config_map(s.ns, "dry"));
  Object wanted = made;
  wanted["data"]["a"] = "other";
  const Object shown = s.must(s.cluster.update(wanted, DryRun::kYes, s.soon()));
  EXPECT_EQ(shown.string_at({"data", "a"}), "other");
  EXPECT_EQ(s.get(kConfigMap, "dry"), made);
  s.remove(kConfigMap, "dry");
}

void lists_by_label_and_namespace(const Subject& s) {
  SCOPED_TRACE("lists by label");
  for (const auto* name : {"red-1", "red-2", "blue"}) {
    Object o = config_map(s.ns, name);
    o["metadata"]["labels"]["colour"] = std::string(name).substr(0, 3);
    s.create(o);
  }
  const auto red = s.cluster.list({kConfigMap, s.ns, {{"colour", "red"}}}, s.soon());
  ASSERT_TRUE(red);
  EXPECT_EQ(red->items.size(), 2u);
  const auto elsewhere = s.cluster.list({kConfigMap, "no-such-namespace", {}}, s.soon());
  ASSERT_TRUE(elsewhere);
  EXPECT_TRUE(elsewhere->items.empty());
  for (const auto* name : {"red-1", "red-2", "blue"}) s.remove(kConfigMap, name);
}

void watches_from_a_version(const Subject& s) {
  SCOPED_TRACE("watches from a version");
  Object before = config_map(s.ns, "before");
  before["metadata"]["labels"]["watched"] = "yes";
  s.create(before);
  const Query query{kConfigMap, s.ns, {{"watched", "yes"}}};
  const auto list = s.cluster.list(query, s.soon());
  ASSERT_TRUE(list);
  Object next = config_map(s.ns, "next");
  next["metadata"]["labels"]["watched"] = "yes";
  Object made = s.create(next);  // after the list, before the watch
  s.create(config_map(s.ns, "unrelated"));

  auto watch = s.cluster.watch(query, list->version, s.soon());
  ASSERT_TRUE(watch);
  const Event added = s.event(**watch);
  EXPECT_EQ(added.kind, Event::Kind::kAdded);
  EXPECT_EQ(name_of(added.object), "next");

  made["data"]["a"] = "changed";
  made = s.update(made);
  EXPECT_EQ(s.event(**watch).kind, Event::Kind::kModified);

  made["metadata"]["labels"]["watched"] = "no";  // leaving the selection is a deletion
  made = s.update(made);
  EXPECT_EQ(s.event(**watch).kind, Event::Kind::kDeleted);

  s.remove(kConfigMap, "before");
  const Event gone = s.event(**watch);
  EXPECT_EQ(gone.kind, Event::Kind::kDeleted);
  EXPECT_EQ(name_of(gone.object), "before");

  (*watch)->close();
  EXPECT_EQ((*watch)->next(s.soon()).error().code(), Code::kCancelled);
  s.remove(kConfigMap, "next");
  s.remove(kConfigMap, "unrelated");
}

void holds_for_finalizers(const Subject& s) {
  SCOPED_TRACE("holds for finalizers");
  Object wanted = config_map(s.ns, "held");
  wanted["metadata"]["finalizers"].push_back("baton.dev/test");
  const Object made = s.create(wanted);
  s.remove(kConfigMap, "held");
  Object held = s.get(kConfigMap, "held");
  EXPECT_TRUE(is_deleting(held));
  s.remove(kConfigMap, "held");  // asking again is no error

  held["metadata"].if_object()->erase("finalizers");
  s.update(held);
  EXPECT_FALSE(s.exists(kConfigMap, "held"));
}

void collects_what_an_owner_owned(const Subject& s) {
  SCOPED_TRACE("collects what an owner owned");
  const Object owner = s.create(config_map(s.ns, "owner"));
  const Object other = s.create(config_map(s.ns, "other"));
  Object child = config_map(s.ns, "child");
  child["metadata"]["ownerReferences"].push_back(controller_reference(owner));
  const Object made = s.create(child);
  Object grandchild = config_map(s.ns, "grandchild");
  grandchild["metadata"]["ownerReferences"].push_back(controller_reference(made));
  s.create(grandchild);
  Object shared = config_map(s.ns, "shared");
  shared["metadata"]["ownerReferences"].push_back(controller_reference(owner));
  Object second = controller_reference(other);
  second["controller"] = false;
  shared["metadata"]["ownerReferences"].push_back(second);
  s.create(shared);

  s.remove(kConfigMap, "owner");

  s.await_gone(kConfigMap, "child");
  s.await_gone(kConfigMap, "grandchild");
  EXPECT_TRUE(s.exists(kConfigMap, "shared"));
  s.remove(kConfigMap, "other");
  s.await_gone(kConfigMap, "shared");
}

void removes_only_what_is_meant(const Subject& s) {
  SCOPED_TRACE("removes only what is meant");
  const Object first = s.create(config_map(s.ns, "meant"));
  Object changed = first;
  changed["data"]["a"] = "2";
  changed = s.update(changed);
  const auto key = s.key(kConfigMap, "meant");
  const auto attempt = [&](const std::string& uid, const Version& version) {
    Removal how;
    how.uid = uid;
    how.version = version;
    const auto done = s.cluster.remove(key, how, s.soon());
    return done ? std::nullopt : std::optional(done.error().code());
  };
  const std::string uid(uid_of(first));
  const Version old(first.string_at({"metadata", "resourceVersion"}));
  const Version now(changed.string_at({"metadata", "resourceVersion"}));
  EXPECT_EQ(attempt("another", ""), Code::kConflict);
  EXPECT_EQ(attempt(uid, old), Code::kConflict);
  EXPECT_TRUE(s.exists(kConfigMap, "meant"));
  EXPECT_EQ(attempt(uid, now), std::nullopt);
  EXPECT_FALSE(s.exists(kConfigMap, "meant"));
}

void orphans_when_asked(const Subject& s) {
  SCOPED_TRACE("orphans when asked");
  const Object owner = s.create(config_map(s.ns, "parent"));
  Object child = config_map(s.ns, "orphan");
  child["metadata"]["ownerReferences"].push_back(controller_reference(owner));
  s.create(child);
  Removal how;
  how.propagation = Propagation::kOrphan;
  ASSERT_TRUE(s.cluster.remove(s.key(kConfigMap, "parent"), how, s.soon()));
  s.await_gone(kConfigMap, "parent");
  EXPECT_EQ(controller_uid(s.get(kConfigMap, "orphan")), "");
  s.remove(kConfigMap, "orphan");
}

void applies_what_is_its_own(const Subject& s) {
  SCOPED_TRACE("applies what is its own");
  const auto wanted = [&](const std::string& data) {
    Object o = config_map(s.ns, "applied");
    o["data"] = parse(data);
    return o;
  };
  const auto apply = [&](const std::string& manager, const std::string& data,
                         Force force = Force::kNo, DryRun dry_run = DryRun::kNo) {
    return s.cluster.apply(wanted(data), {manager, force, dry_run}, s.soon());
  };
  const auto data_of = [](const Object& o) {
    const auto* data = o.find("data");
    return data == nullptr ? Object() : *data;
  };
  EXPECT_TRUE(apply("one", R"({"a":"1"})", Force::kNo, DryRun::kYes));
  EXPECT_FALSE(s.exists(kConfigMap, "applied"));
  const Object made = s.must(apply("one", R"({"a":"1","b":"1"})"));
  EXPECT_EQ(s.must(apply("one", R"({"a":"1","b":"1"})")), made);  // no change, no new version

  // A field given up goes; one of another manager stays, and is in the way.
  EXPECT_EQ(data_of(s.must(apply("one", R"({"a":"1"})"))), parse(R"({"a":"1"})"));
  EXPECT_EQ(data_of(s.must(apply("two", R"({"c":"2"})"))), parse(R"({"a":"1","c":"2"})"));
  const auto refused = apply("two", R"({"a":"2","c":"2"})");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kConflict);
  EXPECT_NE(refused.error().message().find("conflict with \"one\": .data.a"), std::string::npos)
      << refused.error().message();
  EXPECT_TRUE(apply("two", R"({"a":"1"})", Force::kNo, DryRun::kYes));  // the same value is shared

  EXPECT_EQ(data_of(s.must(apply("two", R"({"a":"2","c":"2"})", Force::kYes))),
            parse(R"({"a":"2","c":"2"})"));
  EXPECT_EQ(data_of(s.must(apply("one", "{}"))), parse(R"({"a":"2","c":"2"})"));

  Object other = s.get(kConfigMap, "applied");
  other["data"]["c"] = "3";
  s.update(other);
  EXPECT_EQ(apply("two", R"({"a":"2","c":"2"})").error().code(), Code::kConflict);
  Object stale = wanted(R"({"d":"4"})");
  stale["metadata"]["resourceVersion"] = made.string_at({"metadata", "resourceVersion"});
  EXPECT_EQ(s.cluster.apply(stale, {}, s.soon()).error().code(), Code::kConflict);
  s.remove(kConfigMap, "applied");
}

void tells_a_watch_everything_in_order(const Subject& s) {
  SCOPED_TRACE("tells a watch everything in order");
  const auto list = s.cluster.list({kConfigMap, s.ns, {}}, s.soon());
  ASSERT_TRUE(list);
  Object counter = s.create(config_map(s.ns, "counter"));
  std::vector<Version> versions{Version(counter.string_at({"metadata", "resourceVersion"}))};
  for (int i = 2; i <= 5; ++i) {
    counter["data"]["a"] = std::to_string(i);
    counter = s.update(counter);
    versions.emplace_back(counter.string_at({"metadata", "resourceVersion"}));
  }
  s.remove(kConfigMap, "counter");

  auto watch = s.cluster.watch({kConfigMap, s.ns, {}}, list->version, s.soon());
  ASSERT_TRUE(watch);
  for (int i = 1; i <= 5; ++i) {
    const Event event = s.event(**watch);
    EXPECT_EQ(event.kind, i == 1 ? Event::Kind::kAdded : Event::Kind::kModified);
    EXPECT_EQ(event.object.string_at({"data", "a"}), std::to_string(i));
  }
  EXPECT_EQ(s.event(**watch).kind, Event::Kind::kDeleted);

  // From a version in between, only what came after it.
  auto later = s.cluster.watch({kConfigMap, s.ns, {}}, versions[2], s.soon());
  ASSERT_TRUE(later);
  EXPECT_EQ(s.event(**later).object.string_at({"data", "a"}), "4");
}

void tells_its_version(const Subject& s) {
  SCOPED_TRACE("tells its version");
  const auto version = s.cluster.server_version(s.soon());
  ASSERT_TRUE(version) << version.error().message();
  EXPECT_EQ(version->major, 1);
  EXPECT_GE(version->minor, 30);
}

}  // namespace

Object config_map(const std::string& ns, const std::string& name) {
  Object o = parse(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{},"data":{"a":"1"}})");
  o["metadata"]["name"] = name;
  o["metadata"]["namespace"] = ns;
  return o;
}

Object deployment(const std::string& ns, const std::string& name, int replicas) {
  Object o = parse(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{},"spec":{
    "replicas":1,"selector":{"matchLabels":{"app":"x"}},
    "template":{"metadata":{"labels":{"app":"x"}},
      "spec":{"containers":[{"name":"main","image":"example/x:1"}]}}}})");
  o["metadata"]["name"] = name;
  o["metadata"]["namespace"] = ns;
  o["spec"]["replicas"] = replicas;
  return o;
}

void run_conformance(Cluster& cluster, const Clock& clock, const std::string& ns) {
  const Subject subject{cluster, clock, ns};
  creates_and_reads(subject);
  refuses_bad_names(subject);
  generates_names(subject);
  detects_conflicts(subject);
  keeps_status_apart(subject);
  patches(subject);
  dry_runs_change_nothing(subject);
  lists_by_label_and_namespace(subject);
  watches_from_a_version(subject);
  holds_for_finalizers(subject);
  collects_what_an_owner_owned(subject);
  removes_only_what_is_meant(subject);
  orphans_when_asked(subject);
  applies_what_is_its_own(subject);
  tells_a_watch_everything_in_order(subject);
  tells_its_version(subject);
}

}  // namespace baton::kube::testing
