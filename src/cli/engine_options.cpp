#include "cli/engine_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iterator>

#include "base/core/nearest.hpp"
#include "cli/kv_transfer_options.hpp"
#include "cli/print.hpp"
#include "cli/tracing.hpp"
#include "cli/vllm_flags.hpp"

namespace baton::cli {
namespace {

constexpr std::string_view kFooter =
    "Environment: BATON_POD_IP (default of --host), BATON_MODELS_DIR (where installed models are), "
    "VLLM_NIXL_SIDE_CHANNEL_HOST and _PORT "
    "(address of the KV server, default --host's or 127.0.0.1, and 5600), VLLM_API_KEY, "
    "VLLM_CPU_KVCACHE_SPACE (GiB), VLLM_CPU_OMP_THREADS_BIND.\n"
    "Answers always carry the proof headers (x-baton-..., Server-Timing): the gateway needs them.\n"
    "Example: baton engine storyteller --port 8000 --enable-prompt-tokens-details";

// "4k" is 4000, "4K" 4096; also m, M, g, G.
std::optional<std::uint64_t> amount(std::string_view text) {
  double n = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (failed != std::errc() || !(n >= 0) || n > 1e15) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.ends_with("iB")) text.remove_suffix(2);
  static constexpr std::string_view kUnits = "kKmMgG";
  if (!text.empty()) {
    const std::size_t unit = text.size() == 1 ? kUnits.find(text[0]) : std::string_view::npos;
    if (unit == std::string_view::npos) return std::nullopt;
    const std::size_t power = unit / 2 + 1;
    n *= std::pow(unit % 2 == 0 ? 1000.0 : 1024.0, static_cast<double>(power));
  }
  return static_cast<std::uint64_t>(n);
}

constexpr std::size_t kMaxGroups = 64;  // of threads

// What CLI11 fills; then checked into EngineOptions.
struct Raw {
  std::string model, model_flag, host, max_model_len, kv_memory, max_seqs, max_batched,
      dtype = "auto", scheduling = "fcfs", quantization, transfer, kv_events,
      hash_algorithm = "sha256", generation = "auto", chat_template, certificate, key, authority,
      traces_endpoint, detailed_traces, bind;
  std::vector<std::string> names, api_keys;
  std::uint16_t port = 8000;
  std::size_t block_size = 16, blocks = 0, threads = 0;
  std::uint64_t seed = 0;
  std::int64_t max_logprobs = 20;
  double shutdown_timeout = 30, step_target = 0;
  bool prefix_caching = true, chunked = true, details = false, id_headers = false,
       force_usage = false, track_load = false, emulate = false, headless = false, refresh = false;
  bool has_seed = false;
};

void declare(CLI::App& app, Raw& raw) {
  app.footer(std::string(kFooter));
  app.add_option("MODEL", raw.model,
                 "A model folder, or storyteller (baton://storyteller): the one that is installed");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--model", raw.model_flag, "The same as a flag");
  app.add_option("--served-model-name", raw.names,
                 "Names in requests; answers carry the first. Default: MODEL")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->expected(-1);
  app.add_option("--host", raw.host, "Address to listen on. Default: $BATON_POD_IP, else 0.0.0.0");
  app.add_option("--port", raw.port, "Port; 0 picks one")->capture_default_str();
  app.add_option("--api-key", raw.api_keys, "Keys that /v1 asks for")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->expected(-1);
  app.add_option("--max-model-len", raw.max_model_len,
                 "Tokens of prompt and answer together; 4k, 4K. Default: the model's");
  app.add_option("--max-num-seqs", raw.max_seqs, "Requests in the batch. Default: 64");
  app.add_option("--max-num-batched-tokens", raw.max_batched, "Tokens of one step. Default: 512");
  app.add_option("--step-target", raw.step_target,
                 "Milliseconds of a step while answers are being written: prompts then come in "
                 "chunks that fit. Default: --max-num-batched-tokens alone bounds a step");
  app.add_option("--scheduling-policy", raw.scheduling,
                 "fcfs: in order of arrival; priority: by the requests' priority, lower first")
      ->capture_default_str();
  app.add_option("--block-size", raw.block_size, "Tokens of a KV block")->capture_default_str();
  app.add_option("--kv-cache-memory,--kv-cache-memory-bytes", raw.kv_memory,
                 "Bytes of KV cache; 512M, 1G. Default: what the batch can fill, at most 512 MiB");
  app.add_option("--num-gpu-blocks-override", raw.blocks, "KV blocks, instead");
  app.add_flag("--enable-prefix-caching,!--no-enable-prefix-caching", raw.prefix_caching,
               "Keep KV of finished requests for their prefixes (default on)");
  app.add_flag("--enable-chunked-prefill,!--no-enable-chunked-prefill", raw.chunked,
               "Compute long prompts over several steps (default on)");
  app.add_option("--dtype", raw.dtype,
                 "Of the KV cache: auto, bfloat16, float32 (float16 is kept as float32)")
      ->capture_default_str();
  app.add_option("--quantization,-q", raw.quantization,
                 "int8: round the weights to 8 bits at load time, and with AVX-512 what they are "
                 "multiplied with. Default: as they are stored");
  app.add_option("--seed", raw.seed, "Seeds requests without one. Default: different each time");
  app.add_option("--threads", raw.threads, "Of the forward pass. Default: the CPUs there are");
  app.add_option("--threads-bind", raw.bind,
                 "auto: a CPU for each; 0-3|4-7: these, a list for each group. Default: "
                 "$VLLM_CPU_OMP_THREADS_BIND, else nobind");
  app.add_option("--kv-transfer-config", raw.transfer,
                 "JSON: kv_connector NixlConnector moves KV between engines. Ours in "
                 "kv_connector_extra_config: baton_announce (true: long prompts' KV moves while it "
                 "is computed), baton_shared_memory (true: engines of one user on one machine read "
                 "each other's)");
  app.add_option("--kv-events-config", raw.kv_events,
                 "JSON: tells followers over ZeroMQ which KV blocks are cached");
  app.add_option("--prefix-caching-hash-algo", raw.hash_algorithm,
                 "Names of blocks in KV events: sha256 or sha256_cbor")
      ->capture_default_str();
  app.add_option("--generation-config", raw.generation,
                 "auto: defaults of generation_config.json; vllm: none")
      ->capture_default_str();
  app.add_option("--chat-template", raw.chat_template, "A Jinja file, instead of the model's own");
  app.add_option("--shutdown-timeout", raw.shutdown_timeout,
                 "Seconds that running requests have to end")
      ->capture_default_str();
  app.add_option("--ssl-certfile", raw.certificate, "Serve TLS with this certificate (PEM)");
  app.add_option("--ssl-keyfile", raw.key, "Its key. Default: in the same file");
  app.add_option("--ssl-ca-certs", raw.authority,
                 "Authorities of the engines that KV is pulled from, with TLS when this one serves "
                 "TLS. Default: the own certificate, as pods of one service share it");
  app.add_flag("--enable-ssl-refresh", raw.refresh, "Read these again when they change");
  add_tracing_flag(app, raw.traces_endpoint);
  app.add_option("--collect-detailed-traces", raw.detailed_traces,
                 "all, model, worker: needs --otlp-traces-endpoint");
  app.add_option("--max-logprobs", raw.max_logprobs,
                 "Alternatives whose log-probabilities a request may ask for; -1: all")
      ->capture_default_str();
  app.add_flag("--enable-prompt-tokens-details", raw.details, "Report cached tokens in usage");
  app.add_flag("--enable-request-id-headers", raw.id_headers, "Answer with x-request-id");
  app.add_flag("--enable-force-include-usage", raw.force_usage, "Usage at the end of every stream");
  app.add_flag("--enable-server-load-tracking", raw.track_load,
               "GET /load tells how many requests are being answered");
  app.add_flag("--emulate-parallelism", raw.emulate, "Accept parallel sizes and serve alone");
  app.add_flag("--headless", raw.headless,
               "With --emulate-parallelism: wait beside the leader of a group, which serves alone");
}

// vLLM takes --max_model_len for --max-model-len.
void dashes(std::string& argument) {
  if (!argument.starts_with("--")) return;
  const std::size_t end = std::min(argument.find('='), argument.size());
  std::replace(argument.begin(), argument.begin() + static_cast<std::ptrdiff_t>(end), '_', '-');
}

std::vector<std::string_view> flag_names(const std::vector<std::string>& own) {
  std::vector<std::string_view> out(own.begin(), own.end());
  for (const auto& flag : kMeaningless) out.push_back(flag.name);
  out.insert(out.end(), kParallel.begin(), kParallel.end());
  return out;
}

// Takes the flags that are none of ours out of `arguments`.
class Sieve {
 public:
  explicit Sieve(EngineOptions& out) : out_(out) {}

