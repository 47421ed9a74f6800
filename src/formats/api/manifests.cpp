#include "formats/api/manifests.hpp"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/core/nearest.hpp"
#include "base/text/base64.hpp"
#include "base/text/yaml.hpp"
#include "formats/api/names.hpp"
#include "formats/api/pool.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kOurs[] = {"LLMInferenceService", "LLMInferenceServiceConfig"};
constexpr std::string_view kWellKnown[] = {"LLMInferenceService",
                                           "LLMInferenceServiceConfig",
                                           "InferencePool",
                                           "EndpointPickerConfig",
                                           "ConfigMap",
                                           "Secret",
                                           "Gateway",
                                           "List"};

std::string_view group_of(std::string_view api_version) {
  const std::size_t slash = api_version.find('/');
  return slash == std::string_view::npos ? "" : api_version.substr(0, slash);
}

// As the API server does.
void move_string_data(Value& secret) {
  const Value* plain = secret.find("stringData");
  if (plain == nullptr || !plain->is_object()) return;
  const Object members = *plain->if_object();
  secret.if_object()->erase("stringData");
  for (const auto& [key, value] : members) {
    if (value.is_string()) secret["data"][key] = text::base64(*value.if_string());
  }
}

// A document, or an item of one.
struct Place {
  std::shared_ptr<const Source> source;
  int line = 1;
  std::string in;  // pointer, "" for the document

  std::string text() const {
    return fmt::format("{}:{}{}{}", source->name, line, in.empty() ? "" : ": ", in);
  }
  std::string text_of(const std::string& pointer) const {
    return fmt::format("{}:{}", source->name,
                       text::yaml::line_of(source->text, line, in + pointer));
  }
};

// A volume makes files of them, so that one such as ../../x would lie somewhere else.
Status check_keys(const Value& object, const Place& place) {
  for (const std::string_view name : {"data", "binaryData", "stringData"}) {
    const Value* data = object.find(name);
    if (data == nullptr || !data->is_object()) continue;
    for (const auto& [key, value] : *data->if_object()) {
      if (is_data_key(key)) continue;
      const std::string at = text::json::pointer(fmt::format("/{}", name), key);
      return invalid(
          fmt::format("{}: {}: {}: expected a key of letters, digits, '-', '_' and '.' that does "
                      "not begin with '..'",
                      place.text_of(at), object.string_at({"kind"}), at));
    }
  }
  return {};
}

class Sorter {
 public:
  Status take(Value object, const Place& place) {
    const std::string where = place.text();
    if (!object.is_object()) {
      return invalid(fmt::format("{}: expected an object, is {}", where, object.kind_name()));
    }
    const std::string kind(object.string_at({"kind"}));
    const std::string version(object.string_at({"apiVersion"}));
    if (kind.empty() || version.empty()) {
      return invalid(
          fmt::format("{}: {} is required", where, kind.empty() ? "/kind" : "/apiVersion"));
    }
    if (kind == "List") return take_list(object, place);
    if (kind == "EndpointPickerConfig") {
      out_.notes.push_back(where +
                           ": an EndpointPickerConfig on its own has no effect: a service takes it "
                           "from spec.router.scheduler.config");
      return add(out_.picker_configs, std::move(object), place);
    }
    BATON_TRY(check_new(object, kind, where));
    return file(std::move(object), kind, group_of(version), place);
  }

  Manifests finish() { return std::move(out_); }

 private:
  Status take_list(Value& list, const Place& place) {
    const std::string where = place.text();
    Value* items = list.find("items");
    if (items == nullptr || !items->is_array()) {
      return invalid(where + ": /items: expected a list");
    }
    for (std::size_t i = 0; i < items->if_array()->size(); ++i) {
      if ((*items->if_array())[i].string_at({"kind"}) == "List") {
        return invalid(fmt::format("{}: /items/{}: a List in a List", where, i));
      }
      BATON_TRY(take(std::move((*items->if_array())[i]),
                     {place.source, place.line, fmt::format("{}/items/{}", place.in, i)}));
    }
    return {};
  }

