// `baton serve`: the whole stack on this machine, from manifests.

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/async/file_watch.hpp"
#include "base/core/log.hpp"
#include "base/core/open_files.hpp"
#include "cli/command.hpp"
#include "cli/manifest_files.hpp"
#include "cli/model_manifest.hpp"
#include "cli/model_pull.hpp"
#include "cli/node_options.hpp"
#include "cli/print.hpp"
#include "cli/screen.hpp"
#include "cli/serve_stack.hpp"
#include "cli/serve_tls.hpp"
#include "cli/serve_view.hpp"
#include "cli/state_dir.hpp"
#include "cli/stop_signal.hpp"
#include "cli/text_file.hpp"
#include "cli/tracing.hpp"
#include "control/node/models.hpp"
#include "net/kube/follower.hpp"
#include "net/kube/object.hpp"
#include "routing/gateway/api_keys.hpp"

namespace baton::cli {
namespace {

namespace fs = std::filesystem;

constexpr Nanos kTick = Millis(200);  // for what has no events; changes of objects wake at once
constexpr Nanos kDrain = std::chrono::seconds(30);  // for running requests after Ctrl-C
constexpr Nanos kDown = std::chrono::seconds(30);   // then for the pods
constexpr Nanos kTableRedraw = std::chrono::seconds(1);

const kube::Type kService{"serving.kserve.io", "v1alpha2", "LLMInferenceService"};
const kube::Type kPod{"", "v1", "Pod"};
const kube::Type kSecret{"", "v1", "Secret"};

// Wakes a poll() from any thread.
class Wake {
 public:
  Wake() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~Wake() { ::close(descriptor_); }
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  int descriptor() const { return descriptor_; }
  void notify() const { ::eventfd_write(descriptor_, 1); }
  void clear() const {
    eventfd_t count = 0;
    ::eventfd_read(descriptor_, &count);
  }

 private:
  int descriptor_;
};

struct ServeFlags {
  std::vector<std::string> files;
  std::string model, manifest;  // `serve MODEL`, and the manifest made of it
  bool split = false, standard = false, print_manifest = false;
  std::string host = "127.0.0.1", state_dir, api_key_file;
  NodeOptions node;
  std::uint16_t port = 8080;
  std::string certificate, key;
  double request_timeout = 600;
  bool proof_headers = true, page = true;
  std::string traces_endpoint;
  bool tls = false;
};

Result<gateway::Config> gateway_config(const ServeFlags& options) {
  gateway::Config config;
  config.listen = {options.host, options.port};
  config.request_timeout =
      std::chrono::duration_cast<Nanos>(std::chrono::duration<double>(options.request_timeout));
  config.proof_headers =
      options.proof_headers ? gateway::ProofHeaders::kOn : gateway::ProofHeaders::kOff;
  config.page = options.page ? gateway::Page::kOn : gateway::Page::kOff;
  config.stand_in = options.node.stand_in;
  if (!options.api_key_file.empty()) {
    BATON_TRY_ASSIGN(const auto text, read_text_file(options.api_key_file));
    BATON_TRY_ASSIGN(config.api_keys, gateway::read_api_keys(text, options.api_key_file));
  }
  return config;
}

// Everything that can be known to be wrong before anything starts.
struct Checked {
  api::Manifests manifests;
  std::vector<std::string> to_pull;  // model URIs that are not here yet
};
Result<Checked> read_and_check(const ServeFlags& options, const plan::Settings& settings,
                               const node::Config& node) {
  const std::vector<api::Source> made = {{"the manifest of " + options.model, options.manifest}};
  BATON_TRY_ASSIGN(auto manifests, options.model.empty() ? read_manifest_files(options.files)
                                                         : api::read_manifests(made));
  BATON_TRY_ASSIGN(const auto plans, plan_manifests(manifests, settings));
  std::vector<std::string> to_pull;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    const auto& where = manifests.services[i].where;
    BATON_TRY(check_picker(plans[i]).with(where));
    const std::string uri(plans[i].merged.string_at({"spec", "model", "uri"}));
    if (uri.empty()) continue;
    auto model = node::find_model(uri, node);
    if (model) continue;
    const bool missing = model.error().code() == Code::kNotFound;
    if (!missing || !node::pull_command(uri, node, "")) {
      return std::move(model).error().with(where);
    }
    to_pull.push_back(uri);
  }
  return Checked{std::move(manifests), std::move(to_pull)};
}

// The manifest of `serve MODEL`. The model comes first, unless the manifest is only shown: how long
// its context is stands in its config.json.
Result<std::string> manifest_of(const ServeFlags& options, const node::Config& node,
                                const StopSignal& stop) {
  BATON_TRY_ASSIGN(const auto model, choose_model(options.model));
  if (!options.print_manifest) {
    BATON_TRY(pull_model(model.uri, node, stop));
  }
  std::optional<std::uint64_t> context;
  if (const auto folder = node::find_model(model.uri, node)) {
    const auto config = read_text_file(*folder + "/config.json");
    if (config) context = context_for(*config);
  }
  return model_manifest(model, options.split ? Topology::kSplit : Topology::kStandard, context);
}

void write_file(const std::string& file, const std::string& text) {
  {
    std::ofstream out(file + ".new", std::ios::trunc);
    out << text;
  }
  std::error_code ignored;
  fs::rename(file + ".new", file, ignored);
}

class Serve {
 public:
  Serve(ServeFlags options, plan::Settings settings, node::Config node)
      : options_(std::move(options)), settings_(std::move(settings)), node_(std::move(node)) {
    std::error_code ignored;
    fs::remove(status_path(), ignored);  // of a serve that was killed
    if (!is_terminal_) return;
    // The table tells what the lines of lower levels would.
    log::configure(log::Level::kWarn, log::Style::kText, "serve");
    log::redirect([this](std::string_view line) { screen_.print(line); });
  }
  ~Serve() {
    if (is_terminal_) log::redirect(nullptr);
    std::error_code ignored;
    fs::remove(status_path(), ignored);
  }
  Serve(const Serve&) = delete;
  Serve& operator=(const Serve&) = delete;