  Result<std::vector<std::string>> run(std::vector<std::string> arguments,
                                       const std::vector<std::string>& own) {
    std::vector<std::string> kept;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      dashes(arguments[i]);
      for (const auto& [small, full] : kShort) {
        if (arguments[i] == small) arguments[i] = full;
      }
      if (!arguments[i].starts_with("--")) {
        kept.push_back(arguments[i]);
        continue;
      }
      const std::size_t equals = arguments[i].find('=');
      const std::string name =
          arguments[i].substr(2, equals == std::string::npos ? equals : equals - 2);
      const bool inline_value = equals != std::string::npos;
      const auto value = [&]() -> std::string {
        if (inline_value) return arguments[i].substr(equals + 1);
        return i + 1 < arguments.size() ? arguments[++i] : "";
      };
      if (std::ranges::find(own, name) != own.end()) {
        kept.push_back(arguments[i]);
      } else if (const auto* flag = meaningless(name)) {
        if (flag->takes == Takes::kValue) value();
        out_.without_effect.push_back(fmt::format("--{}: {}", name, flag->why));
      } else if (std::ranges::find(kParallel, name) != kParallel.end()) {
        parallel_.emplace_back(name, value());
      } else if (std::ranges::find(kParallelSwitches, name) != kParallelSwitches.end()) {
        parallel_.emplace_back(name, "on");
      } else {
        return unknown(name, own);
      }
    }
    return kept;
  }

