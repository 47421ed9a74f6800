#include "control/node/container.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/core/log.hpp"
#include "net/kube/object.hpp"

namespace baton::node {

namespace {

constexpr std::size_t kMessageBytes = 400;  // of the log's end, in a termination message

std::string log_tail(const std::string& file) {
  std::ifstream in(file, std::ios::binary | std::ios::ate);
  if (!in) return "";
  const auto size = static_cast<std::size_t>(in.tellg());
  const auto from = size > kMessageBytes ? size - kMessageBytes : 0;
  in.seekg(static_cast<std::streamoff>(from));
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (const auto line = text.find('\n'); from > 0 && line != std::string::npos) {
    text.erase(0, line + 1);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

int open_log(const std::string& file) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(file).parent_path(), ignored);
  return ::open(file.c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
}

}  // namespace

Result<Probes> probes_of(const kube::Object& spec, const std::string& address) {
  Probes out;
  for (const auto& [member, probe] : {std::pair{"startupProbe", &out.startup},
                                      {"readinessProbe", &out.readiness},
                                      {"livenessProbe", &out.liveness}}) {
    const auto* wanted = spec.find(member);
    if (wanted == nullptr || wanted->is_null()) continue;
    auto parsed = probe_spec(*wanted, spec, address);
    if (!parsed) return std::move(parsed).error().with(member);
    *probe = *std::move(parsed);
  }
  return out;
}

Container::Container(Setup setup, const Config& config, const Clock& clock)
    : setup_(std::move(setup)), config_(config), clock_(clock) {}

Container::~Container() {
  if (!process_) return;
  const pid_t pid = process_->pid();
  process_.reset();
  setup_.tell_guard(-pid);
}

void Container::run() {
  const Mono now = clock_.now();
  if (is_running() || completed_ || retired_ || now < start_at_) return;
  if (setup_.start.in_process) {
    if (const auto done = setup_.start.in_process(); !done) {
      ++starts_;
      return back_off("ModelUnavailable", done.error().message(), now);
    }
    ++starts_;
    started_wall_ = clock_.wall();
    return end(0, now);
  }
  begin(now);
}

void Container::begin(Mono now) {
  const int log = open_log(setup_.start.log_file);
  if (log < 0) {
    return back_off("CreateContainerError",
                    fmt::format("opening {}: {}", setup_.start.log_file, std::strerror(errno)),
                    now);
  }
  auto started = async::Process::start({setup_.start.launch.argv, setup_.start.launch.env.lines(),
                                        setup_.start.directory, log, setup_.start.launcher});
  ::close(log);
  ++starts_;
  if (!started) {
    if (started.error().code() == Code::kUnsupported) mounts_refused_ = started.error().message();
    return back_off("RunContainerError", started.error().message(), now);
  }
  process_ = *std::move(started);
  setup_.tell_guard(process_->pid());
  kill_at_.reset();
  started_mono_ = now;
  started_wall_ = clock_.wall();
  const auto track = [&](const std::optional<ProbeSpec>& spec, ProbeTracker::Style style,
                         std::optional<ProbeTracker>& tracker) {
    tracker.reset();
    if (spec) tracker.emplace(*spec, style, now);
  };
  track(setup_.probes.startup, ProbeTracker::Style::kEager, startup_);
  track(setup_.probes.readiness, ProbeTracker::Style::kEager, readiness_);
  track(setup_.probes.liveness, ProbeTracker::Style::kPatient, liveness_);
}

void Container::back_off(std::string_view reason, std::string message, Mono now) {
  constexpr int kMaxDoublings = 20;
  const auto wait = config_.restart_base * (std::int64_t{1} << std::min(crashes_++, kMaxDoublings));
  start_at_ = now + std::min(config_.restart_max, wait);
  waiting_reason_ = reason;
  waiting_message_ = std::move(message);
}

void Container::end(int exit_code, Mono now) {
  exit_code_ = exit_code;
  last_state_ = kube::Object();
  last_state_["exitCode"] = exit_code;
  last_state_["reason"] = exit_code == 0 ? "Completed" : "Error";
  last_state_["startedAt"] = kube::timestamp(started_wall_);
  last_state_["finishedAt"] = kube::timestamp(clock_.wall());
  const bool stays_down = (setup_.role == Role::kInit && exit_code == 0) ||
                          setup_.restart == Restart::kNever ||
                          (setup_.restart == Restart::kOnFailure && exit_code == 0);
  if (stays_down || retired_) {
    completed_ = true;
    return;
  }
  if (const auto tail = log_tail(setup_.start.log_file); !tail.empty()) {
    last_state_["message"] = tail;
  }
  if (now - started_mono_ >= config_.restart_reset) crashes_ = 0;
  back_off("CrashLoopBackOff", fmt::format("ended with code {}", exit_code), now);
  log::warn("container ended", {{"container", setup_.spec.string_at({"name"})},
                                {"code", exit_code},
                                {"restart_in_s", seconds(start_at_ - now)}});
}

void Container::step() {
  const Mono now = clock_.now();
  if (!process_) return;
  if (const auto ended = process_->poll()) {
    const pid_t pid = process_->pid();
    process_.reset();
    setup_.tell_guard(-pid);
    startup_.reset();
    readiness_.reset();
    liveness_.reset();
    return end(ended->code, now);
  }
  bound_log();
  if (kill_at_ && now >= *kill_at_) process_->signal(SIGKILL);
  if (!retired_ && !kill_at_) step_probes(now);
}

// Runs the probe if it is due. Whether it has failed for good.
bool Container::probe(std::optional<ProbeTracker>& tracker, std::string_view kind) {
  if (!tracker || clock_.now() < tracker->due()) return false;
  const auto before = tracker->state();
  const auto& spec = tracker->spec();
  const auto result =
      spec.kind == ProbeSpec::Kind::kExec ? exec_probe(spec) : blocking_probe(spec, clock_);
  const auto state = tracker->record(
      result ? ProbeTracker::Outcome::kSuccess : ProbeTracker::Outcome::kFailure, clock_.now());
  if (state == ProbeTracker::State::kFailed && before != state) {
    log::warn("probe failed", {{"container", setup_.spec.string_at({"name"})},
                               {"probe", kind},
                               {"error", result ? "" : result.error().message()}});
  }
  return state == ProbeTracker::State::kFailed;
}

// Runs the command as the container's program would see the machine; its output is dropped.
Status Container::exec_probe(const ProbeSpec& spec) {
  const auto& start = setup_.start;
  const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
  auto started = async::Process::start(
      {spec.command, start.launch.env.lines(), start.directory, nowhere, start.launcher});
  ::close(nowhere);
  if (!started) return std::move(started).error();
  const pid_t pid = (*started)->pid();
  setup_.tell_guard(pid);
  const auto ended = (*started)->wait(Deadline::in(clock_, spec.timeout), clock_);
  started->reset();
  setup_.tell_guard(-pid);
  if (!ended) return unavailable(fmt::format("{} did not end in time", spec.command[0]));
  if (ended->code != 0) {
    return unavailable(fmt::format("{} ended with code {}", spec.command[0], ended->code));
  }
  return {};
}

void Container::step_probes(Mono now) {
  bool failed = false;
  if (startup_ && startup_->state() != ProbeTracker::State::kPassed) {
    failed = probe(startup_, "startup");
  }
  if (is_started()) {
    failed = probe(liveness_, "liveness") || failed;
    probe(readiness_, "readiness");
  }
  if (failed) {
    process_->signal(SIGTERM);
    kill_at_ = now + setup_.grace;
  }
}

Mono Container::due() const {
  if (!process_) return completed_ || retired_ ? Mono::max() : start_at_;
  constexpr Nanos kLogCheck = std::chrono::seconds(5);
  Mono at = clock_.now() + kLogCheck;
  if (kill_at_) return std::min(at, *kill_at_);
  if (retired_) return at;
  if (startup_ && startup_->state() != ProbeTracker::State::kPassed) {
    return std::min(at, startup_->due());
  }
  if (readiness_) at = std::min(at, readiness_->due());
  if (liveness_) at = std::min(at, liveness_->due());
  return at;
}

bool Container::is_started() const {
  if (completed_) return exit_code_ == 0;
  return process_ && (!startup_ || startup_->state() == ProbeTracker::State::kPassed);
}

bool Container::is_ready() const {
  if (setup_.role == Role::kInit) return completed_ && exit_code_ == 0;
  return process_ && is_started() && !kill_at_ &&
         (!readiness_ || readiness_->state() == ProbeTracker::State::kPassed);
}

void Container::signal(int number) {
  if (process_) process_->signal(number);
}

// The writer appends, so cutting the file in place loses nothing that comes later.
void Container::bound_log() {
  struct stat info{};
  const auto& file = setup_.start.log_file;
  if (::stat(file.c_str(), &info) != 0 || info.st_size <= config_.log_bytes) return;
  std::error_code ignored;
  std::filesystem::copy_file(file, file + ".1", std::filesystem::copy_options::overwrite_existing,
                             ignored);
  [[maybe_unused]] const int cut = ::truncate(file.c_str(), 0);
}

kube::Object Container::status() const {
  kube::Object out;
  out["name"] = setup_.spec.string_at({"name"});
  out["image"] = setup_.spec.string_at({"image"});
  out["imageID"] = "";
  out["ready"] = is_ready();
  out["started"] = is_started();
  out["restartCount"] = std::max(starts_ - 1, 0);
  auto& state = out["state"];
  if (process_) {
    state["running"]["startedAt"] = kube::timestamp(started_wall_);
    out["containerID"] = fmt::format("process://{}", process_->pid());
  } else if (completed_) {
    state["terminated"] = last_state_;
  } else {
    state["waiting"]["reason"] = waiting_reason_;
    if (!waiting_message_.empty()) state["waiting"]["message"] = waiting_message_;
  }
  if (!completed_ && !last_state_.is_null()) out["lastState"]["terminated"] = last_state_;
  return out;
}

}  // namespace baton::node
