#include "control/webhook/review.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/text/base64.hpp"
#include "control/plan/plan.hpp"
#include "control/webhook/config_check.hpp"
#include "control/webhook/invalid_status.hpp"
#include "control/webhook/json_patch.hpp"
#include "formats/api/convert.hpp"
#include "formats/api/crd.hpp"
#include "formats/api/local_model.hpp"
#include "formats/api/validate.hpp"

namespace baton::webhook {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kAdmissionGroup = "admission.k8s.io";
constexpr std::string_view kConversionGroup = "apiextensions.k8s.io";

enum class Duty : std::uint8_t { kDefault, kValidateService, kValidateConfig, kConvert };

struct Endpoint {
  Duty duty;
  std::string_view api_version;  // of the objects; "" for conversion
};

std::optional<Endpoint> endpoint(std::string_view path) {
  if (path == api::kConvertPath) return Endpoint{Duty::kConvert, ""};
  struct Prefix {
    std::string_view verb;
    std::string_view kind;
    Duty duty;
  };
  constexpr Prefix kPrefixes[] = {
      {"/mutate-serving-kserve-io-", "-llminferenceservice", Duty::kDefault},
      {"/validate-serving-kserve-io-", "-llminferenceservice", Duty::kValidateService},
      {"/validate-serving-kserve-io-", "-llminferenceserviceconfig", Duty::kValidateConfig}};
  for (const auto& [verb, kind, duty] : kPrefixes) {
    if (!path.starts_with(verb)) continue;
    const std::string_view rest = path.substr(verb.size());
    if (rest == fmt::format("v1alpha1{}", kind)) return Endpoint{duty, api::kOldApiVersion};
    if (rest == fmt::format("v1alpha2{}", kind)) return Endpoint{duty, api::kApiVersion};
  }
  return std::nullopt;
}

// ---- admission ----

// What the response says beside uid.
struct Verdict {
  Value status;  // null: allowed
  Array warnings;
  Array patch;
};

Verdict refused(int code, std::string_view reason, std::string_view message) {
  Verdict out;
  out.status = refused_status(code, reason, message);
  return out;
}

Verdict judged(const Value& object, const api::Findings& findings) {
  Verdict out;
  out.warnings = warnings(findings.warnings);
  if (!findings.errors.empty()) out.status = invalid_status(object, findings.errors);
  return out;
}

void add_finalizer(Value& service) {
  auto& finalizers = service["metadata"]["finalizers"];
  const Value ours = plan::kServiceFinalizer;
  const auto* list = finalizers.if_array();
  if (list == nullptr || std::ranges::find(*list, ours) == list->end()) finalizers.push_back(ours);
}

void add(api::Findings& to, api::Findings more) {
  std::ranges::move(more.errors, std::back_inserter(to.errors));
  std::ranges::move(more.warnings, std::back_inserter(to.warnings));
}

class Admission {
 public:
  Admission(const Value& request, const Endpoint& at, const Context& context)
      : request_(request), at_(at), context_(context) {}

  Verdict verdict() const {
    const std::string_view operation = request_.string_at({"operation"});
    const bool config = at_.duty == Duty::kValidateConfig;
    if (operation == "DELETE") return config ? deleted_config() : Verdict();
    if (operation != "CREATE" && operation != "UPDATE") return {};
    const auto object = read("object");
    if (!object) return refused(400, "BadRequest", object.error().message());
    if (at_.duty == Duty::kDefault) return defaulted(*object);
    if (!object->string_at({"metadata", "deletionTimestamp"}).empty()) return {};
    Result<Value> before = Value();
    if (operation == "UPDATE") {
      before = read("oldObject");
      if (!before) return refused(400, "BadRequest", before.error().message());
    }
    return config ? checked_config(*object, *before) : checked_service(*object, *before);
  }

 private:
  // The object or its predecessor, as v1alpha2.
  Result<Value> read(std::string_view member) const {
    const Value* found = request_.find(member);
    if (found == nullptr || !found->is_object()) {
      return invalid(fmt::format("/request/{}: expected an object", member));
    }
    if (found->string_at({"apiVersion"}) != at_.api_version) {
      return invalid(fmt::format("/request/{}/apiVersion: expected {}, is '{}'", member,
                                 at_.api_version, found->string_at({"apiVersion"})));
    }
    const std::string_view kind = found->string_at({"kind"});
    const std::string_view expected =
        at_.duty == Duty::kValidateConfig ? "LLMInferenceServiceConfig" : "LLMInferenceService";
    if (kind != expected) {
      return invalid(fmt::format("/request/{}/kind: expected {}, is '{}'", member, expected, kind));
    }
    return api::to_v1alpha2(*found).with(fmt::format("/request/{}", member));
  }

  Verdict defaulted(Value object) const {
    api::set_defaults(object);
    // In a write of its own it would cost the server this review, and the next, once more.
    if (request_.string_at({"operation"}) == "CREATE") add_finalizer(object);
    if (const auto& models = context_.local_models) {
      const std::string ns(request_.string_at({"namespace"}));
      std::vector<Value> own;
      for (const Value& cache : models->of_namespaces) {
        if (cache.string_at({"metadata", "namespace"}) == ns) own.push_back(cache);
      }
      api::set_local_model(object, {own, models->of_cluster});
    } else {
      api::set_local_model(object, {});
    }
    const auto after = api::convert(std::move(object), at_.api_version);
    if (!after) return refused(400, "BadRequest", after.error().message());
    Verdict out;
    out.patch = json_patch(*request_.find("object"), *after);
    return out;
  }

