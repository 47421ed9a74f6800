#pragma once
// A Kubernetes API server as a `Cluster`.

#include <map>
#include <memory>
#include <string>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "net/kube/api_client.hpp"
#include "net/kube/cluster.hpp"
#include "net/kube/discovery.hpp"

namespace baton::kube {

// Thread-safe. Objects come without metadata.managedFields; writing one back so keeps the server's.
//
// What it does beside the plain requests:
//   list     in pages, decoded as they arrive; when a page's snapshot is gone (410) the rest is
//   asked
//            for again in one piece
//   watch    goes on by itself from the last version seen, bookmarks included, when the server ends
//            it, the connection breaks or nothing comes; kConflict when that version is too old.
//            kUnavailable when that has not worked for `resume_for`, or brings
//            an error or nothing readable three times in a row
//   update   without resourceVersion reads the current one first, repeated on conflict
class RestCluster final : public Cluster {
 public:
  struct Config {
    ApiClient::Config api;
    std::string field_manager = "baton";
    std::size_t page = 500;                        // objects
    Nanos watch_time = std::chrono::minutes(5);    // after which the server is to end a watch
    Nanos watch_idle = std::chrono::seconds(100);  // bookmarks come about once a minute
    Nanos resume_for = std::chrono::seconds(60);
    Nanos page_timeout = std::chrono::seconds(30);  // without a byte of a list
    // What is kept of listed and watched objects, by group and kind; of others, everything. Such
    // objects must not be written back.
    std::map<std::pair<std::string, std::string>, text::json::Keep> keep = {};
  };
  static Result<std::unique_ptr<RestCluster>> open(Config config, const Clock& clock,
                                                   Random& random);

  Result<Object> get(const ObjectKey& key, Deadline deadline) override;
  Result<List> list(const Query& query, Deadline deadline) override;
  Result<Object> create(const Object& object, DryRun dry_run, Deadline deadline) override;
  Result<Object> update(const Object& object, DryRun dry_run, Deadline deadline) override;
  // kUnsupported: the kind has no status subresource.
  Result<Object> update_status(const Object& object, Deadline deadline) override;
  Result<Object> patch(const ObjectKey& key, const Object& merge_patch, DryRun dry_run,
                       Deadline deadline) override;
  Result<Object> create_subresource(const ObjectKey& key, std::string_view subresource,
                                    const Object& body, Deadline deadline) override;
  Result<Object> apply(const Object& object, const ApplyAs& as, Deadline deadline) override;
  Status remove(const ObjectKey& key, const Removal& how, Deadline deadline) override;
  // Asked each time.
  Result<ServerVersion> server_version(Deadline deadline) override;
  // A watch must not outlive the cluster.
  Result<std::unique_ptr<Watch>> watch(const Query& query, const Version& from,
                                       Deadline deadline) override;

  const Access& access() const { return api_->access(); }
  // Where objects go that name no namespace.
  const std::string& default_namespace() const { return api_->access().ns; }

 private:
  RestCluster(Config config, const Clock& clock, std::unique_ptr<ApiClient> api);

  const text::json::Keep* keep_of(const Type& type) const;
  // The object of a 2xx answer, the error of another one.
  Result<Object> write(const Type& type, const ApiClient::Request& request, std::string_view doing,
                       Deadline deadline);
  Result<Object> put(const Object& object, std::string_view subresource, DryRun dry_run,
                     Deadline deadline);
  struct Page {
    std::size_t limit = 0;  // 0: all
    std::string from;       // the continue token
  };
  Status list_page(const Query& query, const Resource& resource, Page& page, List& into,
                   Deadline deadline);

  const Config config_;
  const Clock& clock_;
  const std::unique_ptr<ApiClient> api_;
  Discovery discovery_;
};

}  // namespace baton::kube
