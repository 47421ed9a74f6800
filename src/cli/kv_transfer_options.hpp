#pragma once
// `--kv-transfer-config`, vLLM's JSON (vllm/config/kv_transfer.py), with the addresses that its
// NIXL connector takes from the environment.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "engine/runtime/engine.hpp"

namespace baton::cli {

struct KvTransferOptions {
  runtime::TransferConfig config;
  std::vector<std::string> without_effect;  // members that mean nothing here, and why
};

// nullopt for "": KV stays where it is. kInvalid: malformed, or an unknown member. kUnsupported: a
// connector that we do not have.
Result<std::optional<KvTransferOptions>> read_kv_transfer(
    std::string_view json,
    const std::function<std::optional<std::string>(const char*)>& environment);

// What "localhost" means to a socket; others as they are.
std::string ip_literal(const std::string& host);

}  // namespace baton::cli
