#pragma once
// Which field manager owns which fields of one object: server-side apply in process. Pure.
// https://kubernetes.io/docs/reference/using-api/server-side-apply/
//
// Unlike an API server this knows no schema: objects are merged member by member, a list is one
// field and belongs to one manager as a whole.

#include <map>
#include <set>
#include <string>

#include "base/core/result.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

class FieldOwners {
 public:
  // Who owns what was written by create, update and patch.
  static constexpr const char* kUpdater = "update";

  // `object` is new, or first applied now: all of its fields belong to `manager`.
  void created(const Object& object, const std::string& manager);
  // Fields that an update changed belong to kUpdater now.
  void updated(const Object& before, const Object& after);
  // `live` with the fields of `wanted`, without those that the manager gave up. kConflict names the
  // managers and fields in the way; nothing changes then.
  Result<Object> apply(const Object& live, const Object& wanted, const ApplyAs& as);

 private:
  std::map<std::string, std::set<std::string>> fields_;  // ".data.a" by manager
};

}  // namespace baton::kube
