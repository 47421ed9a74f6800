#include "control/plan/lora.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

// Beside /mnt/models, which is read-only: nothing can be mounted in it.
constexpr std::string_view kRoot = "/mnt/lora";
constexpr std::string_view kFetchedAdapters[] = {"hf", "s3", "baton", "file"};

std::string path_segment(std::string_view name) {
  std::string out(name);
  for (char& c : out) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    if (!plain) c = '-';
  }
  return out.empty() || out == "." || out == ".." ? "adapter" : out;
}

Result<Adapter> adapter(const Value& model, std::size_t index, bool fetches) {
  const std::string at = fmt::format("/spec/model/lora/adapters/{}/uri", index);
  const std::string uri(model.string_at({"uri"}));
  const std::size_t mark = uri.find("://");
  if (mark == std::string::npos) {
    return invalid(fmt::format("{}: expected scheme://place, is '{}'", at, uri));
  }
  const std::string name(model.string_at({"name"}));
  Adapter out{name, uri, uri.substr(0, mark), fmt::format("{}/{}", kRoot, path_segment(name))};
  const bool fetched =
      std::ranges::find(kFetchedAdapters, out.scheme) != std::end(kFetchedAdapters);
  if (out.scheme.starts_with("oci")) {
    return invalid(
        fmt::format("{}: adapters do not come out of images: use hf://, s3:// or pvc://", at));
  }
  if (!fetched && out.scheme != "pvc") {
    return invalid(fmt::format("{}: unsupported scheme '{}' (known: hf, s3, pvc, baton, file)", at,
                               out.scheme));
  }
  if (!fetches) {
    return invalid(
        fmt::format("{}: with storageInitializer.enabled false nothing is fetched or "
                    "mounted: enable it, or drop the adapter",
                    at));
  }
  return out;
}

bool says(const Value& container, std::string_view flag) {
  for (const std::string_view list : {"command", "args"}) {
    const Value* words = get(container, {list});
    if (words == nullptr || !words->is_array()) continue;
    for (const Value& word : *words->if_array()) {
      if (word.is_string() && word.if_string()->contains(flag)) return true;
    }
  }
  const Value* extra = named(container.find("env"), "VLLM_ADDITIONAL_ARGS");
  return extra != nullptr && extra->string_at({"value"}).contains(flag);
}

// A script hands its arguments to the shell once more.
bool is_shell(const Value& container) {
  const Value* command = get(container, {"command"});
  if (command == nullptr || !command->is_array() || command->if_array()->empty()) return false;
  const std::string* program = command->if_array()->front().if_string();
  if (program == nullptr) return false;
  const std::string name = program->substr(program->rfind('/') + 1);
  return name == "bash" || name == "sh";
}

}  // namespace

Result<std::vector<Adapter>> lora_adapters(const Value& spec) {
  std::vector<Adapter> out;
  const Value* listed = get(spec, {"model", "lora", "adapters"});
  if (listed == nullptr || !listed->is_array()) return out;
  const Value* enabled = get(spec, {"storageInitializer", "enabled"});
  const bool fetches = enabled == nullptr || *enabled != Value(false);
  for (std::size_t i = 0; i < listed->if_array()->size(); ++i) {
    BATON_TRY_ASSIGN(Adapter one, adapter((*listed->if_array())[i], i, fetches));
    out.push_back(std::move(one));
  }
  std::ranges::sort(out, {}, &Adapter::name);
  std::set<std::string> taken;
  for (const Adapter& one : out) {
    if (taken.insert(one.path).second) continue;
    return invalid(fmt::format(
        "/spec/model/lora/adapters: two names become the folder {}: '{}' is one of them", one.path,
        one.name));
  }
  return out;
}

void add_lora_flags(const std::vector<Adapter>& adapters, const Value& lora, std::string_view ns,
                    Value& container) {
  if (adapters.empty() || says(container, "--lora-modules")) return;
  Array args{"--enable-lora"};
  constexpr std::pair<std::string_view, std::string_view> kLimits[] = {
      {"maxRank", "--max-lora-rank"},
      {"maxAdapters", "--max-loras"},
      {"maxCpuAdapters", "--max-cpu-loras"}};
  for (const auto& [field, flag] : kLimits) {
    const Value* limit = get(lora, {field});
    if (limit != nullptr) args.emplace_back(fmt::format("{}={}", flag, text::json::dump(*limit)));
  }
  args.emplace_back("--lora-modules");
  const bool shell = is_shell(container);
  for (const Adapter& adapter : adapters) {
    for (const std::string& name :
         {adapter.name, fmt::format("publishers/{}/models/{}", ns, adapter.name)}) {
      const std::string json = text::json::dump(Object{{"name", name}, {"path", adapter.path}});
      args.emplace_back(shell ? fmt::format("'{}'", json) : json);
    }
  }
  if (const Value* own = get(container, {"args"}); own != nullptr && own->is_array()) {
    args.insert(args.end(), own->if_array()->begin(), own->if_array()->end());
  }
  container["args"] = std::move(args);
}

}  // namespace baton::plan