  // Sizes of 1 ask for nothing.
  Status check_parallel(bool emulate) {
    for (const auto& [name, value] : parallel_) {
      const bool size = name.ends_with("-size") || name.ends_with("-local") || name == "nnodes";
      const bool nothing = value == "1" ? size : value == "0" && name.ends_with("-rank");
      if (name == "tensor-parallel-size" && !emulate) {
        const auto groups = amount(value);
        if (!groups || *groups == 0 || *groups > kMaxGroups)
          return invalid(fmt::format("--{} must be 1 to {}, got '{}'", name, kMaxGroups, value));
        out_.threads.groups = *groups;
      } else if (emulate) {
        const auto ranks = amount(value);
        if (name == "data-parallel-size" && ranks && *ranks > 0)
          out_.service.data_parallel = *ranks;
        out_.without_effect.push_back(
            fmt::format("--{} {}: parallelism is emulated, this engine serves alone", name, value));
      } else if (!nothing) {
        return unsupported(
            fmt::format("--{} {}: this engine computes on one machine without parallel workers; "
                        "--emulate-parallelism serves alone",
                        name, value));
      }
    }
    return {};
  }

 private:
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kShort = {
      {{"-tp", "--tensor-parallel-size"},
       {"-pp", "--pipeline-parallel-size"},
       {"-dp", "--data-parallel-size"}}};

  static const Meaningless* meaningless(std::string_view name) {
    const auto* at = std::ranges::find(kMeaningless, name, &Meaningless::name);
    return at == kMeaningless.end() ? nullptr : at;
  }

  static Error unknown(std::string_view name, const std::vector<std::string>& own) {
    const auto* at = std::ranges::find(kRefused, name, &Refused::name);
    if (at != kRefused.end())
      return unsupported(fmt::format("--{} is not supported: {}", name, at->why));
    std::vector<std::string> dashed;
    for (const auto flag : flag_names(own)) dashed.push_back(fmt::format("--{}", flag));
    const std::vector<std::string_view> names(dashed.begin(), dashed.end());
    const auto wrong = fmt::format("--{}", name);
    return invalid(fmt::format("no flag {}{}", wrong, did_you_mean(wrong, names)));
  }

  EngineOptions& out_;
  std::vector<std::pair<std::string, std::string>> parallel_;
};

Status read_events(const Raw& raw, const EngineEnvironment& environment, EngineOptions& out) {
  if (!raw.kv_events.empty()) {
    BATON_TRY_ASSIGN(out.kv_events,
                     read_kv_events(raw.kv_events, environment("BATON_POD_IP").value_or("")));
  }
  const auto& algorithm = raw.hash_algorithm;
  if (!out.kv_events) {
    if (algorithm != "sha256") {
      out.without_effect.push_back(fmt::format(
          "--prefix-caching-hash-algo {}: names of blocks leave the process in KV events "
          "only",
          algorithm));
    }
    return {};
  }
  if (!out.prefix_caching) {
    return invalid("--kv-events-config: with --no-enable-prefix-caching there is nothing to tell");
  }
  return name_blocks(algorithm, environment("PYTHONHASHSEED"), *out.kv_events);
}

