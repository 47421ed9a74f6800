// What prefill and decode must have in common for one to read the other's KV blocks.

#include <fmt/format.h>

#include "control/plan/build.hpp"
#include "control/plan/command_words.hpp"
#include "control/plan/md5.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;

constexpr std::size_t kDigits = 10;

// What decides the shape and meaning of a block. Parallel sizes do not: the connector copes.
constexpr std::string_view kLayoutFlags[] = {
    "--dtype",    "--kv-cache-dtype",    "--block-size",  "--quantization",
    "--revision", "--attention-backend", "--hf-overrides"};
constexpr std::string_view kLayoutVariables[] = {"VLLM_KV_CACHE_LAYOUT", "VLLM_ATTENTION_BACKEND"};

// A connector that holds others, or that only offloads, moves blocks as NIXL does.
std::string connector(const std::vector<std::string>& words) {
  const auto config = text::json::parse(flag_value(words, "--kv-transfer-config"));
  if (!config) return "";
  const std::string_view name = config->string_at({"kv_connector"});
  return name == "MultiConnector" || name == "OffloadingConnector" ? "NixlConnector"
                                                                   : std::string(name);
}

Value facts(const Build& build, const Workload& workload) {
  Object out;
  const Value* pod = get(workload.spec, {"template"});
  if (pod == nullptr) pod = get(workload.spec, {"worker"});
  if (pod == nullptr) return out;
  const Value* main = named(pod->find("containers"), "main");
  if (main == nullptr) return out;
  Value container = *main;
  choose_engine_image(build, container);
  out.set("image", container.string_at({"image"}));
  const std::vector<std::string> words = all_words(container);
  for (const std::string_view flag : kLayoutFlags) out.set(flag, flag_value(words, flag));
  for (const std::string_view name : kLayoutVariables) {
    const Value* variable = named(container.find("env"), name);
    out.set(name, variable == nullptr ? "" : variable->string_at({"value"}));
  }
  out.set("connector", connector(words));
  return out;
}

}  // namespace

std::string kv_revision(const Build& build) {
  Array all{build.spec().string_at({"model", "uri"}), facts(build, main_workload(build))};
  if (const auto prefill = prefill_workload(build)) all.push_back(facts(build, *prefill));
  return md5_hex(text::json::dump(Value(std::move(all)))).substr(0, kDigits);
}

}  // namespace baton::plan
