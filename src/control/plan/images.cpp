// Images and flags of containers for which nobody names an image: an installation's choice between
// Baton's programs and upstream's.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "control/plan/build.hpp"
#include "control/plan/command_words.hpp"
#include "control/plan/objects.hpp"
#include "formats/api/resource_name.hpp"

namespace baton::plan {
namespace {

using text::json::Object;

constexpr std::string_view kSidecarImage = "llm-d-routing-sidecar";
// No engine, connector or data-parallel rank of such a pod listens there.
constexpr std::int64_t kMetricsPort = 9190;

// Extended resources ("nvidia.com/gpu") and claims are devices.
bool asks_for_device(const Value& container) {
  for (const std::string_view kind : {"limits", "requests"}) {
    const Value* amounts = get(container, {"resources", kind});
    if (amounts == nullptr || !amounts->is_object()) continue;
    const bool extended = std::ranges::any_of(*amounts->if_object(), [](const auto& entry) {
      return api::is_extended_resource(entry.key);
    });
    if (extended) return true;
  }
  const Value* claims = get(container, {"resources", "claims"});
  return claims != nullptr && claims->is_array() && !claims->if_array()->empty();
}

// "0.10.0" as a number that compares.
std::int64_t ordinal(std::string_view version) {
  std::int64_t out = 0;
  std::int64_t part = 0;
  int parts = 0;
  for (const char c : version) {
    if (c >= '0' && c <= '9') {
      part = std::min<std::int64_t>(part * 10 + (c - '0'), 999);
    } else if (c == '.') {
      out = out * 1000 + part;
      part = 0;
      ++parts;
    }
  }
  out = out * 1000 + part;
  for (; parts < 2; ++parts) out *= 1000;
  return out;
}

// The flags of sidecars before v0.7.0: other names for connector and TLS, the pool in two flags.
std::string old_flag(const std::string& word) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"--kv-connector=", "--connector="},
      {"--enable-tls=decoder", "--decoder-use-tls=true"},
      {"--enable-tls=prefiller", "--prefiller-use-tls=true"}};
  for (const auto& [now, then] : kNames) {
    if (word.starts_with(now)) return fmt::format("{}{}", then, word.substr(now.size()));
  }
  return word;
}

std::vector<std::string> flags_before_0_7(const std::vector<std::string>& command) {
  std::vector<std::string> out;
  for (const std::string& word : command) {
    constexpr std::string_view kPool = "--inference-pool=";
    if (word.starts_with(kPool)) {
      const std::string pool = word.substr(kPool.size());
      const std::size_t slash = pool.find('/');
      out.push_back(fmt::format("--inference-pool-namespace={}", pool.substr(0, slash)));
      out.push_back(fmt::format("--inference-pool-name={}", pool.substr(slash + 1)));
    } else if (!word.starts_with("--pool-group=")) {
      out.push_back(old_flag(word));
    }
  }
  return out;
}

// Baton's sidecar is ready while the engine behind it lives; upstream's knows no such path.
void gate_on_engine(Value& sidecar) {
  if (get(sidecar, {"readinessProbe", "httpGet"}) == nullptr) return;
  Value& path = sidecar["readinessProbe"]["httpGet"]["path"];
  if (path == Value("/health")) path = "/readyz";
}

// Its own metrics, since /metrics of its port 8000 is the engine's. A port that the container asks
// for itself, maybe in a configuration, stays.
void serve_metrics(Value& sidecar) {
  for (const std::string_view list : {"command", "args"}) {
    for (const std::string_view flag :
         {"--metrics-port", "--configuration", "--configuration-file"}) {
      if (has_flag(sidecar, list, flag)) return;
    }
  }
  const std::string_view list = words(sidecar, "command").empty() ? "args" : "command";
  std::vector<std::string> line = words(sidecar, list);
  line.push_back(fmt::format("--metrics-port={}", kMetricsPort));
  set_words(sidecar, list, line);
  add_named(
      sidecar["ports"],
      Object{{"name", "sidecar-metrics"}, {"containerPort", kMetricsPort}, {"protocol", "TCP"}});
}

}  // namespace

bool is_own_sidecar(const Build& build, const Value& sidecar) {
  const Settings& settings = build.settings();
  if (settings.runs_baton) return true;
  return settings.sidecar_version.empty() && sidecar.string_at({"image"}) == settings.sidecar_image;
}

void choose_engine_image(const Build& build, Value& container) {
  if (!container.string_at({"image"}).empty()) return;
  const Value* annotations = get(build.service, {"metadata", "annotations"});
  const bool claims = annotations != nullptr &&
                      annotations->find("serving.kserve.io/exp-dra-device-class") != nullptr;
  container["image"] = asks_for_device(container) || claims
                           ? build.settings().accelerator_engine_image
                           : build.settings().cpu_engine_image;
}

void fit_sidecar(const Build& build, Value& pod) {
  Value* sidecar = named(pod.find("initContainers"), kSidecarImage);
  if (sidecar == nullptr) return;
  if (sidecar->string_at({"image"}).empty()) {
    (*sidecar)["image"] = build.settings().sidecar_image;
    const std::string& version = build.settings().sidecar_version;
    if (!version.empty() && ordinal(version) < ordinal("0.7.0")) {
      set_words(*sidecar, "command", flags_before_0_7(words(*sidecar, "command")));
    }
  }
  if (is_own_sidecar(build, *sidecar)) {
    gate_on_engine(*sidecar);
    if (!build.settings().runs_baton) serve_metrics(*sidecar);  // `serve` has no monitor that asks
  }
  if (get(build.spec(), {"router"}) == nullptr) return;
  add_named((*sidecar)["env"],
            Object{{"name", "INFERENCE_POOL_NAME"}, {"value", pool_name(build.service)}});
}

}  // namespace baton::plan