  Status run(const StopSignal& stop) {
    for (const auto& file : options_.files) {
      if (file != "-") watched_.push_back(file);
    }
    // Before they are read: a model may take hours to download.
    BATON_TRY_ASSIGN(const auto watch, async::FileWatch::open(watched_));
    BATON_TRY_ASSIGN(const auto checked, read_and_check(options_, settings_, node_));
    for (const auto& note : checked.manifests.notes) log::info(note);
    for (const auto& uri : checked.to_pull) {
      BATON_TRY(pull_model(uri, node_, stop));
    }
    BATON_TRY_ASSIGN(auto gateway, gateway_config(options_));
    std::unique_ptr<ServeTls> tls;
    if (options_.tls) {
      BATON_TRY_ASSIGN(tls, open_tls(gateway));
    }
    BATON_TRY_ASSIGN(const auto stack,
                     ServeStack::start(
                         clock_, {std::move(gateway), node_, settings_, options_.traces_endpoint}));
    header_.url = fmt::format("{}://{}/v1", options_.tls ? "https" : "http",
                              http::to_string(stack->listening_at()));
    header_.stand_in = options_.node.stand_in;
    ManifestSync sync(stack->cluster(), clock_);
    BATON_TRY(sync.apply(checked.manifests));
    std::optional<kube::Follower> secrets;
    if (tls) {
      secrets.emplace(stack->cluster(), clock_, kube::Query{kSecret, "", {}},
                      [&](const kube::Event& event) { tls->note(event); });
    }
    const Wake changed;
    const auto on_change = [&](const kube::Event&) { changed.notify(); };
    const kube::Follower services(stack->cluster(), clock_, {kService, "", {}}, on_change);
    const kube::Follower pods(stack->cluster(), clock_, {kPod, "", {}}, on_change);
    while (!stop.wait_for(kTick, changed.descriptor())) {
      changed.clear();
      follow_files(*watch, sync);
      show(*stack);
    }
    stop.arm();
    say("stopping (Ctrl-C again ends at once)");
    const auto drained = Deadline::in(clock_, kDrain);
    stack->stop(drained, {drained.at + kDown});
    return {};
  }

