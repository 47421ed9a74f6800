// Warnings for fields of spec.router that are set and change nothing.

#include <fmt/format.h>

#include "control/plan/build.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/picker_config.hpp"
#include "control/plan/picker_flags.hpp"

namespace baton::plan {
namespace {

void warn_of_foreign_pool(Build& build, const Value& scheduler) {
  for (const std::string_view field :
       {"template", "labels", "annotations", "replicas", "config", "tokenizer"}) {
    if (get(scheduler, {field}) == nullptr) continue;
    build.warn(text::json::pointer("/spec/router/scheduler", field),
               "has no effect beside pool.ref: that pool has a picker of its own");
  }
  if (get(scheduler, {"pool", "spec"}) != nullptr) {
    build.warn("/spec/router/scheduler/pool/spec", "has no effect beside pool.ref");
  }
}

void warn_of_picker(Build& build, const Value& scheduler, bool routed) {
  if (!routed) {
    build.warn("/spec/router/scheduler",
               "without /spec/router/route no gateway asks the picker; add `route: {}`");
  }
  if (get(scheduler, {"pool", "ref"}) != nullptr) return warn_of_foreign_pool(build, scheduler);
  warn_of_selected_labels(build, scheduler, "/spec/router/scheduler");

  const Value* main = named(get(scheduler, {"template", "containers"}), "main");
  if (get(scheduler, {"config"}) != nullptr && main != nullptr &&
      config_flag(*main).source != ConfigSource::kNone) {
    build.warn("/spec/router/scheduler/template/containers",
               fmt::format("{} has no effect beside scheduler.config", config_flag(*main).flag));
  }
  const std::string given = given_picker_config(build.spec(), build.picker_text);
  const std::string config = given.empty() ? default_picker_config(build) : given;
  if (get(scheduler, {"tokenizer"}) != nullptr && !asks_for_tokens(config)) {
    build.warn("/spec/router/scheduler/tokenizer",
               "no plugin of the picker's configuration asks for tokens: add a token-producer");
  }
}

}  // namespace

void warn_of_useless_router_fields(Build& build) {
  const Value* router = get(build.spec(), {"router"});
  if (router == nullptr) return;
  const bool routed = get(*router, {"route"}) != nullptr;
  if (get(*router, {"ingress"}) != nullptr) {
    const bool named = !items(get(*router, {"ingress", "refs"})).empty();
    build.warn(named ? "/spec/router/ingress/refs" : "/spec/router/ingress",
               "has no effect: traffic comes by HTTPRoute; use /spec/router/route");
  }
  if (!routed && !items(get(*router, {"gateway", "refs"})).empty()) {
    build.warn("/spec/router/gateway/refs", "has no effect without /spec/router/route");
  }
  if (const Value* scheduler = get(*router, {"scheduler"})) {
    warn_of_picker(build, *scheduler, routed);
  }
}

}  // namespace baton::plan
