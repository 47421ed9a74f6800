#pragma once
// The flags of `baton engine`: those of `vllm serve` that a CPU engine can honour, and ours.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "cli/kv_events_options.hpp"
#include "cli/thread_options.hpp"
#include "engine/model/kv_memory.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/serve/service.hpp"

namespace baton::cli {

struct EngineOptions {
  std::string model;  // as given
  std::vector<std::string> served_names;
  serve::ServiceConfig service;
  std::string certificate_file, key_file;  // PEM; "": plain HTTP, and KV in the clear
  std::string authority_file;              // of the engines that KV is pulled from
  bool refresh_certificate = false;
  serve::GenerationConfig generation_config = serve::GenerationConfig::kModel;
  std::string chat_template;                // file, or empty
  std::optional<std::size_t> max_logprobs;  // absent: all
  std::optional<std::size_t> max_model_len, max_num_seqs, max_num_batched_tokens, blocks;
  std::size_t block_size = 16;
  std::optional<std::uint64_t> kv_bytes;
  std::optional<Nanos> step_target;
  bool prefix_caching = true;
  bool chunked_prefill = true;
  std::optional<model::KvType> kv_type;
  model::Quantization quantization = model::Quantization::kNone;
  ThreadOptions threads;
  std::optional<runtime::TransferConfig> transfer;
  std::optional<KvEventsOptions> kv_events;
  Nanos drain = std::chrono::seconds(30);
  std::string traces_endpoint;  // "": as the OTEL_… variables say
  // A worker of a group whose parallelism is emulated: it serves nothing and waits.
  bool headless = false;
  std::vector<std::string> without_effect;  // "--enforce-eager: there are no graphs to capture"
};

using EngineEnvironment = std::function<std::optional<std::string>(const char*)>;

// Arguments without the program's name. kInvalid: a wrong value or an unknown flag; kUnsupported: a
// flag of vLLM that this engine does not have. nullopt after --help, which is printed.
Result<std::optional<EngineOptions>> parse_engine(std::vector<std::string> arguments,
                                                  const EngineEnvironment& environment);

}  // namespace baton::cli
