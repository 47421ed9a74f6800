#include "control/node/pod_runner.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <filesystem>
#include <utility>

#include "base/core/log.hpp"
#include "control/node/models.hpp"
#include "control/node/mount_launcher.hpp"
#include "control/node/pod_status.hpp"
#include "control/node/pod_writer.hpp"
#include "control/node/pre_stop.hpp"
#include "formats/api/names.hpp"
#include "net/kube/object.hpp"

namespace baton::node {

namespace {

constexpr Nanos kCallBudget = std::chrono::seconds(10);
constexpr Nanos kPrepareRetry = std::chrono::seconds(2);
constexpr Nanos kLongestWait = std::chrono::seconds(5);
constexpr Nanos kRenew = std::chrono::seconds(1);  // of what ConfigMaps and Secrets hold

const text::json::Array& items(const kube::Object& object, std::string_view member) {
  static const text::json::Array kNone;
  const auto* list = object.find_path({"spec", member});
  return list == nullptr || list->if_array() == nullptr ? kNone : *list->if_array();
}

Container::Restart restart_policy(const kube::Object& pod) {
  const auto policy = pod.string_at({"spec", "restartPolicy"});
  if (policy == "Never") return Container::Restart::kNever;
  if (policy == "OnFailure") return Container::Restart::kOnFailure;
  return Container::Restart::kAlways;
}

// The folder that stands for a path of the storage initializer, which becomes a link.
Result<std::string> initializer_folder(const std::string& path, const std::vector<Mount>& mounts,
                                       const std::string& volumes) {
  const auto* mount = mount_at(path, mounts);
  if (mount == nullptr) return invalid(path + " is no mount of it");
  if (mount->read_only) return invalid(path + " is mounted read-only");
  std::string folder = mount->folder + path.substr(mount->path.size());
  BATON_TRY(is_in_own_volume(folder, volumes));
  return folder;
}

}  // namespace

PodRunner::PodRunner(Deps deps, kube::Object pod, std::string address, std::string allowlist_file,
                     std::string gpus)
    : deps_(std::move(deps)),
      pod_(std::move(pod)),
      address_(std::move(address)),
      allowlist_file_(std::move(allowlist_file)),
      gpus_(std::move(gpus)),
      folders_(folders_of(deps_.config, pod_)),
      mounts_(deps_.config.mounts),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  auto& status = pod_["status"];
  status["podIP"] = address_;
  status["hostIP"] = deps_.config.node_address;
  status["startTime"] = kube::timestamp(deps_.clock.wall());
  thread_ = std::thread([this] { run(); });
}

PodRunner::~PodRunner() {
  stop(Nanos(0));
  join();
  ::close(wake_);
}

void PodRunner::join() {
  if (thread_.joinable()) thread_.join();
}

void PodRunner::stop(Nanos grace) {
  grace_ = std::max<std::int64_t>(grace.count(), 0);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof one);
}

void PodRunner::run() {
  bool prepared = false;
  while (grace_ < 0 && !is_over()) {
    if (!prepared) {
      if (const auto ready = prepare(); !ready) {
        containers_.clear();
        write_failure(ready.error());
        wait(deps_.clock.now() + kPrepareRetry);
        continue;
      }
      prepared = true;
    }
    renew();
    step();
    if (fall_back()) {
      prepared = false;
      continue;
    }
    write_status();
    Mono next = deps_.clock.now() + kLongestWait;
    if (renew_at_) next = std::min(next, *renew_at_);
    for (const auto& container : containers_) next = std::min(next, container->due());
    wait(next);
  }
  if (grace_ >= 0) go_down();
  containers_.clear();
  std::error_code ignored;
  std::filesystem::remove_all(folders_.pod, ignored);
  ended_ = true;
  deps_.on_end();
}

Result<kube::Object> PodRunner::read_object(std::string_view kind, const std::string& name) {
  const kube::ObjectKey key{
      {"", "v1", std::string(kind)}, std::string(kube::namespace_of(pod_)), name};
  return deps_.cluster.get(key, Deadline::in(deps_.clock, kCallBudget));
}

