#pragma once
// Where objects live on an API server: from discovery documents to request targets. Pure.
// https://kubernetes.io/docs/reference/using-api/api-concepts/

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

// What serves one kind in one version.
struct Resource {
  std::string plural;
  bool namespaced = false;
  bool has_status = false;  // a status subresource
  std::vector<std::string> verbs;
  friend bool operator==(const Resource&, const Resource&) = default;
};

// The kinds of one group and version.
using Resources = std::map<std::string, Resource, std::less<>>;

// "/api/v1", "/apis/apps/v1".
std::string group_version_path(const Type& type);

// An APIResourceList. kInvalid: no such document. Where a kind is there twice, the one whose plural
// can be listed wins.
Result<Resources> parse_resources(std::string_view document);

// What GET /version answers. kInvalid: no such document.
Result<ServerVersion> parse_version(std::string_view document);

// Query parameters in order: names and values are escaped.
class QueryText {
 public:
  QueryText& add(std::string_view name, std::string_view value);
  // "" or "?a=b&c=d".
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// "app=x,tier=y".
std::string selector_text(const LabelSelector& labels);

// kInvalid: a name or namespace that would not be one segment of a path ("", "..", "a/b"), or a
// namespaced kind without namespace.
Status check_path(const ObjectKey& key, const Resource& resource);

// The path of a collection: "/apis/apps/v1/namespaces/llm/deployments". `ns` empty: of all
// namespaces, or of a kind that has none.
std::string collection_path(const Type& type, const Resource& resource, std::string_view ns);
// The path of an object; `subresource` may be empty. Contract: check_path().
std::string object_path(const ObjectKey& key, const Resource& resource,
                        std::string_view subresource);

}  // namespace baton::kube
