#include "control/node/environment.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text/base64.hpp"
#include "formats/api/names.hpp"
#include "formats/api/quantity.hpp"
#include "net/kube/object.hpp"

namespace baton::node {

void Environment::set(std::string_view name, std::string value) {
  for (auto& [key, old] : entries_) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  entries_.emplace_back(name, std::move(value));
}

void Environment::erase(std::string_view name) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == name; });
}

const std::string* Environment::find(std::string_view name) const {
  for (const auto& [key, value] : entries_) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string Environment::get(std::string_view name) const {
  const auto* value = find(name);
  return value == nullptr ? "" : *value;
}

std::vector<std::string> Environment::lines() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : entries_) out.push_back(key + "=" + value);
  return out;
}

std::string expand(std::string_view text, const Environment& env) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.substr(at, 2) == "$$") {
      out += '$';
      at += 2;
      continue;
    }
    const auto close = text.substr(at, 2) == "$(" ? text.find(')', at) : std::string_view::npos;
    if (close != std::string_view::npos) {
      const auto* value = env.find(text.substr(at + 2, close - at - 2));
      out += value != nullptr ? std::string_view(*value) : text.substr(at, close + 1 - at);
      at = close + 1;
      continue;
    }
    out += text[at++];
  }
  return out;
}

namespace {

constexpr std::size_t kMaxValue = std::size_t{1} << 20;  // of one ConfigMap or Secret entry

Result<std::string> secret_value(std::string_view base64) {
  if (base64.size() > kMaxValue * 2) return invalid("base64 text over 2 MiB");
  return text::parse_base64(base64);
}

Result<std::string> resource_field(const kube::Object& pod, const kube::Object& container,
                                   const kube::Object& ref) {
  const kube::Object* subject = &container;
  const auto wanted = ref.string_at({"containerName"});
  if (const auto* list = pod.find_path({"spec", "containers"});
      !wanted.empty() && list != nullptr) {
    for (const auto& other : *list->if_array()) {
      if (other.string_at({"name"}) == wanted) subject = &other;
    }
  }
  const auto resource = ref.string_at({"resource"});  // "limits.cpu"
  const auto dot = resource.find('.');
  if (dot == std::string_view::npos) {
    return unsupported(fmt::format("resourceFieldRef '{}'", resource));
  }
  const auto* value =
      subject->find_path({"resources", resource.substr(0, dot), resource.substr(dot + 1)});
  if (value == nullptr) return std::string("0");
  BATON_TRY_ASSIGN(const auto whole, api::quantity(*value).with(resource));
  return std::to_string(whole);
}

Result<std::optional<std::string>> from_key(std::string_view kind, const kube::Object& ref,
                                            const ReadObject& read) {
  const std::string name(ref.string_at({"name"}));
  const auto object = read(kind, name);
  auto value = object ? data_of(*object, ref.string_at({"key"})).with(kind)
                      : Result<std::string>(object.error());
  if (value) return std::optional<std::string>(*std::move(value));
  if (may_miss(ref, value.error())) return std::optional<std::string>();
  return std::move(value).error();
}

Result<std::optional<std::string>> value_from(const kube::Object& pod,
                                              const kube::Object& container,
                                              const kube::Object& source, const ReadObject& read) {
  const auto some = [](std::string text) { return std::optional<std::string>(std::move(text)); };
  if (const auto* ref = source.find("fieldRef")) {
    return pod_field(pod, ref->string_at({"fieldPath"})).transform(some);
  }
  if (const auto* ref = source.find("resourceFieldRef")) {
    return resource_field(pod, container, *ref).transform(some);
  }
  if (const auto* ref = source.find("configMapKeyRef")) return from_key("ConfigMap", *ref, read);
  if (const auto* ref = source.find("secretKeyRef")) return from_key("Secret", *ref, read);
  return unsupported(
      "valueFrom: expected fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef");
}

Status add_env_from(Environment& env, const kube::Object& source, const ReadObject& read) {
  const std::string prefix(source.string_at({"prefix"}));
  for (const auto& [member, kind] :
       {std::pair{"configMapRef", "ConfigMap"}, {"secretRef", "Secret"}}) {
    const auto* ref = source.find(member);
    if (ref == nullptr) continue;
    const auto object = read(kind, std::string(ref->string_at({"name"})));
    if (!object) {
      if (may_miss(*ref, object.error())) continue;
      return object.error();
    }
    BATON_TRY_ASSIGN(const auto data, all_data(*object));
    for (const auto& [key, text] : data) env.set(prefix + key, text);
  }
  return {};
}

// LeaderWorkerSets name their leader POD.SERVICE.NAMESPACE, which nothing resolves here: what waits
// for the name would wait in vain. Its address, then.
Result<std::string> leader_address(const kube::Object& pod, const std::string& name,
                                   const ReadObject& read) {
  const auto dot = name.find('.');
  const bool is_name = dot != std::string::npos && dot > 0 &&
                       name.find_first_not_of("0123456789.:abcdef") != std::string::npos;
  if (!is_name) return name;
  const auto leader = name.substr(0, dot);
  if (leader == kube::name_of(pod)) return std::string(pod.string_at({"status", "podIP"}));
  BATON_TRY_ASSIGN(const auto object, read("Pod", leader));
  std::string address(object.string_at({"status", "podIP"}));
  if (address.empty())
    return unavailable(fmt::format("leader pod '{}' has no address yet", leader));
  return address;
}

}  // namespace

