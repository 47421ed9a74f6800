#include "formats/api/crd.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "formats/api/convert.hpp"
#include "formats/api/schema.hpp"

namespace baton::api {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kPreserve = "x-kubernetes-preserve-unknown-fields";
// Quantities of apimachinery: a decimal number with a suffix or an exponent.
constexpr std::string_view kQuantityPattern =
    R"(^[-+]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?(\d+(\.\d*)?|\.\d+))?$)";

// How strict a definition is about what stands in Kubernetes' own specs.
enum class Embedded : bool { kChecked, kRelaxed };

// One version of one kind's schema (OpenAPI v3 as apiextensions.k8s.io/v1 has it).
class Shapes {
 public:
  Shapes(Versions version, Embedded embedded) : version_(version), embedded_(embedded) {}

  Value of(const Struct& type) {
    // An adapter is a model that could have adapters.
    if (std::ranges::find(open_, &type) != open_.end()) {
      return Object{{"type", "object"}, {std::string(kPreserve), true}};
    }
    open_.push_back(&type);
    Object properties;
    Array required;
    for (const Field& field : type.fields) {
      if (field.versions != Versions::kBoth && field.versions != version_) continue;
      properties.set(field.name, this->field(field));
      if (field.needed) required.push_back(field.name);
    }
    open_.pop_back();
    Object out{{"type", "object"}, {"properties", std::move(properties)}};
    if (!required.empty()) out.set("required", std::move(required));
    if (type.open) out.set(kPreserve, true);
    if (!relaxed() && !type.rules.empty()) {
      Array rules;
      for (const Rule& rule : type.rules) {
        rules.push_back(Object{{"rule", rule.holds}, {"message", rule.message}});
      }
      out.set("x-kubernetes-validations", std::move(rules));
    }
    return out;
  }

 private:
  bool relaxed() const { return inside_ > 0 && embedded_ == Embedded::kRelaxed; }

  Value field(const Field& field) {
    const bool kubernetes = field.type == FieldType::kPodSpec || field.type == FieldType::kRaw ||
                            field.type == FieldType::kRaws;
    if (kubernetes) ++inside_;
    Object out = typed(field);
    if (!field.says.empty()) out.set("description", field.says);
    if (!field.preset.empty()) out.set("default", *text::json::parse(field.preset));
    if (kubernetes) --inside_;
    return out;
  }

  Object typed(const Field& field) {
    switch (field.type) {
      case FieldType::kString: {
        Object out = string(field.pattern);
        if (!relaxed()) {
          bounds(out, field, "Length");
          if (!field.words.empty()) {
            out.set("enum", Array(field.words.begin(), field.words.end()));
          }
        }
        return out;
      }
      case FieldType::kInt:
      case FieldType::kLong: {
        Object out{{"type", "integer"},
                   {"format", field.type == FieldType::kInt ? "int32" : "int64"}};
        if (field.least) out.set("minimum", *field.least);
        if (field.most) out.set("maximum", *field.most);
        return out;
      }
      case FieldType::kBool:
        return {{"type", "boolean"}};
      case FieldType::kQuantity:
        return int_or_string(kQuantityPattern);
      case FieldType::kIntOrPercent:
        return int_or_string({});
      case FieldType::kStrings:
        return list(field, string({}));
      case FieldType::kStringMap:
        return map(field, string(field.pattern));
      case FieldType::kQuantityMap:
        return map(field, int_or_string(kQuantityPattern));
      case FieldType::kPodSpec:
      case FieldType::kRaw:
      case FieldType::kObject:
        return *member(field).if_object();
      case FieldType::kRaws:
      case FieldType::kObjects:
        return list(field, member(field));
    }
    return {};
  }

  Value member(const Field& field) {
    if (field.of != nullptr) return of(*field.of);
    return Object{{"type", "object"}, {std::string(kPreserve), true}};
  }

  Object string(std::string_view pattern) const {
    Object out{{"type", "string"}};
    if (!pattern.empty() && !relaxed()) out.set("pattern", pattern);
    return out;
  }

  Object int_or_string(std::string_view pattern) const {
    Object out{{"x-kubernetes-int-or-string", true},
               {"anyOf", Array{Object{{"type", "integer"}}, Object{{"type", "string"}}}}};
    if (!pattern.empty() && !relaxed()) out.set("pattern", pattern);
    return out;
  }

  Object list(const Field& field, Value items) const {
    Object out{{"type", "array"}, {"items", std::move(items)}};
    if (field.keys.empty()) {
      out.set("x-kubernetes-list-type", "atomic");
    } else {
      out.set("x-kubernetes-list-type", "map");
      out.set("x-kubernetes-list-map-keys", Array(field.keys.begin(), field.keys.end()));
    }
    bounds(out, field, "Items");
    return out;
  }