Status PodRunner::prepare() {
  containers_.clear();
  const auto used_before = std::exchange(models_used_, {});  // let go when they are marked anew
  BATON_TRY_ASSIGN(const auto volumes, volume_folders(pod_, folders_, deps_.config));
  const Sources sources{
      [this](std::string_view kind, const std::string& name) { return read_object(kind, name); },
      [this](std::string_view audience, std::int64_t seconds) {
        return request_token(deps_.cluster, pod_, audience, seconds,
                             Deadline::in(deps_.clock, kCallBudget));
      }};
  BATON_TRY(make_volumes(pod_, volumes, deps_.config, sources));
  if (has_renewed_volumes(pod_)) renew_at_ = deps_.clock.now() + kRenew;
  std::error_code error;
  std::filesystem::create_directories(folders_.pod, error);
  if (error) return unavailable(fmt::format("making {}: {}", folders_.pod, error.message()));
  for (const auto& spec : items(pod_, "initContainers")) {
    const bool stays = spec.string_at({"restartPolicy"}) == "Always";
    const auto role = stays ? Container::Role::kSidecar : Container::Role::kInit;
    BATON_TRY_ASSIGN(auto container, make_container(spec, role, volumes));
    containers_.push_back(std::move(container));
  }
  for (const auto& spec : items(pod_, "containers")) {
    BATON_TRY_ASSIGN(auto container, make_container(spec, Container::Role::kMain, volumes));
    containers_.push_back(std::move(container));
  }
  return {};
}

// Brings the files of ConfigMaps and Secrets up to date, when that is due.
void PodRunner::renew() {
  if (!renew_at_ || deps_.clock.now() < *renew_at_) return;
  renew_at_ = deps_.clock.now() + kRenew;
  const auto read = [this](std::string_view kind, const std::string& name) {
    return read_object(kind, name);
  };
  const auto volumes = volume_folders(pod_, folders_, deps_.config);
  const auto renewed = volumes ? renew_volumes(pod_, *volumes, read) : Status(volumes.error());
  const std::string failure = renewed ? "" : renewed.error().message();
  if (!failure.empty() && failure != renewal_failure_) {
    log::warn("volumes are not renewed", {{"pod", kube::name_of(pod_)}, {"error", failure}});
  }
  renewal_failure_ = failure;
}

// Whether the pod must be prepared again, with its mount paths rewritten.
bool PodRunner::fall_back() {
  if (mounts_ != Mounts::kAuto) return false;
  const auto refused = std::ranges::find_if(
      containers_, [](const auto& container) { return !container->mounts_refused().empty(); });
  if (refused == containers_.end()) return false;
  log::warn("mount paths of the pod are rewritten",
            {{"pod", kube::name_of(pod_)}, {"reason", (*refused)->mounts_refused()}});
  mounts_ = Mounts::kRewrite;
  initialized_ = false;
  return true;
}

Result<std::unique_ptr<Container>> PodRunner::make_container(
    const kube::Object& spec, Container::Role role,
    const std::map<std::string, std::string>& volumes) {
  const auto context = fmt::format("container {}", spec.string_at({"name"}));
  if (!api::is_dns_label(spec.string_at({"name"}))) {  // it becomes a log's
    return invalid(context + ": expected a DNS label as its name");
  }
  auto start = start_of(spec, volumes);
  if (!start) return std::move(start).error().with(context);
  auto probes = probes_of(spec, address_);
  if (!probes) return std::move(probes).error().with(context);
  for (auto* probe : {&probes->startup, &probes->readiness, &probes->liveness}) {
    if (!*probe || (*probe)->command.empty()) continue;
    auto command = probe_command(spec, (*probe)->command, start->launch.env, volumes);
    if (!command) return std::move(command).error().with(context + ": exec probe");
    (*probe)->command = *std::move(command);
  }
  auto restart = restart_policy(pod_);
  if (role == Container::Role::kSidecar) restart = Container::Restart::kAlways;
  Container::Setup setup{
      spec, role, restart, grace_of(pod_), *std::move(start), *std::move(probes), deps_.tell_guard};
  return std::make_unique<Container>(std::move(setup), deps_.config, deps_.clock);
}

