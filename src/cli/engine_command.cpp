// `baton engine`: a model, an engine and the HTTP surface, from flags to "ready".

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/core/log.hpp"
#include "base/core/open_files.hpp"
#include "cli/command.hpp"
#include "cli/engine_options.hpp"
#include "cli/environment.hpp"
#include "cli/free_memory.hpp"
#include "cli/print.hpp"
#include "cli/progress_view.hpp"
#include "cli/stop_signal.hpp"
#include "cli/tracing.hpp"
#include "engine/runtime/fingerprint.hpp"
#include "net/tls/reload.hpp"

namespace baton::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kDefaultKvBytes = std::uint64_t{512} << 20;

// A folder as it is, or an installed model by its name.
Result<fs::path> find_model(const std::string& given) {
  std::error_code ec;
  std::string name = given;
  if (name.starts_with("file://")) name = name.substr(7);
  const bool ours = name.starts_with("baton://");
  if (!ours && fs::is_directory(name, ec)) return fs::path(name);
  if (ours) name = name.substr(8);
  if (name.find('/') != std::string::npos || name.find(':') != std::string::npos) {
    return not_found(fmt::format("no model folder {}", given));
  }
  std::vector<fs::path> places;
  if (const auto folder = from_environment("BATON_MODELS_DIR")) places.emplace_back(*folder);
  const fs::path program = fs::read_symlink("/proc/self/exe", ec).parent_path();
  places.push_back(program / ".." / "models");
  places.push_back(program / ".." / "share" / "baton" / "models");
  std::string looked;
  for (const fs::path& place : places) {
    if (fs::is_directory(place / name, ec)) return (place / name).lexically_normal();
    looked +=
        fmt::format("{}{}", looked.empty() ? "" : ", ", (place / name).lexically_normal().string());
  }
  return not_found(fmt::format("no model '{}': no such folder, and none of {}", given, looked));
}

runtime::EngineConfig engine_config(const EngineOptions& o, const model::Model& model) {
  runtime::EngineConfig c;
  c.block_size = o.block_size;
  c.max_model_len = o.max_model_len.value_or(model.config().max_positions);
  c.max_num_seqs = o.max_num_seqs.value_or(c.max_num_seqs);
  c.max_num_batched_tokens = std::max(o.max_num_batched_tokens.value_or(c.max_num_batched_tokens),
                                      o.max_num_batched_tokens ? 0 : c.max_num_seqs);
  if (!o.chunked_prefill)
    c.max_num_batched_tokens = std::max(c.max_num_batched_tokens, c.max_model_len);
  c.step_target = o.step_target;
  c.prefix_caching = o.prefix_caching;
  c.transfer = o.transfer;
  const std::size_t per_sequence = (c.max_model_len + c.block_size - 1) / c.block_size;
  const std::uint64_t block_bytes =
      model.kv_shape().layers * model.kv_shape().row_bytes() * c.block_size;
  if (o.blocks) {
    c.blocks = *o.blocks;
  } else if (o.kv_bytes) {
    c.blocks = *o.kv_bytes / block_bytes;
  } else {
    c.blocks = std::max<std::size_t>(
        per_sequence,
        std::min<std::size_t>(per_sequence * c.max_num_seqs, kDefaultKvBytes / block_bytes));
  }
  return c;
}

// Of the folder's safetensors files.
std::uint64_t weight_bytes(const fs::path& folder) {
  std::uint64_t out = 0;
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator(folder, ignored)) {
    const auto size = file.path().extension() == ".safetensors" ? file.file_size(ignored) : 0;
    if (!ignored) out += size;
  }
  return out;
}

Status fits_in_memory(const runtime::EngineConfig& config, const model::Model& model) {
  const auto tokens = config.blocks * config.block_size;
  return fits(model.kv_shape().layers * model.kv_shape().row_bytes() * tokens, free_memory(),
              fmt::format("a KV cache of {} tokens", tokens),
              "give a smaller --max-model-len (or --num-gpu-blocks-override)");
}

