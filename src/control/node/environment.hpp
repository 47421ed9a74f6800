#pragma once
// A container's environment, as the kubelet builds it. Pure: objects come in.

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

// In the order of definition; later entries replace earlier ones of the same name.
class Environment {
 public:
  void set(std::string_view name, std::string value);
  void erase(std::string_view name);
  const std::string* find(std::string_view name) const;
  std::string get(std::string_view name) const;  // "" when absent
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }
  std::vector<std::pair<std::string, std::string>>& entries() { return entries_; }
  std::vector<std::string> lines() const;  // "NAME=value"

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

// $(NAME) becomes its value when defined, $$ becomes $ (as in the pod specification).
std::string expand(std::string_view text, const Environment& env);

// Reads a ConfigMap or Secret of the pod's namespace.
using ReadObject = std::function<Result<kube::Object>(std::string_view kind, const std::string&)>;

// `pod` carries status.podIP. kNotFound: a ConfigMap, Secret or key that is not optional.
// kUnsupported: a field reference the node does not know.
Result<Environment> container_environment(const kube::Object& pod, const kube::Object& container,
                                          const ReadObject& read);

// Whether the error says no more than that an optional reference's object or key is not there.
bool may_miss(const kube::Object& ref, const Error& error);

// The text of one key of a ConfigMap's or Secret's data (Secrets are base64); kNotFound.
Result<std::string> data_of(const kube::Object& object, std::string_view key);
// Every key with its text.
Result<std::map<std::string, std::string>> all_data(const kube::Object& object);

// A downward-API field of the pod ("metadata.labels['x']").
Result<std::string> pod_field(const kube::Object& pod, std::string_view path);

}  // namespace baton::node