PodFacts PodRunner::facts() const {
  return {address_,     allowlist_file_,
          folders_.pod, deps_.config.state_dir + "/bin",
          gpus_,        mounts_ == Mounts::kAuto ? Mounts::kNamespace : mounts_};
}

// An exec probe's words on this machine, under the rules for a container's command.
Result<std::vector<std::string>> PodRunner::probe_command(
    const kube::Object& spec, const std::vector<std::string>& words, const Environment& env,
    const std::map<std::string, std::string>& volumes) {
  BATON_TRY_ASSIGN(const auto mounts, mounts_of(spec, pod_, volumes, deps_.config));
  kube::Object container;
  container["name"] = spec.string_at({"name"});
  for (const auto& word : words) {
    std::string text;  // $ is doubled: nothing is expanded in probes
    for (const char c : word) text.append(c == '$' ? 2 : 1, c);
    container["command"].push_back(text);
  }
  BATON_TRY_ASSIGN(auto launch, launch_for(container, facts(), env, mounts, deps_.config));
  return std::move(launch.argv);
}

Result<Start> PodRunner::start_of(const kube::Object& spec,
                                  const std::map<std::string, std::string>& volumes) {
  const auto read = [this](std::string_view kind, const std::string& name) {
    return read_object(kind, name);
  };
  BATON_TRY_ASSIGN(auto env, container_environment(pod_, spec, read));
  BATON_TRY_ASSIGN(const auto mounts, mounts_of(spec, pod_, volumes, deps_.config));
  Start start;
  BATON_TRY_ASSIGN(start.launch, launch_for(spec, facts(), std::move(env), mounts, deps_.config));
  start.directory = folders_.pod;
  start.log_file = fmt::format("{}/{}.log", folders_.logs, spec.string_at({"name"}));
  if (mounts_ != Mounts::kRewrite && !mounts.empty()) {
    BATON_TRY(make_sub_paths(mounts, folders_));
    start.launcher = mount_launcher(deps_.config, mounts);
  }
  if (start.launch.program == Program::kStorageInitializer) {
    BATON_TRY(initialize_storage(start, mounts));
  }
  return start;
}

// A model that is here is linked, and so are its adapters; a model by itself that can be had is
// downloaded, by a process with a log of its own, and linked then.
Status PodRunner::initialize_storage(Start& start, const std::vector<Mount>& mounts) {
  const Config& config = deps_.config;
  const auto& args = start.launch.args;
  if (args.empty() || args.size() % 2 != 0) {
    return invalid("storage initializer: expected pairs of args, a model URI and its folder");
  }
  const std::string volumes = folders_.pod + "/volumes";
  std::vector<std::pair<std::string, std::string>> wanted;  // URI, folder
  for (std::size_t i = 0; i < args.size(); i += 2) {
    BATON_TRY_ASSIGN(auto folder,
                     initializer_folder(args[i + 1], mounts, volumes).with("storage initializer"));
    wanted.emplace_back(args[i], std::move(folder));
    if (auto use = mark_model_used(args[i], config)) models_used_.push_back(*std::move(use));
  }
  const auto& [uri, folder] = wanted.front();
  auto pull = wanted.size() == 1 ? pull_command(uri, config, folder) : std::nullopt;
  if (pull && !find_model(uri, config)) {
    start.launcher.clear();
    start.launch.argv = *std::move(pull);
    BATON_TRY_ASSIGN(start.launch.env, pull_environment(start.launch.env, config));
    return {};
  }
  start.in_process = [wanted, volumes, &config]() -> Status {
    for (const auto& [one, at] : wanted) {
      BATON_TRY(is_in_own_volume(at, volumes));  // again: one may lie behind the link of another
      BATON_TRY_ASSIGN(const auto model, find_model(one, config));
      BATON_TRY(link_model(at, model));
    }
    return {};
  };
  return {};
}

// Whether all that comes before the containers is done.
bool PodRunner::step_init() {
  for (auto& container : containers_) {
    if (container->role() == Container::Role::kMain) break;
    container->run();
    if (!container->is_started()) return false;
  }
  return true;
}

void PodRunner::step() {
  for (auto& container : containers_) container->step();
  initialized_ = step_init() || initialized_;
  if (!initialized_) return;
  for (auto& container : containers_) container->run();
}