 private:
  Result<std::unique_ptr<ServeTls>> open_tls(gateway::Config& gateway) {
    BATON_TRY_ASSIGN(auto tls, ServeTls::open({options_.certificate, options_.key, options_.host,
                                               node_.state_dir},
                                              clock_));
    gateway.serve_tls = tls->listener();
    gateway.dial_tls = tls->dialler();
    if (!tls->certificate_file().empty()) {
      say("clients verify this gateway with " + tls->certificate_file());
    }
    return tls;
  }

  void follow_files(async::FileWatch& watch, ManifestSync& sync) {
    const auto changed = watch.wait(Deadline{clock_.now()}, clock_);
    const bool edited = changed && *changed == async::FileWatch::Change::kChanged;
    if (!edited && !again_) return;
    const auto checked = read_and_check(options_, settings_, node_);
    const auto applied = checked ? sync.apply(checked->manifests) : Status(checked.error());
    again_ = checked && !applied && applied.error().code() == Code::kUnavailable;
    if (applied) {
      say("manifests applied");
      for (const auto& uri : checked->to_pull) say(fmt::format("{}: its pods download it", uri));
    } else if (again_) {
      if (edited) say(fmt::format("baton serve: the edit waits: {}", applied.error().message()));
    } else {
      say(fmt::format("baton serve: the edit is not applied: {}", applied.error().message()));
    }
  }

  void show(ServeStack& stack) {
    const auto deadline = Deadline::in(clock_, std::chrono::seconds(1));
    const auto services = stack.cluster().list({kService, "", {}}, deadline);
    const auto pods = stack.cluster().list({kPod, "", {}}, deadline);
    if (!services || !pods) return;
    const auto now = view_of(services->items, pods->items);
    const auto stats = stack.stats();
    if (!is_terminal_) {
      for (const auto& line : changes(view_, now)) say(line);
    }
    view_ = now;
    const bool ready = all_ready(services->items) && stack.gateway_ready();
    const bool first = ready && !announced_;
    header_.ready = ready;
    if (auto text = status_file(header_, view_, stats); text != status_) {
      status_ = std::move(text);
      write_file(status_path(), status_);
      stack.show(status_);
    }
    if (is_terminal_) redraw(stats);
    if (!first) return;
    announced_ = true;
    if (options_.page)
      say(fmt::format("look at it: {}/ui", header_.url.substr(0, header_.url.rfind('/'))));
    const auto line = fmt::format("ready {}", header_.url);
    if (is_terminal_ && ::isatty(STDOUT_FILENO) == 1) return say(line);
    cli::print("{}\n", line);
    cli::flush();
  }

  // A line to the operator.
  void say(const std::string& line) {
    if (is_terminal_) return screen_.print(line + "\n");
    cli::print(stderr, "{}\n", line);
  }

  std::string status_path() const { return node_.state_dir + "/status.json"; }

  void redraw(const gateway::Stats& stats) {
    const Mono now = clock_.now();
    auto table = status_table(header_, view_, stats, screen_.columns());
    if (table == table_ || now < next_draw_) return;
    next_draw_ = now + kTableRedraw;
    screen_.draw(table);
    table_ = std::move(table);
  }

