// Makes the command line of an engine container whole: what a preset's command says gives way to
// what the user says, and a command that replaced the preset's gets what it forgot.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "control/plan/build.hpp"
#include "control/plan/command_words.hpp"
#include "control/plan/objects.hpp"
#include "control/plan/presets.hpp"
#include "control/plan/render.hpp"

namespace baton::plan {
namespace {

using text::json::Object;

constexpr std::string_view kServedPath = "/mnt/models";
constexpr std::string_view kConnector = "--kv-transfer-config";
constexpr std::string_view kBehindSidecar = "8001";

bool is_vllm_serve(const std::vector<std::string>& command) {
  if (command.size() < 2 || command[1] != "serve") return false;
  const std::string& program = command[0];
  return program == "vllm" || program.ends_with("/vllm");
}

// Where the other role reaches this pod's side of NIXL: by itself it would say localhost.
Value side_channel_host() {
  const Object address{{"fieldRef", Object{{"fieldPath", "status.podIP"}}}};
  return Object{{"name", "VLLM_NIXL_SIDE_CHANNEL_HOST"}, {"valueFrom", address}};
}

struct Place {
  Build& build;
  const Workload& workload;
  std::string pointer;  // of the pod
  std::string command_pointer() const { return pointer + "/containers/main/command"; }
  Value offloading() const {
    const Value* found = get(workload.spec, {"kvCacheOffloading"});
    return found == nullptr ? Value() : *found;
  }
  // Of the transfer between prefill and decode; "" when one pod does both.
  std::string_view role() const {
    if (build.split() == Split::kNo) return "";
    return workload.is_prefill() ? "kv_producer" : "kv_consumer";
  }
  bool transfers() const { return !role().empty(); }
  void warn_of_lost_offloading() const {
    if (offloading().is_null()) return;
    build.warn(workload.pointer + "/kvCacheOffloading",
               "has no effect: the container names a KV connector of its own");
  }
};

// The preset's connector gives way to one in the arguments.
void yield_connector(const Place& at, Value& main, std::vector<std::string> command) {
  if (!mentions(words(main, "args"), "kv-transfer-config") &&
      !env_mentions(main, "kv-transfer-config")) {
    return;
  }
  std::erase_if(command, [](const std::string& w) { return w.starts_with(kConnector); });
  set_words(main, "command", command);
  at.warn_of_lost_offloading();
}

void add_model_path(const Place& at, Value& main, std::vector<std::string>& command) {
  const std::vector<std::string> args = words(main, "args");
  const bool in_command = command.size() > 2 && !command[2].starts_with('-');
  const bool in_args = command.size() == 2 && !args.empty() && !args[0].starts_with('-');
  const std::string_view name = at.build.spec().string_at({"model", "name"});
  if (in_command && command[2] == name) {
    command[2] = kServedPath;
    at.build.warn(
        at.command_pointer(),
        fmt::format("'{}' is the served name, not a place: replaced by {}", name, kServedPath));
  } else if (!in_command && !in_args) {
    command.insert(command.begin() + 2, std::string(kServedPath));
    at.build.warn(at.command_pointer(),
                  fmt::format("`vllm serve` names no model: {} added", kServedPath));
  } else {
    return;
  }
  set_words(main, "command", command);
}

std::size_t times(std::string_view text, std::string_view word) {
  std::size_t out = 0;
  for (std::size_t i = text.find(word); i != std::string_view::npos; i = text.find(word, i + 1)) {
    ++out;
  }
  return out;
}

// Whether the container settles which connectors there are. The scripts of KServe's presets speak
// of the flag in conditions, and pass one that moves nothing between pods: in a script, what counts
// is the name of a connector, or that the flag is passed with a value that cannot be seen here.
bool has_connector(const Place& at, const Value& main, const std::optional<ShellScript>& script,
                   const std::vector<std::string>& command) {
  const bool in_words = script ? mentions(script->beside, "kv-transfer-config")
                               : mentions(command, "kv-transfer-config") ||
                                     mentions(words(main, "args"), "kv-transfer-config");
  if (in_words || env_mentions(main, "kv-transfer-config")) {
    at.warn_of_lost_offloading();
    return true;
  }
  if (!script) return false;
  const std::size_t offloading = times(script->text, "OffloadingConnector");
  const bool other =
      times(script->text, "Connector") > offloading ||
      (offloading == 0 && (script->text.contains("kv_connector") || passes(*script, kConnector)));
  if (other && offloading == 0) at.warn_of_lost_offloading();
  if (other || offloading == 0) return other;
  // Ours would replace the script's: it may where it holds the same offloading.
  const bool ours_is_less = at.transfers() && at.offloading().is_null();
  if (ours_is_less) {
    at.build.warn(
        at.command_pointer(),
        "names a KV connector that moves nothing to the other role: prefill results would "
        "never reach decode");
  }
  return !at.transfers() || ours_is_less;
}

// What the preset's command would have said of KV: the transfer to or from the other role, and the
// tiers below the GPU's memory.
void add_connector(const Place& at, Value& main, const std::vector<std::string>& command) {
  const std::string json = kv_transfer_json(at.offloading(), at.role());
  if (json.empty()) return;
  const std::optional<ShellScript> script = shell_script(main);
  if (has_connector(at, main, script, command)) return;
  if (!is_vllm_serve(command) && !(script && script->vllm_takes_arguments)) {
    at.build.warn(at.command_pointer(),
                  at.transfers()
                      ? "replaces the preset's and names no KV connector: prefill results would "
                        "never reach decode"
                      : "replaces the preset's and names no KV connector: kvCacheOffloading has no "
                        "effect");
    return;
  }
  const bool twice = script && script->reads_twice;
  std::vector<std::string> args = words(main, "args");
  args.push_back(fmt::format("{}={}", kConnector, twice ? quoted(json) : json));
  set_words(main, "args", args);
  if (at.transfers()) add_named(main["env"], side_channel_host());
  at.build.warn(at.command_pointer(),
                fmt::format("replaces the preset's and names no KV connector: {} added",
                            at.transfers() ? "NixlConnector" : "OffloadingConnector"));
}

bool names_flag(const Value& main, const std::vector<std::string>& command, std::string_view flag) {
  const auto is_flag = [&](const std::string& w) {
    return mentions(w.substr(0, w.find('=')), flag);
  };
  return std::ranges::any_of(command, is_flag) ||
         std::ranges::any_of(words(main, "args"), is_flag) || env_mentions(main, flag);
}

// vLLM by itself serves the path as the model's name, on port 8000: the sidecar's.
void add_identity(const Place& at, Value& main, const std::vector<std::string>& command,
                  std::string_view port) {
  std::vector<std::string> added;
  if (!names_flag(main, command, "--served-model-name")) {
    const std::string_view name = at.build.spec().string_at({"model", "name"});
    added = {"--served-model-name", std::string(name),
             fmt::format("publishers/{}/models/{}", at.build.ns, name)};
  }
  if (port == kBehindSidecar && !names_flag(main, command, "--port")) {
    added.push_back(fmt::format("--port={}", port));
  }
  const std::string wanted = flag_value(all_words(main), "--port");
  if (!wanted.empty() && wanted != port) {
    at.build.warn(
        at.command_pointer(),
        fmt::format("listens on {}, but port {} of the pod is what is asked", wanted, port));
  }
  if (added.empty()) return;
  std::vector<std::string> args = words(main, "args");
  args.insert(args.end(), added.begin(), added.end());
  set_words(main, "args", args);
  at.build.warn(at.command_pointer(),
                fmt::format("replaces the preset's, so it gets {}", fmt::join(added, " ")));
}

struct ParallelFlag {
  std::string_view field, flag, short_flag;
};
constexpr ParallelFlag kParallelFlags[] = {
    {"tensor", "--tensor-parallel-size", "-tp"},
    {"pipeline", "--pipeline-parallel-size", "-pp"},
    {"data", "--data-parallel-size", "-dp"},
};

void warn_of_lost_parallelism(const Place& at, const Value& main,
                              const std::vector<std::string>& command) {
  if (at.build.settings().emulate_accelerators) return;
  std::vector<std::string> all = command;
  for (std::string& word : words(main, "args")) all.push_back(std::move(word));
  for (const ParallelFlag& flag : kParallelFlags) {
    const Value* size = get(at.workload.spec, {"parallelism", flag.field});
    if (size == nullptr || *size == Value(1) || mentions(all, flag.flag) ||
        env_mentions(main, flag.flag)) {
      continue;
    }
    if (std::ranges::find(all, flag.short_flag) != all.end()) continue;
    at.build.warn(
        fmt::format("{}/parallelism/{}", at.workload.pointer, flag.field),
        fmt::format("has no effect: the command that replaces the preset's has no {}", flag.flag));
  }
}

}  // namespace

void fix_engine_command(Build& build, const PodPlace& place, Value& pod) {
  Value* main = named(pod.find("containers"), "main");
  if (main == nullptr) return;
  const Place at{build, place.workload, place.pointer()};
  std::vector<std::string> command = words(*main, "command");
  if (command.size() > 2 && command[2] == engine_script()) {
    yield_connector(at, *main, std::move(command));
    return;
  }
  if (is_vllm_serve(command)) {
    add_model_path(at, *main, command);
    add_identity(at, *main, command, has_routing_sidecar(pod) ? kBehindSidecar : "8000");
  }
  add_connector(at, *main, command);
  warn_of_lost_parallelism(at, *main, command);
}

}  // namespace baton::plan