  Object map(const Field& field, Value values) const {
    Object out{{"type", "object"}, {"additionalProperties", std::move(values)}};
    bounds(out, field, "Properties");
    return out;
  }

  // A template may stand for more than it is long, never for more items.
  void bounds(Object& out, const Field& field, std::string_view what) const {
    if (field.shortest && !relaxed()) out.set(fmt::format("min{}", what), *field.shortest);
    if (field.longest) out.set(fmt::format("max{}", what), *field.longest);
  }

  const Versions version_;
  const Embedded embedded_;
  int inside_ = 0;                   // how many of Kubernetes' own specs around this place
  std::vector<const Struct*> open_;  // around this place, outermost first
};

Value column(std::string_view name, std::string_view path, std::string_view type) {
  return Object{{"name", name}, {"type", type}, {"jsonPath", path}};
}

struct Kind {
  std::string_view kind;
  std::string_view plural;
  std::string_view singular;
  std::string_view short_name;
  std::string_view says;
  const Struct* status;
  Embedded embedded;
};

Array columns(const Kind& kind) {
  const Value ready = column("Ready", ".status.conditions[?(@.type=='Ready')].status", "string");
  const Value reason = column("Reason", ".status.conditions[?(@.type=='Ready')].reason", "string");
  const Value age = column("Age", ".metadata.creationTimestamp", "date");
  if (kind.embedded == Embedded::kRelaxed) return {ready, reason, age};
  Value urls = column("URLs", ".status.addresses[*].url", "string");
  urls["priority"] = 1;
  return {column("URL", ".status.url", "string"), ready, reason, age, std::move(urls)};
}

Value version(const Kind& kind, std::string_view name, Versions version) {
  Object properties{{"apiVersion", Object{{"type", "string"}}},
                    {"kind", Object{{"type", "string"}}},
                    {"metadata", Object{{"type", "object"}}},
                    {"spec", Shapes(version, kind.embedded).of(service_spec())}};
  properties.set("status", Shapes(version, kind.embedded).of(*kind.status));
  Object schema{
      {"type", "object"}, {"description", kind.says}, {"properties", std::move(properties)}};
  return Object{{"name", name},
                {"served", true},
                {"storage", version == Versions::kV1Alpha2},
                {"schema", Object{{"openAPIV3Schema", std::move(schema)}}},
                {"subresources", Object{{"status", Object()}}},
                {"additionalPrinterColumns", columns(kind)}};
}

Value definition(const Kind& kind, const HookAddress& hooks) {
  Object names{{"kind", kind.kind},
               {"listKind", fmt::format("{}List", kind.kind)},
               {"plural", kind.plural},
               {"singular", kind.singular}};
  if (!kind.short_name.empty()) names.set("shortNames", Array{kind.short_name});
  Object webhook{{"clientConfig", client_config(hooks, kConvertPath)},
                 {"conversionReviewVersions", Array{"v1", "v1beta1"}}};
  return Object{
      {"apiVersion", "apiextensions.k8s.io/v1"},
      {"kind", "CustomResourceDefinition"},
      {"metadata", Object{{"name", fmt::format("{}.{}", kind.plural, kGroup)}}},
      {"spec", Object{{"group", kGroup},
                      {"names", std::move(names)},
                      {"scope", "Namespaced"},
                      {"conversion", Object{{"strategy", "Webhook"}, {"webhook", webhook}}},
                      {"versions", Array{version(kind, "v1alpha1", Versions::kV1Alpha1),
                                         version(kind, "v1alpha2", Versions::kV1Alpha2)}}}}};
}

}  // namespace

Value client_config(const HookAddress& at, std::string_view path) {
  Object out;
  if (at.url.empty()) {
    out.set("service", Object{{"namespace", at.service_namespace},
                              {"name", at.service_name},
                              {"port", at.service_port},
                              {"path", path}});
  } else {
    out.set("url", fmt::format("{}{}", at.url, path));
  }
  if (!at.ca_bundle.empty()) out.set("caBundle", at.ca_bundle);
  return out;
}

std::vector<Value> crds(const HookAddress& hooks) {
  const Kind service{"LLMInferenceService",
                     "llminferenceservices",
                     "llminferenceservice",
                     "llmisvc",
                     "A model, and how it is served.",
                     &service_status(),
                     Embedded::kChecked};
  const Kind config{
      "LLMInferenceServiceConfig",
      "llminferenceserviceconfigs",
      "llminferenceserviceconfig",
      "",
      "A spec for services to build on (spec.baseRefs). Its strings may be templates.",
      &config_status(),
      Embedded::kRelaxed};
  return {definition(service, hooks), definition(config, hooks)};
}

}  // namespace baton::api