  Status check_new(const Value& object, const std::string& kind, const std::string& where) {
    const std::string_view name = object.string_at({"metadata", "name"});
    for (const std::string_view key : {"name", "namespace"}) {
      const Value* value = object.find_path({"metadata", key});
      if (value == nullptr || value->is_null() || value->is_string()) continue;
      return invalid(fmt::format("{}: {}: /metadata/{}: expected a string (quote it), is {}", where,
                                 kind, key, text::json::dump(*value)));
    }
    if (name.empty()) {
      return invalid(fmt::format("{}: {}: /metadata/name: is required", where, kind));
    }
    std::string_view ns = object.string_at({"metadata", "namespace"});
    if (ns.empty()) ns = "default";
    for (const auto& [key, text] :
         {std::pair<std::string_view, std::string_view>{"name", name}, {"namespace", ns}}) {
      if (is_path_segment(text)) continue;
      return invalid(
          fmt::format("{}: {}: /metadata/{}: '{}' is no name: expected no '/', '%' or "
                      "control character, and not '.' or '..'",
                      where, kind, key, text));
    }
    const auto [first, fresh] = seen_.emplace(fmt::format("{} {}/{}", kind, ns, name), where);
    if (fresh) return {};
    return invalid(
        fmt::format("{}: {} is there already at {}", where, first->first, first->second));
  }

  Status file(Value object, const std::string& kind, std::string_view group, const Place& place) {
    const std::string where = place.text();
    if (kind == kOurs[0]) return add(out_.services, std::move(object), place);
    if (kind == kOurs[1]) return add(out_.configs, std::move(object), place);
    if (group == "serving.kserve.io") {
      return invalid(fmt::format("{}: kind '{}' of serving.kserve.io is not supported{}", where,
                                 kind, did_you_mean(kind, kOurs)));
    }
    if (kind == "InferencePool") return pool(object, place);
    if (kind == "ConfigMap") {
      BATON_TRY(check_keys(object, place));
      return add(out_.config_maps, std::move(object), place);
    }
    if (kind == "Secret") {
      BATON_TRY(check_keys(object, place));
      move_string_data(object);
      return add(out_.secrets, std::move(object), place);
    }
    if (kind == "Gateway" && group == "gateway.networking.k8s.io") {
      return add(out_.gateways, std::move(object), place);
    }
    const std::string_view near = nearest(kind, kWellKnown);
    if (!near.empty()) {
      out_.notes.push_back(
          fmt::format("{}: unknown kind '{}'{}", where, kind, did_you_mean(kind, kWellKnown)));
    }
    return add(out_.others, std::move(object), place);
  }

  Status pool(const Value& object, const Place& place) {
    const std::string where = place.text();
    BATON_TRY_ASSIGN(Pool converted, pool_to_v1(object).with(where));
    if (!converted.note.empty()) out_.notes.push_back(where + ": " + converted.note);
    return add(out_.pools, std::move(converted.object), place);
  }

  static Status add(std::vector<Manifest>& to, Value object, const Place& place) {
    to.push_back({std::move(object), place.text(), place.source, place.line, place.in});
    return {};
  }

  Manifests out_;
  std::map<std::string, std::string> seen_;  // "Kind ns/name" -> where
};

}  // namespace

std::string Manifest::where_is(std::string_view message) const {
  if (source == nullptr || !message.starts_with('/')) return where;
  const std::string pointer = in + std::string(message.substr(0, message.find(':')));
  return fmt::format("{}:{}", source->name, text::yaml::line_of(source->text, line, pointer));
}

Result<Manifests> read_manifests(std::span<const Source> sources) {
  Sorter sorter;
  for (const Source& each : sources) {
    const auto source = std::make_shared<const Source>(each);
    BATON_TRY_ASSIGN(auto documents, text::yaml::parse_all(source->text, source->name));
    for (auto& document : documents) {
      BATON_TRY(sorter.take(std::move(document.value), {source, document.line, ""}));
    }
  }
  return sorter.finish();
}

}  // namespace baton::api
