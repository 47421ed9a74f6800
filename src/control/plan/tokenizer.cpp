// The tokenizer pod: a vLLM without engine that turns prompts into tokens for the picker.

#include <fmt/format.h>

#include <utility>

#include "control/plan/objects.hpp"
#include "control/plan/picker.hpp"
#include "control/plan/picker_config.hpp"
#include "control/plan/storage.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::int64_t kPort = 8000;
constexpr std::string_view kPortName = "render-http";
constexpr std::string_view kTokenizerPointer = "/spec/router/scheduler/tokenizer/template";

Value labels(const Build& build) { return component_labels(build.name, "tokenizer"); }

const Value* pod_template(const Build& build) {
  const Value* scheduler = get(build.spec(), {"router", "scheduler"});
  if (scheduler == nullptr || get(*scheduler, {"pool", "ref"}) != nullptr) return nullptr;
  if (!wants_tokenizer(build.spec(), given_picker_config(build.spec(), build.picker_text))) {
    return nullptr;
  }
  return get(*scheduler, {"tokenizer", "template"});
}

Value tokenizer_service(const Build& build) {
  Value out = object("v1", "Service", build.ns, build.child("-tokenizer"), labels(build));
  out["spec"] = Object{
      {"selector", labels(build)},
      {"ports",
       Array{Object{
           {"name", kPortName}, {"protocol", "TCP"}, {"port", kPort}, {"targetPort", kPortName}}}}};
  return out;
}

}  // namespace

std::string tokenizer_url(const Build& build) {
  if (pod_template(build) == nullptr) return "";
  return fmt::format("{}://{}.{}.svc.{}:{}", build.settings().enable_tls ? "https" : "http",
                     build.child("-tokenizer"), build.ns, build.settings().cluster_domain, kPort);
}

Status add_tokenizer(Build& build) {
  const Value* given = pod_template(build);
  if (given == nullptr) return {};
  Value pod = *given;
  if (!build.settings().enable_tls) remove_tls_volume(pod);
  const Account account{std::string(pod.string_at({"serviceAccountName"})), false};
  BATON_TRY(check_account(build, account, kTokenizerPointer));
  const std::string name = build.child("-tokenizer");
  const Value* live = build.live("Deployment", name);
  BATON_TRY(
      attach_model(build,
                   {.path = "/mnt/models/base",
                    .pointer = std::string(kTokenizerPointer),
                    .account = account,
                    .live = live == nullptr ? nullptr : get(*live, {"spec", "template", "spec"})},
                   pod));
  Value out = object("apps/v1", "Deployment", build.ns, name, labels(build));
  out["spec"] = Object{{"replicas", 1},
                       {"selector", Object{{"matchLabels", labels(build)}}},
                       {"template", Object{{"metadata", Object{{"labels", labels(build)}}},
                                           {"spec", std::move(pod)}}}};
  build.add(std::move(out));
  build.add(tokenizer_service(build));
  return {};
}

}  // namespace baton::plan