bool may_miss(const kube::Object& ref, const Error& error) {
  const auto* optional = ref.find("optional");
  return error.code() == Code::kNotFound && optional != nullptr && optional->if_bool() != nullptr &&
         *optional->if_bool();
}

Result<std::string> data_of(const kube::Object& object, std::string_view key) {
  if (const auto* value = object.find_path({"data", key}); value != nullptr && value->is_string()) {
    if (object.string_at({"kind"}) != "Secret") return *value->if_string();
    return secret_value(*value->if_string())
        .with(fmt::format("'{}' key '{}'", kube::name_of(object), key));
  }
  if (const auto* value = object.find_path({"stringData", key});
      value != nullptr && value->is_string()) {
    return *value->if_string();
  }
  return not_found(fmt::format("'{}' has no key '{}'", kube::name_of(object), key));
}

Result<std::map<std::string, std::string>> all_data(const kube::Object& object) {
  std::map<std::string, std::string> out;
  for (const auto* member : {"data", "stringData"}) {
    const auto* data = object.find(member);
    if (data == nullptr || data->if_object() == nullptr) continue;
    for (const auto& entry : *data->if_object()) {
      if (!api::is_data_key(entry.key)) {  // it becomes the name of a file or variable
        return invalid(fmt::format(
            "'{}' key '{}': expected letters, digits, '-', '_' and '.', not beginning with '..'",
            kube::name_of(object), entry.key));
      }
      BATON_TRY_ASSIGN(out[entry.key], data_of(object, entry.key));
    }
  }
  return out;
}

Result<std::string> pod_field(const kube::Object& pod, std::string_view path) {
  struct Field {
    std::string_view path;
    std::array<std::string_view, 2> member;
  };
  static constexpr std::array kFields = {
      Field{"metadata.name", {"metadata", "name"}},
      Field{"metadata.namespace", {"metadata", "namespace"}},
      Field{"metadata.uid", {"metadata", "uid"}},
      Field{"spec.nodeName", {"spec", "nodeName"}},
      Field{"spec.serviceAccountName", {"spec", "serviceAccountName"}},
      Field{"status.podIP", {"status", "podIP"}},
      Field{"status.podIPs", {"status", "podIP"}},
      Field{"status.hostIP", {"status", "hostIP"}},
  };
  for (const auto& [name, member] : kFields) {
    if (name == path) return std::string(pod.string_at({member[0], member[1]}));
  }
  for (const std::string_view map : {"labels", "annotations"}) {
    const auto prefix = fmt::format("metadata.{}['", map);
    if (path.starts_with(prefix) && path.ends_with("']")) {
      const auto key = path.substr(prefix.size(), path.size() - prefix.size() - 2);
      return std::string(pod.string_at({"metadata", map, key}));
    }
  }
  return unsupported(fmt::format("fieldRef '{}'", path));
}

Result<Environment> container_environment(const kube::Object& pod, const kube::Object& container,
                                          const ReadObject& read) {
  Environment env;
  if (const auto* sources = container.find("envFrom"); sources && sources->if_array()) {
    for (const auto& source : *sources->if_array()) {
      BATON_TRY(add_env_from(env, source, read));
    }
  }
  const auto* list = container.find("env");
  if (list == nullptr || list->if_array() == nullptr) return env;
  for (const auto& entry : *list->if_array()) {
    const auto name = entry.string_at({"name"});
    if (const auto* source = entry.find("valueFrom")) {
      auto value = value_from(pod, container, *source, read);
      if (!value) return std::move(value).error().with(fmt::format("env {}", name));
      if (*value) env.set(name, **value);
    } else {
      std::string value = expand(entry.string_at({"value"}), env);
      if (name == "LWS_LEADER_ADDRESS") {
        auto address = leader_address(pod, value, read);
        if (!address) return std::move(address).error().with(fmt::format("env {}", name));
        value = *std::move(address);
      }
      env.set(name, std::move(value));
    }
  }
  return env;
}

}  // namespace baton::node
