#pragma once
// Flags of `vllm serve` that are not options of ours: accepted because they truly mean nothing
// here, or refused.

#include <array>
#include <string_view>

namespace baton::cli {

enum class Takes : bool { kNothing, kValue };

// Accepted; the reason is printed once at start.
struct Meaningless {
  std::string_view name;
  Takes takes;
  std::string_view why;
};
inline constexpr std::array kMeaningless = {
    Meaningless{"disable-uvicorn-access-log", Takes::kNothing, "no access log is written"},
    Meaningless{"disable-access-log-for-endpoints", Takes::kValue, "no access log is written"},
    Meaningless{"uvicorn-log-level", Takes::kValue, "there is no uvicorn"},
    Meaningless{"disable-log-requests", Takes::kNothing, "requests are not logged"},
    Meaningless{"no-enable-log-requests", Takes::kNothing, "requests are not logged"},
    Meaningless{"disable-log-stats", Takes::kNothing, "statistics are in /metrics only"},
    Meaningless{"trust-remote-code", Takes::kNothing, "no code is taken from a model"},
    Meaningless{"enforce-eager", Takes::kNothing, "there are no graphs to capture"},
    Meaningless{"compilation-config", Takes::kValue, "nothing is compiled at start"},
    Meaningless{"gpu-memory-utilization", Takes::kValue,
                "there is no GPU; --kv-cache-memory sizes the KV cache"},
    Meaningless{"swap-space", Takes::kValue, "a preempted request is computed again, not swapped"},
    Meaningless{"disable-hybrid-kv-cache-manager", Takes::kNothing,
                "there is one kind of KV cache"},
    Meaningless{"disable-frontend-multiprocessing", Takes::kNothing,
                "one process serves and computes"},
    Meaningless{"api-server-count", Takes::kValue, "one process serves and computes"},
    Meaningless{"async-scheduling", Takes::kNothing, "the engine has one way to schedule"},
    Meaningless{"no-async-scheduling", Takes::kNothing, "the engine has one way to schedule"},
    Meaningless{"max-seq-len-to-capture", Takes::kValue, "there are no graphs to capture"},
    Meaningless{"distributed-executor-backend", Takes::kValue, "nothing is distributed"},

};

// Part of a parallel set-up: accepted with --emulate-parallelism only, which serves alone whatever
// they say.
inline constexpr std::array<std::string_view, 14> kParallel = {"tensor-parallel-size",
                                                               "pipeline-parallel-size",
                                                               "data-parallel-size",
                                                               "data-parallel-size-local",
                                                               "data-parallel-rank",
                                                               "data-parallel-start-rank",
                                                               "data-parallel-address",
                                                               "data-parallel-rpc-port",
                                                               "data-parallel-backend",
                                                               "nnodes",
                                                               "node-rank",
                                                               "master-addr",
                                                               "master-port",
                                                               "decode-context-parallel-size"};
inline constexpr std::array<std::string_view, 3> kParallelSwitches = {
    "enable-expert-parallel", "data-parallel-hybrid-lb", "data-parallel-external-lb"};

// Flags of vLLM that would change what is served.
struct Refused {
  std::string_view name;
  std::string_view why;
};
inline constexpr std::string_view kNoClientCertificates = "clients are not asked for certificates";
inline constexpr std::string_view kNoTools = "tool calls are not parsed out of answers";
inline constexpr std::string_view kNoLora = "LoRA adapters are not supported";
inline constexpr std::string_view kTextOnly = "models read text only";
inline constexpr std::array kRefused = {
    Refused{"ssl-cert-reqs", kNoClientCertificates},
    Refused{"enable-auto-tool-choice", kNoTools},
    Refused{"tool-call-parser", kNoTools},
    Refused{"reasoning-parser", "reasoning is not parsed out of answers"},
    Refused{"enable-lora", kNoLora},
    Refused{"lora-modules", kNoLora},
    Refused{"max-loras", kNoLora},
    Refused{"max-lora-rank", kNoLora},
    Refused{"kv-cache-dtype", "the KV cache follows --dtype"},
    Refused{"load-format", "models are read from safetensors"},
    Refused{"speculative-config", "tokens are not guessed ahead"},
    Refused{"tokenizer", "the tokenizer is the model's own"},
    Refused{"tokenizer-mode", "the tokenizer is the model's own"},
    Refused{"revision", "models are folders"},
    Refused{"hf-overrides", "config.json is used as it is"},
    Refused{"config", "flags come from the command line only"},
    Refused{"allowed-origins", "no CORS headers are sent"},
    Refused{"root-path", "paths are served as they are"},
    Refused{"limit-mm-per-prompt", kTextOnly},
    Refused{"mm-processor-kwargs", kTextOnly},
    Refused{"runner", "models generate text only"},
    Refused{"task", "models generate text only"},
    Refused{"structured-outputs-config", "answers are not held to a grammar"},
    Refused{"guided-decoding-backend", "answers are not held to a grammar"},
    Refused{"cpu-offload-gb", "there is no GPU to offload from"},
    Refused{"enable-sleep-mode", "the engine does not sleep"},
    Refused{"override-generation-config",
            "set the parameters in requests, or in generation_config.json"},
    Refused{"return-tokens-as-token-ids", "ask for it in the request"},
    Refused{"logprobs-mode", "log-probabilities are those of the raw logits"},
};

}  // namespace baton::cli