  Verdict checked_service(const Value& object, const Value& before) const {
    api::Findings found;
    // A name cannot be changed: what was stored before we came stays as it is.
    if (!before.is_object()) add(found, api::check_identity(object));
    add(found, api::validate(object, api::Completeness::kPartial));
    if (at_.api_version == api::kOldApiVersion) add(found, api::validate_v1alpha1(object));
    if (before.is_object()) add(found, api::validate_update(before, object));
    return judged(object, found);
  }

  Verdict checked_config(const Value& object, const Value& before) const {
    api::Findings found = api::validate_config(object);
    if (found.errors.empty()) add(found, check_templates(object, context_.settings));
    const std::string_view name = object.string_at({"metadata", "name"});
    const Value* was = before.find("spec");
    const Value* is = object.find("spec");
    const bool changed = was != nullptr && (is == nullptr || *was != *is);
    if (changed && is_well_known(name, context_.settings)) {
      found.warnings.push_back(
          {"", fmt::format("{} is a well-known config: every service of that shape changes with "
                           "it; a config of your own, named in baseRefs, changes only yours",
                           name)});
    }
    return judged(object, found);
  }

  Verdict deleted_config() const {
    const std::string_view name = request_.string_at({"name"});
    const bool kept = is_well_known(name, context_.settings) &&
                      request_.string_at({"namespace"}) == context_.settings.system_namespace;
    if (!kept) return {};
    const std::string message =
        fmt::format("{}/{} is a well-known config that services are made with",
                    request_.string_at({"namespace"}), name);
    if (context_.keep_well_known_configs) {
      return refused(403, "Forbidden",
                     message + "; it may be deleted when PREVENT_WELL_KNOWN_CONFIG_DELETION=false");
    }
    Verdict out;
    out.warnings.push_back(message);
    return out;
  }

  const Value& request_;
  const Endpoint& at_;
  const Context& context_;
};

Value admission_response(const Value& request, Verdict verdict) {
  Object out{{"uid", request.string_at({"uid"})}, {"allowed", verdict.status.is_null()}};
  if (!verdict.status.is_null()) out.set("status", std::move(verdict.status));
  if (!verdict.patch.empty()) {
    out.set("patchType", "JSONPatch");
    out.set("patch", text::base64(text::json::dump(verdict.patch)));
  }
  if (!verdict.warnings.empty()) out.set("warnings", std::move(verdict.warnings));
  return out;
}

// ---- conversion ----

// All or nothing: the API server takes no part of a list.
Value conversion_response(const Value& request) {
  Object out{{"uid", request.string_at({"uid"})}};
  const auto failed = [&](std::string message) -> Value {
    out.set("convertedObjects", Array());
    out.set("result", Object{{"status", "Failure"}, {"message", std::move(message)}});
    return out;
  };
  const std::string_view wanted = request.string_at({"desiredAPIVersion"});
  const Value* objects = request.find("objects");
  if (objects == nullptr || !objects->is_array()) {
    return failed("/request/objects: expected a list");
  }
  Array converted;
  for (const Value& object : *objects->if_array()) {
    auto one = api::convert(object, wanted);
    if (!one) {
      return failed(
          fmt::format("/request/objects/{}: {}", converted.size(), one.error().message()));
    }
    converted.push_back(*std::move(one));
  }
  out.set("convertedObjects", std::move(converted));
  out.set("result", Object{{"status", "Success"}});
  return out;
}

bool is_review(const Value& review, std::string_view kind, std::string_view group) {
  const std::string_view version = review.string_at({"apiVersion"});
  return review.string_at({"kind"}) == kind &&
         (version == fmt::format("{}/v1", group) || version == fmt::format("{}/v1beta1", group));
}

}  // namespace

std::optional<std::size_t> body_limit(std::string_view path) {
  const auto at = endpoint(path);
  if (!at) return std::nullopt;
  return at->duty == Duty::kConvert ? kMaxConversion : kMaxAdmission;
}

Answer answer(std::string_view path, std::string_view body, const Context& context) {
  const auto at = endpoint(path);
  if (!at) return {404, fmt::format("no webhook at {}\n", path)};
  if (body.size() > *body_limit(path)) {
    return {413, fmt::format("a review of {} bytes, {} at most\n", body.size(), *body_limit(path))};
  }
  const auto review = text::json::parse(body);
  if (!review) return {400, fmt::format("the review: {}\n", review.error().message())};
  const bool conversion = at->duty == Duty::kConvert;
  const std::string_view kind = conversion ? "ConversionReview" : "AdmissionReview";
  const std::string_view group = conversion ? kConversionGroup : kAdmissionGroup;
  if (!is_review(*review, kind, group)) {
    return {400, fmt::format("expected {} of {}/v1 or v1beta1, is '{}' of '{}'\n", kind, group,
                             review->string_at({"kind"}), review->string_at({"apiVersion"}))};
  }
  const Value* request = review->find("request");
  if (request == nullptr || !request->is_object()) {
    return {400, "/request: expected an object\n"};
  }
  Value response = conversion
                       ? conversion_response(*request)
                       : admission_response(*request, Admission(*request, *at, context).verdict());
  const Value* allowed = response.find("allowed");
  const bool was_refused = conversion ? response.string_at({"result", "status"}) != "Success"
                                      : allowed == nullptr || *allowed != Value(true);
  const Value out = Object{{"apiVersion", review->string_at({"apiVersion"})},
                           {"kind", kind},
                           {"response", std::move(response)}};
  return {200, text::json::dump(out), was_refused};
}

}  // namespace baton::webhook