bool PodRunner::is_over() const {
  return std::ranges::all_of(containers_,
                             [](const auto& c) {
                               return c->role() == Container::Role::kSidecar || c->is_completed();
                             }) &&
         !containers_.empty();
}

void PodRunner::write_status() {
  publish(pod_status(pod_, containers_, initialized_, deps_.clock.wall()));
}

void PodRunner::write_failure(const Error& error) {
  publish(failed_status(pod_, error, deps_.clock.wall()));
}

// Onto the pod as it is now: labels and conditions of others stay. What fails is tried again with
// the next step.
void PodRunner::publish(kube::Object status) {
  if (status == last_status_) return;
  const auto deadline = Deadline::in(deps_.clock, kCallBudget);
  const auto written = write_pod_status(deps_.cluster, pod_, status, deadline);
  if (!written && written.error().code() != Code::kNotFound) {
    log::warn("pod status not written",
              {{"pod", kube::name_of(pod_)}, {"error", written.error().message()}});
    return;
  }
  last_status_ = status;
  pod_["status"] = std::move(status);
}

// Until that time, the end of a process, or stop().
void PodRunner::wait(Mono until) {
  std::vector<pollfd> entries{{wake_, POLLIN, 0}};
  for (const auto& container : containers_) {
    if (container->descriptor() >= 0) entries.push_back({container->descriptor(), POLLIN, 0});
  }
  const auto left = std::chrono::ceil<Millis>(Deadline{until}.left(deps_.clock.now()));
  ::poll(entries.data(), entries.size(), static_cast<int>(left.count()));
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_, &count, sizeof count);
}

void PodRunner::go_down() {
  const Mono begun = deps_.clock.now();
  for (auto& container : containers_) container->retire();
  if (grace_ > 0) wait_until_idle(begun + Nanos(grace_.load()));
  for (auto& container : containers_) {
    if (container->role() != Container::Role::kSidecar) container->signal(SIGTERM);
  }
  const auto kill_at = [&] { return begun + Nanos(grace_.load()); };
  while (!others_ended(kill_at())) wait(std::max(kill_at(), deps_.clock.now() + Millis(10)));
  for (auto at = containers_.rbegin(); at != containers_.rend(); ++at) {
    if ((*at)->role() != Container::Role::kSidecar) continue;
    (*at)->signal(SIGTERM);
    while ((*at)->is_running()) {
      if (deps_.clock.now() >= kill_at()) (*at)->signal(SIGKILL);
      wait(std::max(kill_at(), deps_.clock.now() + Millis(10)));
      (*at)->step();
    }
  }
}

// Steps the containers that are not sidecars; whether they have all ended.
bool PodRunner::others_ended(Mono kill_at) {
  bool all = true;
  for (auto& container : containers_) {
    if (container->role() == Container::Role::kSidecar) continue;
    container->step();
    if (!container->is_running()) continue;
    all = false;
    if (deps_.clock.now() >= kill_at) container->signal(SIGKILL);
  }
  return all;
}

void PodRunner::tell_skipped_hook(const Container& container) const {
  if (container.spec().find_path({"lifecycle", "preStop"}) == nullptr) return;
  log::info("preStop hook is skipped: on one machine only a sleep is honoured",
            {{"pod", kube::name_of(pod_)}, {"container", container.spec().string_at({"name"})}});
}

void PodRunner::wait_until_idle(Mono limit) {
  const Mono least = deps_.clock.now() + deps_.config.pre_stop_least;
  for (const auto& container : containers_) {
    if (!container->is_running()) continue;
    const auto pause = sleeping_pre_stop(container->spec());
    if (!pause) {
      tell_skipped_hook(*container);
      continue;
    }
    const Mono until = std::min(limit, deps_.clock.now() + *pause);
    const auto port = first_port(container->spec());
    if (!port) continue;
    const HttpTarget metrics{address_, *port, "/metrics", scheme_of(container->spec())};
    while (deps_.clock.now() < until &&
           (deps_.clock.now() < least || is_busy(metrics, deps_.clock))) {
      wait(std::min(until, deps_.clock.now() + Millis(100)));
    }
  }
}

}  // namespace baton::node
