#pragma once
// The object store that everything in control/ and routing/watch talks to: a real API server
// (RestCluster) or MemoryCluster. Objects are JSON as the API server would return them.
// Blocking, with deadlines: used on plain threads only.

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::kube {

using Object = text::json::Value;

// group/kind names a resource; the version is what is read and written ("apps", "v1",
// "Deployment").
struct Type {
  std::string group;
  std::string version;
  std::string kind;
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  friend auto operator<=>(const Type&, const Type&) = default;
};

struct ObjectKey {
  Type type;
  std::string ns;  // empty for cluster-scoped kinds
  std::string name;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};
std::string to_string(const ObjectKey& key);  // "apps/v1 Deployment llm/x-kserve"

// How often writers repeat a read-modify-write that met a conflict.
inline constexpr int kConflictRetries = 8;

// kInvalid without apiVersion, kind or metadata.name.
Result<ObjectKey> key_of(const Object& object);
Type type_of(const Object& object);

// metadata.resourceVersion; opaque to users, compared for equality only.
using Version = std::string;

// All labels given must be equal ("" selects everything).
using LabelSelector = std::map<std::string, std::string>;
bool matches(const LabelSelector& selector, const Object& object);

struct Query {
  Type type;
  std::string ns;  // empty: every namespace
  LabelSelector labels;
};

struct List {
  std::vector<Object> items;
  Version version;  // to watch from
};

struct Event {
  enum class Kind : std::uint8_t { kAdded, kModified, kDeleted };
  Kind kind;
  Object object;  // for kDeleted the last state
  // By a Follower, of a list: what else that has may be older and not told yet.
  bool of_list = false;
};

// Thread-safe. Buffered with a bound; a reader that falls behind gets kConflict ("expired") and
// lists again, as with HTTP 410.
class Watch {
 public:
  virtual ~Watch() = default;
  // nullopt: nothing until the deadline. kCancelled: closed. kConflict: expired.
  virtual Result<std::optional<Event>> next(Deadline deadline) = 0;
  virtual void close() = 0;  // from any thread; wakes next()
};

enum class DryRun : bool { kNo, kYes };

// kNone: gone at once, as a kubelet does when a pod's processes have ended.
enum class Grace : bool { kDefault, kNone };

enum class Propagation : std::uint8_t {
  kBackground,  // what it owns goes after it
  kForeground,  // what it owns and blocks it goes first
  kOrphan,      // what it owns stays, without owner
};

struct Removal {
  Removal(Grace g = Grace::kDefault) : grace(g) {}  // so that a Grace will do
  Grace grace;
  Propagation propagation = Propagation::kBackground;
  std::string uid;  // empty, or the object must still be this one: kConflict
  Version version;  // empty, or the object must still be at this one: kConflict
};

// As whom fields are applied. Field managers of other names keep theirs.
enum class Force : bool { kNo, kYes };
struct ApplyAs {
  std::string manager = "baton";
  Force force = Force::kNo;  // kYes: takes fields of other managers over
  DryRun dry_run = DryRun::kNo;
};

// Of the API server, as GET /version tells it ("major": "1", "minor": "34", or "34+" of builds of
// one's own).
struct ServerVersion {
  int major = 0, minor = 0;
  friend auto operator<=>(const ServerVersion&, const ServerVersion&) = default;
};

// Thread-safe. kNotFound from any call: also when the server has no such kind (its CRD is not
// installed); the message says so.
class Cluster {
 public:
  virtual ~Cluster() = default;

  virtual Result<Object> get(const ObjectKey& key, Deadline deadline) = 0;  // kNotFound
  virtual Result<List> list(const Query& query, Deadline deadline) = 0;
  // kConflict: exists. generateName is honoured.
  virtual Result<Object> create(const Object& object, DryRun dry_run, Deadline deadline) = 0;
  // Replaces everything but status. kConflict: resourceVersion differs. Without resourceVersion the
  // last write wins.
  virtual Result<Object> update(const Object& object, DryRun dry_run, Deadline deadline) = 0;
  // Replaces status only.
  virtual Result<Object> update_status(const Object& object, Deadline deadline) = 0;
  // JSON merge patch (RFC 7386) on everything but status.
  virtual Result<Object> patch(const ObjectKey& key, const Object& merge_patch, DryRun dry_run,
                               Deadline deadline) = 0;
  // POST to a subresource: "binding" of a Pod (target.name becomes its node; kConflict: it has
  // one), "token" of a ServiceAccount (a TokenRequest; status.token is in the answer). Returns the
  // answer. kUnsupported: the store has no such subresource.
  virtual Result<Object> create_subresource(const ObjectKey& key, std::string_view subresource,
                                            const Object& body, Deadline deadline);
  // Server-side apply: creates the object, or sets the fields given and removes those that this
  // manager gave before and gives no more. kConflict: another manager owns one of them, or
  // resourceVersion differs. kUnsupported: the store does not do it.
  virtual Result<Object> apply(const Object& object, const ApplyAs& as, Deadline deadline);
  // With finalizers, and for a Pod on a node unless kNone: sets deletionTimestamp (and
  // deletionGracePeriodSeconds). Else removes it, and what it owns in the background. kNotFound.
  virtual Status remove(const ObjectKey& key, const Removal& how, Deadline deadline) = 0;
  // kUnsupported: the store does not tell.
  virtual Result<ServerVersion> server_version(Deadline deadline);
  // Events after `from`. kConflict: `from` is too old, list again.
  virtual Result<std::unique_ptr<Watch>> watch(const Query& query, const Version& from,
                                               Deadline deadline) = 0;
};

}  // namespace baton::kube