Status read_sizes(const Raw& raw, const EngineEnvironment& environment, EngineOptions& out) {
  const auto read = [](std::string_view flag, const std::string& text,
                       std::optional<std::size_t>& to) -> Status {
    if (text.empty() || (flag == "--max-model-len" && (text == "auto" || text == "-1"))) return {};
    to = amount(text);
    if (!to || *to == 0)
      return invalid(fmt::format("{}: expected a number like 4096 or 4k, got '{}'", flag, text));
    return {};
  };
  BATON_TRY(read("--max-model-len", raw.max_model_len, out.max_model_len));
  BATON_TRY(read("--max-num-seqs", raw.max_seqs, out.max_num_seqs));
  BATON_TRY(read("--max-num-batched-tokens", raw.max_batched, out.max_num_batched_tokens));
  BATON_TRY(read("--kv-cache-memory", raw.kv_memory, out.kv_bytes));
  if (const auto space = environment("VLLM_CPU_KVCACHE_SPACE"); space && !out.kv_bytes) {
    BATON_TRY(read("VLLM_CPU_KVCACHE_SPACE", *space + "G", out.kv_bytes));
  }
  if (raw.blocks > 0) out.blocks = raw.blocks;
  out.block_size = raw.block_size;
  if (raw.dtype == "bfloat16") {
    out.kv_type = model::KvType::kBf16;
  } else if (raw.dtype == "float32" || raw.dtype == "float") {
    out.kv_type = model::KvType::kF32;
  } else if (raw.dtype == "float16" || raw.dtype == "half") {
    out.kv_type = model::KvType::kF32;  // holds every float16 value exactly; said at start
    out.without_effect.push_back("--dtype float16: KV is kept as float32, which loses nothing");
  } else if (raw.dtype != "auto") {
    return invalid(
        fmt::format("--dtype must be auto, bfloat16, float16 or float32, got '{}'", raw.dtype));
  }
  if (raw.quantization == "int8") {
    out.quantization = model::Quantization::kInt8;
  } else if (!raw.quantization.empty()) {
    return unsupported(fmt::format(
        "--quantization must be int8 (made from bfloat16, float16 or float32 weights), got '{}'",
        raw.quantization));
  }
  return {};
}

// As vLLM checks it.
Status read_detailed_traces(const Raw& raw, EngineOptions& out) {
  if (raw.detailed_traces.empty()) return {};
  if (raw.traces_endpoint.empty()) {
    return invalid("--collect-detailed-traces needs --otlp-traces-endpoint");
  }
  std::string_view rest = raw.detailed_traces;
  while (!rest.empty()) {
    const auto end = std::min(rest.find(','), rest.size());
    const auto module = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (module != "all" && module != "model" && module != "worker") {
      return invalid(fmt::format(
          "--collect-detailed-traces: expected all, model or worker, got '{}'", module));
    }
  }
  out.without_effect.emplace_back(
      "--collect-detailed-traces: a request's span always tells its times in the model");
  return {};
}