void tell_without_effect(const std::vector<std::string>& flags) {
  if (flags.empty()) return;
  std::string all;
  for (const std::string& flag : flags) all += (all.empty() ? "" : "; ") + flag;
  log::info("accepted without effect", {{"flags", all}});
}

// Tells how far it is: as a bar on a terminal, or in the log.
Result<std::unique_ptr<model::Model>> load_model(const EngineOptions& o, const fs::path& folder,
                                                 const tensor::ThreadGroups& groups,
                                                 const Clock& clock) {
  const std::string name =
      fmt::format("{} {}", o.quantization == model::Quantization::kInt8 ? "int8 of" : "loading",
                  folder.filename().string());
  const auto to_log = [](std::string_view line) {
    log::info(line.substr(0, line.find_last_not_of('\n') + 1));
  };
  ProgressView view = ProgressView::standard_error_draws()
                          ? ProgressView::of_standard_error(name, clock)
                          : ProgressView(name, ProgressView::Style::kLines, to_log, clock);
  return model::Model::load(folder, {.groups = groups,
                                     .isa = {},
                                     .kv_type = o.kv_type,
                                     .quantization = o.quantization,
                                     .progress = [&](std::uint64_t done, std::uint64_t total) {
                                       view.expect(total);
                                       view.have(done);
                                     }});
}

// Outlives the service. Traces are sent to the end.
struct Process {
  SystemClock clock;
  SystemRandom random;
  observe::Registry registry;
  std::unique_ptr<otlp::Tracing> tracing;
};

Result<std::unique_ptr<serve::Service>> compose(const EngineOptions& o, Process& process) {
  BATON_TRY_ASSIGN(const fs::path folder, find_model(o.model));
  BATON_TRY_ASSIGN(serve::ServedModel served,
                   serve::load_served_model(folder, o.generation_config, o.chat_template));
  BATON_TRY(fits(weight_bytes(folder), free_memory(),
                 fmt::format("the weights in {}", folder.string()),
                 "stop something, or take a smaller model"));
  BATON_TRY_ASSIGN(const auto groups, group_threads(o.threads, usable_cpus()).with("threads"));
  std::size_t threads = 0;
  for (const auto& group : groups) threads += group.size();
  BATON_TRY_ASSIGN(std::unique_ptr<model::Model> model,
                   load_model(o, folder, groups, process.clock));
  runtime::EngineConfig config = engine_config(o, *model);
  BATON_TRY(fits_in_memory(config, *model));
  if (config.transfer) {
    BATON_TRY_ASSIGN(config.model_fingerprint, runtime::fingerprint_model(folder, o.quantization));
  }
  if (o.kv_events) {
    BATON_TRY_ASSIGN(auto sink, publish_kv_events(*o.kv_events, process.clock));
    config.kv_events = {std::move(sink),
                        runtime::VllmHash(o.kv_events->hash_form, o.kv_events->hash_seed)};
  }
  served.names = o.served_names;
  served.root = o.model;
  served.max_model_len = config.max_model_len;
  served.max_logprobs = o.max_logprobs;
  serve::ServiceConfig service = o.service;
  service.kv_dtype = model->kv_shape().type == model::KvType::kBf16 ? "bfloat16" : "float32";
  log::info("model loaded", {{"folder", folder.string()},
                             {"weight_bytes", model->weight_bytes()},
                             {"weight_pages", tensor::name(model->weight_pages())},
                             {"threads", threads},
                             {"thread_groups", groups.size()},
                             {"threads_bound", groups[0][0] != tensor::kAnyCpu},
                             {"kv_blocks", config.blocks},
                             {"block_size", config.block_size},
                             {"max_model_len", config.max_model_len}});
  BATON_TRY_ASSIGN(std::unique_ptr<runtime::Engine> engine,
                   runtime::Engine::create(std::move(config),
                                           {std::move(model), process.clock, process.random}));
  return std::make_unique<serve::Service>(
      std::move(service),
      serve::Service::Deps{std::move(engine), std::move(served), process.clock, process.random,
                           tracer_of(process.tracing), &process.registry});
}

