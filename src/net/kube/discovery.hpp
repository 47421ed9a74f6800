#pragma once
// Which kinds a server has, asked for when first needed and again when one is unknown.

#include <map>
#include <mutex>
#include <string>

#include "net/kube/api_client.hpp"
#include "net/kube/resource.hpp"

namespace baton::kube {

// A kind that was not there is asked for again after this long: CRDs come and go.
inline constexpr Nanos kAbsentKind = std::chrono::seconds(2);

// Thread-safe. Bounded by the groups and versions asked for.
class Discovery {
 public:
  Discovery(ApiClient& api, const Clock& clock) : api_(api), clock_(clock) {}

  // kNotFound: the server does not have the kind.
  Result<Resource> find(const Type& type, Deadline deadline);
  // The server did not know a path that came from here: the next find() asks again.
  void forget(const Type& type);

 private:
  struct Known {
    Resources resources;
    Mono asked;
  };
  Result<Resources> ask(const Type& type, Deadline deadline);

  ApiClient& api_;
  const Clock& clock_;
  std::mutex mutex_;                    // guards known_
  std::map<std::string, Known> known_;  // by group and version
};

}  // namespace baton::kube
