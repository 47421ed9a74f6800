#include "cli/kv_transfer_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <utility>

#include "base/core/nearest.hpp"
#include "base/text/json.hpp"

namespace baton::cli {

using text::json::Value;

namespace {

// Ours, beside vLLM's: both true by default.
constexpr std::string_view kAnnounce = "baton_announce", kSharedMemory = "baton_shared_memory";

// True: it was one of ours.
Result<bool> read_own(std::string_view key, const Value& value, runtime::TransferConfig& into) {
  if (key != kAnnounce && key != kSharedMemory) return false;
  const bool* on = value.if_bool();
  if (!on)
    return invalid(fmt::format("--kv-transfer-config: {} must be true or false, got {}", key,
                               text::json::dump(value)));
  if (key == kAnnounce) into.announcements = runtime::Announcements{*on};
  if (key == kSharedMemory) into.local_socket = runtime::LocalSocket{*on};
  return true;
}

Status read_extra(const Value& extra, KvTransferOptions& out) {
  static constexpr std::array<std::string_view, 9> kKnown = {"backends",
                                                             "num_threads",
                                                             "enforce_handshake_compat",
                                                             "kv_recompute_threshold",
                                                             "decoder_kv_blocks_ttl",
                                                             "enable_cross_layers_blocks",
                                                             "kv_lease_duration",
                                                             kAnnounce,
                                                             kSharedMemory};
  constexpr auto kNoEffect = std::span(kKnown).first(6);
  if (!extra.is_object())
    return invalid("--kv-transfer-config: kv_connector_extra_config must be an object");
  for (const auto& [key, value] : *extra.if_object()) {
    BATON_TRY_ASSIGN(const bool own, read_own(key, value, out.config));
    if (own) continue;
    if (key == "kv_lease_duration") {
      const auto lease = value.if_double();
      if (!lease || !(*lease > 0 && *lease <= 86'400))
        return invalid(
            "--kv-transfer-config: kv_lease_duration must be over 0 and at most 86400 seconds");
      out.config.lease = std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(*lease));
    } else if (std::ranges::find(kNoEffect, key) != kNoEffect.end()) {
      out.without_effect.push_back(fmt::format(
          "kv_connector_extra_config.{}: it is about NIXL, and KV moves by our own protocol", key));
    } else {
      return invalid(fmt::format("--kv-transfer-config: no member kv_connector_extra_config.{}{}",
                                 key, did_you_mean(key, kKnown)));
    }
  }
  return {};
}

// "" when it is absent, or null, which is vLLM's default.
Result<std::string> read_text(const Value& config, std::string_view member) {
  const Value* value = config.find(member);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string())
    return invalid(fmt::format("--kv-transfer-config: {} must be a string, got {}", member,
                               text::json::dump(*value)));
  return *value->if_string();
}

Status read_policy(const Value& config, runtime::TransferConfig& into) {
  const Value* value = config.find("kv_load_failure_policy");
  if (value == nullptr) return {};
  const std::string* policy = value->if_string();
  if (policy == nullptr || (*policy != "recompute" && *policy != "fail"))
    return invalid(fmt::format(
        "--kv-transfer-config: kv_load_failure_policy must be recompute or fail, got {}",
        text::json::dump(*value)));
  into.on_failure =
      *policy == "fail" ? runtime::LoadFailure::kFail : runtime::LoadFailure::kRecompute;
  return {};
}

// Members that name code or another transport; null is vLLM's default.
Status refuse_other_connectors(const Value& config) {
  for (const auto& [member, why] :
       {std::pair{"kv_connector_module_path", "no code is loaded from outside"},
        std::pair{"ec_connector", "models read text only, so no encoder's cache moves"}}) {
    const Value* value = config.find(member);
    if (value != nullptr && !value->is_null())
      return unsupported(fmt::format("--kv-transfer-config: {} is not supported: {}", member, why));
  }
  return {};
}

}  // namespace

std::string ip_literal(const std::string& host) { return host == "localhost" ? "127.0.0.1" : host; }

Result<std::optional<KvTransferOptions>> read_kv_transfer(
    std::string_view json,
    const std::function<std::optional<std::string>(const char*)>& environment) {
  if (json.empty()) return std::nullopt;
  BATON_TRY_ASSIGN(const Value config, text::json::parse(json).with("--kv-transfer-config"));
  KvTransferOptions out;
  runtime::TransferConfig& transfer = out.config;
  static constexpr std::array<std::string_view, 14> kMembers = {"kv_connector",
                                                                "kv_role",
                                                                "engine_id",
                                                                "kv_load_failure_policy",
                                                                "kv_connector_extra_config",
                                                                "kv_buffer_device",
                                                                "kv_buffer_size",
                                                                "kv_rank",
                                                                "kv_parallel_size",
                                                                "kv_ip",
                                                                "kv_port",
                                                                "enable_permute_local_kv",
                                                                "kv_connector_module_path",
                                                                "ec_connector"};
  if (!config.is_object()) return invalid("--kv-transfer-config: expected a JSON object");
  for (const auto& [key, value] : *config.if_object()) {
    if (std::ranges::find(kMembers, key) == kMembers.end())
      return invalid(
          fmt::format("--kv-transfer-config: no member '{}'{}", key, did_you_mean(key, kMembers)));
    if (std::ranges::find(kMembers.begin() + 5, kMembers.begin() + 12, key) !=
        kMembers.begin() + 12) {
      out.without_effect.push_back(
          fmt::format("--kv-transfer-config {}: KV moves by our own protocol", key));
    }
  }
  const std::string_view connector = config.string_at({"kv_connector"});
  if (connector != "NixlConnector" && connector != "NixlPullConnector") {
    return unsupported(fmt::format(
        "--kv-transfer-config: kv_connector '{}' is not supported, only NixlConnector", connector));
  }
  const std::string_view role = config.string_at({"kv_role"});
  if (role != "kv_producer" && role != "kv_consumer" && role != "kv_both") {
    return invalid(fmt::format(
        "--kv-transfer-config: kv_role must be kv_producer, kv_consumer or kv_both, got '{}'",
        role));
  }
  BATON_TRY(refuse_other_connectors(config));
  BATON_TRY(read_policy(config, transfer));
  BATON_TRY_ASSIGN(transfer.engine_id, read_text(config, "engine_id"));
  if (const Value* extra = config.find("kv_connector_extra_config")) {
    BATON_TRY(read_extra(*extra, out));
  }
  const auto pod = environment("BATON_POD_IP");
  transfer.host =
      ip_literal(environment("VLLM_NIXL_SIDE_CHANNEL_HOST").value_or(pod.value_or("127.0.0.1")));
  const std::string port = environment("VLLM_NIXL_SIDE_CHANNEL_PORT").value_or("5600");
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), transfer.port);
  if (failed != std::errc() || end != port.data() + port.size())
    return invalid(fmt::format("VLLM_NIXL_SIDE_CHANNEL_PORT must be a port, got '{}'", port));
  return out;
}

}  // namespace baton::cli