  const SystemClock clock_;
  const ServeFlags options_;
  const plan::Settings settings_;
  const node::Config node_;
  const bool is_terminal_ = ::isatty(STDERR_FILENO) == 1;
  Screen screen_ = Screen::of_standard_error();
  std::vector<std::string> watched_;
  Header header_;
  StackView view_;
  std::string status_, table_;
  Mono next_draw_{};
  bool announced_ = false;
  bool again_ = false;  // the last edit waits for something to be gone
};

Status serve(ServeFlags options) {
  const StopSignal stop;  // before any thread
  if (options.state_dir.empty()) {
    BATON_TRY_ASSIGN(options.state_dir, default_state_dir(options.port));
  }
  BATON_TRY_ASSIGN(const auto state, StateDir::open(options.state_dir));
  BATON_TRY_ASSIGN(auto node, node_config(options.node, state->path()));
  BATON_TRY_ASSIGN(node.tracing,
                   tracing_of_pods({.service = "baton", .endpoint = options.traces_endpoint}));
  plan::Settings settings;
  settings.enable_tls = options.tls;
  settings.runs_baton = true;
  node.pod_tls = options.tls ? node::PodTls::kAsPlanned : node::PodTls::kOff;
  settings.emulate_accelerators = node.emulates_accelerators();
  if (!options.model.empty()) {
    BATON_TRY_ASSIGN(options.manifest, manifest_of(options, node, stop));
    if (options.print_manifest) {
      cli::print("{}", options.manifest);
      return {};
    }
    cli::print(stderr, "serving this manifest (--print-manifest only shows it):\n\n{}\n",
               options.manifest);
  }
  if (node.emulates_accelerators()) {
    log::warn("STAND-IN: every model is replaced and accelerators are emulated",
              {{"model", node.stand_in}});
  }
  return Serve(std::move(options), std::move(settings), std::move(node)).run(stop);
}

}  // namespace

int run_serve(int argc, char** argv) {
  raise_open_files();
  ServeFlags options;
  CLI::App app("Serve a model, or those of manifests, on this machine: pods are processes",
               "serve");
  auto* model = app.add_option("model", options.model,
                               "ORG/NAME[@REVISION] of the Hugging Face hub, a folder, or "
                               "storyteller; without one: the quickstart");
  app.add_option("-f,--file", options.files,
                 "manifest files instead, watched for changes ('-': standard input)")
      ->excludes(model);
  auto* split =
      app.add_flag("--pd", options.split, "MODEL by a prefill pod and a decode pod")->needs(model);
  app.add_flag("--standard", options.standard, "MODEL by one pod that does both (default)")
      ->needs(model)
      ->excludes(split);
  app.add_flag("--print-manifest", options.print_manifest,
               "print the manifest that MODEL leads to, start nothing")
      ->needs(model);
  app.add_option("--host", options.host, "address of the gateway")->capture_default_str();
  app.add_option("--port", options.port, "port of the gateway; 0 picks one")->capture_default_str();
  app.add_option("--state-dir", options.state_dir,
                 "folder for pods and logs (default: $XDG_STATE_HOME/baton/<port>)");
  add_node_flags(app, options.node);
  app.add_option("--api-key-file", options.api_key_file,
                 "keys that clients must present as Bearer, one a line");
  auto* tls = app.add_flag("--tls", options.tls,
                           "TLS on every hop: the controller makes certificates for pods, all of "
                           "them are verified");
  auto* certificate = app.add_option("--tls-cert-file", options.certificate,
                                     "the gateway's certificate (PEM); default: self-signed, in "
                                     "tls/gateway.crt of the state folder")
                          ->needs(tls);
  app.add_option("--tls-key-file", options.key, "its key (default: in the same file)")
      ->needs(certificate);
  app.add_flag(
      "--proof-headers,!--no-proof-headers", options.proof_headers,
      "tell in x-baton-... and Server-Timing headers how each answer was made (default: on)");
  app.add_flag("--ui,!--no-ui", options.page,
               "serve a page at /ui: pods, requests and why they went where, a chat (default: on)");
  add_tracing_flag(app, options.traces_endpoint);
  app.add_option("--request-timeout", options.request_timeout, "seconds for a whole request")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 86'400.0));
  app.footer(
      "Environment: BATON_MODELS_DIR (for baton://); HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, "
      "HF_HUB_OFFLINE (for hf://); XDG_STATE_HOME, OTEL_...\n"
      "Example: baton serve Qwen/Qwen2.5-0.5B-Instruct --pd; baton serve -f my-service.yaml\n"
      "Exit codes: 0 stopped, 2 a manifest or flag is wrong, 4 a file or model is missing, 5 the "
      "port or state folder is taken, 9 --mounts namespace is not possible; while a model is "
      "downloaded those of `baton pull`.");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;
  const auto done = serve(std::move(options));
  return done ? 0 : fail("serve", done.error());
}

}  // namespace baton::cli