Status finish(const Raw& raw, const EngineEnvironment& environment, EngineOptions& out) {
  out.model = raw.model.empty() ? raw.model_flag : raw.model;
  if (out.model.empty()) return invalid("no model: name a folder, or storyteller");
  for (const std::string& names : raw.names) {  // "a b" is two names
    for (std::size_t at = 0; at < names.size();) {
      const std::size_t end = std::min(names.find(' ', at), names.size());
      if (end > at) out.served_names.push_back(names.substr(at, end - at));
      at = end + 1;
    }
  }
  if (out.served_names.empty()) {
    out.served_names.push_back(out.model.starts_with("baton://") ? out.model.substr(8) : out.model);
  }
  out.service.listen = {
      ip_literal(raw.host.empty() ? environment("BATON_POD_IP").value_or("0.0.0.0") : raw.host),
      raw.port};
  if (raw.certificate.empty() && !raw.key.empty()) {
    return invalid("--ssl-keyfile needs --ssl-certfile");
  }
  if (raw.certificate.empty() && !raw.authority.empty()) {
    return invalid("--ssl-ca-certs needs --ssl-certfile: without it KV moves in the clear");
  }
  out.certificate_file = raw.certificate;
  out.authority_file = raw.authority.empty() ? raw.certificate : raw.authority;
  out.key_file = raw.key.empty() ? raw.certificate : raw.key;
  out.refresh_certificate = raw.refresh;
  if (raw.refresh && raw.certificate.empty()) {
    out.without_effect.emplace_back("--enable-ssl-refresh: there is no --ssl-certfile");
  }
  out.service.api_keys = raw.api_keys;
  if (const auto key = environment("VLLM_API_KEY"); key && !key->empty() && raw.api_keys.empty())
    out.service.api_keys = {*key};
  out.service.prompt_tokens_details = raw.details;
  out.service.request_id_headers = raw.id_headers;
  out.service.force_usage = raw.force_usage;
  out.service.track_load = raw.track_load;
  if (raw.scheduling != "fcfs" && raw.scheduling != "priority")
    return invalid(
        fmt::format("--scheduling-policy must be fcfs or priority, got '{}'", raw.scheduling));
  if (raw.scheduling == "priority") out.service.scheduling = serve::Scheduling::kPriority;
  if (raw.has_seed) out.service.seed = raw.seed;
  if (raw.max_logprobs < -1)
    return invalid(
        fmt::format("--max-logprobs must be -1 (all), 0 or more, got {}", raw.max_logprobs));
  if (raw.max_logprobs >= 0) out.max_logprobs = static_cast<std::size_t>(raw.max_logprobs);
  out.prefix_caching = raw.prefix_caching;
  out.chunked_prefill = raw.chunked;
  out.threads.threads = raw.threads;
  out.threads.bind =
      !raw.bind.empty() ? raw.bind : environment("VLLM_CPU_OMP_THREADS_BIND").value_or("");
  out.chat_template = raw.chat_template;
  out.traces_endpoint = raw.traces_endpoint;
  BATON_TRY(read_detailed_traces(raw, out));
  if (raw.generation != "auto" && raw.generation != "vllm")
    return unsupported(fmt::format("--generation-config {}: only auto or vllm", raw.generation));
  out.generation_config =
      raw.generation == "vllm" ? serve::GenerationConfig::kVllm : serve::GenerationConfig::kModel;
  if (!(raw.step_target >= 0 && raw.step_target <= 60'000))
    return invalid("--step-target must be 0 (none) to 60000 milliseconds");
  if (raw.step_target > 0)
    out.step_target = std::chrono::duration_cast<Nanos>(
        std::chrono::duration<double, std::milli>(raw.step_target));
  if (!(raw.shutdown_timeout >= 0 && raw.shutdown_timeout <= 86'400))
    return invalid("--shutdown-timeout must be 0 to 86400 seconds");
  out.drain =
      std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(raw.shutdown_timeout));
  BATON_TRY(read_sizes(raw, environment, out));
  BATON_TRY(read_events(raw, environment, out));
  BATON_TRY_ASSIGN(auto transfer, read_kv_transfer(raw.transfer, environment));
  if (!transfer) return {};
  out.transfer = std::move(transfer->config);
  std::ranges::move(transfer->without_effect, std::back_inserter(out.without_effect));
  return {};
}

}  // namespace

Result<std::optional<EngineOptions>> parse_engine(std::vector<std::string> arguments,
                                                  const EngineEnvironment& environment) {
  Raw raw;
  CLI::App app("Serve a model on the CPU, with the HTTP surface and flags of `vllm serve`.",
               "engine");
  declare(app, raw);
  std::vector<std::string> own = {"help"};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) own.push_back(name);
    for (const std::string& name : option->get_fnames()) own.push_back(name);
  }
  EngineOptions out;
  Sieve sieve(out);
  BATON_TRY_ASSIGN(std::vector<std::string> kept, sieve.run(std::move(arguments), own));
  std::ranges::reverse(kept);  // CLI11 takes them from the back
  try {
    app.parse(std::move(kept));
  } catch (const CLI::CallForHelp&) {
    cli::print("{}", app.help());
    return std::optional<EngineOptions>();
  } catch (const CLI::ParseError& e) {
    return invalid(e.what());
  }
  raw.has_seed = app.count("--seed") > 0;
  BATON_TRY(sieve.check_parallel(raw.emulate));
  if (raw.headless && !raw.emulate) {
    return unsupported(
        "--headless: a worker computes its share of a model that is spread over pods, which this "
        "engine does not do; with --emulate-parallelism it waits beside its leader");
  }
  out.headless = raw.headless;
  BATON_TRY(finish(raw, environment, out));
  return std::optional(std::move(out));
}

}  // namespace baton::cli