// What the engine serves and pulls with, and the threads that read it again.
struct Security {
  std::shared_ptr<tls::ServerContext> serve;
  std::shared_ptr<tls::ClientContext> dial;
  std::vector<std::unique_ptr<tls::Reloader>> reloaders;

  template <class Context>
  Status follow(const std::shared_ptr<Context>& context, const Clock& clock) {
    BATON_TRY_ASSIGN(auto reloader, tls::Reloader::start(context, clock));
    reloaders.push_back(std::move(reloader));
    return {};
  }
};

Result<Security> secure(const EngineOptions& o, const Clock& clock) {
  Security out;
  if (o.certificate_file.empty()) return out;
  BATON_TRY_ASSIGN(
      out.serve, tls::ServerContext::open({.certificate = tls::Source::of_file(o.certificate_file),
                                           .key = tls::Source::of_file(o.key_file)},
                                          clock));
  BATON_TRY_ASSIGN(out.dial, tls::ClientContext::open(
                                 {.authority = tls::Source::of_file(o.authority_file)}, clock));
  if (o.refresh_certificate) {
    BATON_TRY(out.follow(out.serve, clock));
    BATON_TRY(out.follow(out.dial, clock));
  }
  return out;
}

Status run(EngineOptions o, const StopSignal& stop) {
  Process process;
  BATON_TRY_ASSIGN(process.tracing,
                   start_tracing({.service = "baton-engine", .endpoint = o.traces_endpoint},
                                 process.clock, process.random, process.registry));
  BATON_TRY_ASSIGN(const Security security, secure(o, process.clock));
  o.service.tls = security.serve;
  if (o.transfer) {
    o.transfer->serve_tls = security.serve;
    o.transfer->dial_tls = security.dial;
  }
  BATON_TRY_ASSIGN(const std::unique_ptr<serve::Service> service, compose(o, process));
  BATON_TRY_ASSIGN(const http::Endpoint at, service->start());
  cli::print("ready {}://{}\n", security.serve ? "https" : "http", http::to_string(at));
  cli::flush();
  const int signal = stop.wait();
  log::info("the engine drains", {{"signal", signal}});
  sigset_t again;  // a second signal ends it at once
  sigemptyset(&again);
  sigaddset(&again, SIGINT);
  sigaddset(&again, SIGTERM);
  pthread_sigmask(SIG_UNBLOCK, &again, nullptr);
  service->stop(runtime::Drain::kYes, Deadline::in(process.clock, o.drain));
  return {};
}

// Neither model nor server: the leader computes everything.
Status wait_beside_the_leader(const StopSignal& stop) {
  log::info("headless worker: parallelism is emulated, the leader computes alone",
            {{"leader", from_environment("LWS_LEADER_ADDRESS").value_or("")},
             {"worker", from_environment("LWS_WORKER_INDEX").value_or("")}});
  const int signal = stop.wait();
  log::info("the headless worker ends", {{"signal", signal}});
  return {};
}

}  // namespace

int run_engine(int argc, char** argv) {
  raise_open_files();
  auto options = parse_engine(std::vector<std::string>(argv + 1, argv + argc), from_environment);
  if (!options) return fail("engine", options.error());
  if (!*options) return 0;
  log::configure(log::Level::kInfo,
                 ::isatty(STDERR_FILENO) == 1 ? log::Style::kText : log::Style::kJson, "engine");
  tell_without_effect((*options)->without_effect);
  const StopSignal stop;
  const Status served = (*options)->headless ? wait_beside_the_leader(stop) : run(**options, stop);
  return served ? 0 : fail("engine", served.error());
}

}  // namespace baton::cli
