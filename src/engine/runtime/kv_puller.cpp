#include "engine/runtime/kv_puller.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <variant>

#include "base/core/log.hpp"
#include "engine/runtime/checksum.hpp"
#include "engine/runtime/kv_rows.hpp"
#include "engine/runtime/kv_server.hpp"

namespace baton::runtime {
namespace {

constexpr std::size_t kThreads = 16;      // pulls at once; most wait for prompts being computed
constexpr std::size_t kOfOneEngine = 12;  // of these; the rest is for others
constexpr std::size_t kSettlers = 2;
constexpr std::size_t kMaxSettlements = 1024;  // queued
constexpr std::size_t kMaxResumptions = 3;
constexpr std::size_t kCopyBytes = std::size_t{64} << 20;  // between two looks at the lease
constexpr std::size_t kBeyondCaches = std::size_t{16} << 20;
constexpr Nanos kSettleTimeout = std::chrono::seconds(2);
// So long nothing is settled with an engine that did not answer.
constexpr Nanos kDeaf = std::chrono::seconds(5);
// How often pulls that have to wait are looked at: they may be late, or unwanted.
constexpr Nanos kLookAgain = std::chrono::milliseconds(50);

std::string address_of(const kv::TransferParams& source) {
  return fmt::format("{} port {}", source.remote_host, source.remote_port);
}

kv::LeaseKey key_of(const kv::TransferParams& source) {
  return {source.remote_engine_id, source.remote_request_id, source.lease_token, source.generation};
}

Result<Socket> connect_anywhere(const kv::TransferParams& source, const TransferConfig& config,
                                const Patience& patience) {
  if (config.local_socket == LocalSocket::kOn)
    if (auto socket = connect_local(source.remote_host, source.remote_port)) return socket;
  BATON_TRY_ASSIGN(auto socket, connect_tcp(source.remote_host, source.remote_port, patience));
  if (config.dial_tls) {
    BATON_TRY(socket.secure(*config.dial_tls, source.remote_host, source.remote_port, patience));
  }
  return socket;
}

Result<Socket> connect(const kv::TransferParams& source, const TransferConfig& config,
                       const Patience& patience) {
  return connect_anywhere(source, config, patience).with("connecting to " + address_of(source));
}

// The answer when it is a `Wanted`; what the server said when it refuses.
template <class Wanted>
Result<Wanted> expect(Result<kv::Message> answer) {
  if (!answer) return std::move(answer).error();
  if (auto* wanted = std::get_if<Wanted>(&*answer)) return std::move(*wanted);
  if (auto* failed = std::get_if<kv::Failed>(&*answer))
    return Error(failed->code, std::move(failed->message));
  return invalid("KV frame: another answer than was due");
}

}  // namespace

struct KvPuller::Line {
  explicit Line(Socket connected) : socket(std::move(connected)), from(socket) {}

  const Socket socket;
  SocketReader from;
};

KvPuller::KvPuller(const TransferConfig& config, kv::Digest model, Deps deps)
    : config_(config), model_(model), deps_(std::move(deps)) {
  for (std::size_t i = 0; i < kThreads; ++i) pullers_.emplace_back([this] { run_pulls(); });
  for (std::size_t i = 0; i < kSettlers; ++i) settlers_.emplace_back([this] { run_settlements(); });
}

KvPuller::~KvPuller() { stop(); }

void KvPuller::pull(PullJob job) {
  {
    const std::scoped_lock lock(mutex_);
    pulls_.push_back(std::move(job));
  }
  ready_.notify_one();
}

void KvPuller::settle(Settle what, const kv::TransferParams& source) {
  {
    const std::scoped_lock lock(mutex_);
    if (settlements_.size() >= kMaxSettlements) return drop(source);
    settlements_.push_back({what, source});
  }
  due_.notify_one();
}

void KvPuller::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  pullers_.clear();  // the last of them may have leases to give back
  due_.notify_all();
  settlers_.clear();
}

// What will end at once anyway waits for nobody.
bool KvPuller::may_go(const PullJob& job) const {
  if (stopping_ || *job.cancelled || job.deadline.passed(deps_.clock.now())) return true;
  const auto it = pulling_.find(address_of(job.source));
  return it == pulling_.end() || it->second < kOfOneEngine;
}

void KvPuller::run_pulls() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto next =
        std::ranges::find_if(pulls_, [this](const PullJob& job) { return may_go(job); });
    if (next != pulls_.end()) {
      const PullJob job = std::move(*next);
      pulls_.erase(next);
      if (!pulls_.empty()) ready_.notify_one();  // somebody looks after those that wait
      const std::string engine = address_of(job.source);
      ++pulling_[engine];
      lock.unlock();
      perform(job);
      lock.lock();
      if (--pulling_[engine] == 0) pulling_.erase(engine);
    } else if (stopping_) {
      return;
    } else if (!pulls_.empty()) {
      ready_.wait_for(lock, kLookAgain);
    } else if (windows_.size() == 0) {
      ready_.wait(lock);
    } else {
      ready_.wait_for(lock, KvWindows::kIdle);
      windows_.forget_idle(deps_.clock.now());
    }
  }
}

// One at a time with each engine.
void KvPuller::run_settlements() {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto next = std::ranges::find_if(settlements_, [this](const Settlement& job) {
      return !settling_.contains(address_of(job.source));
    });
    if (next == settlements_.end()) {
      if (stopping_ && pulls_.empty() && pulling_.empty()) return;
      due_.wait(lock);
      continue;
    }
    const Settlement job = std::move(*next);
    settlements_.erase(next);
    const std::string engine = address_of(job.source);
    if (is_deaf(engine)) {
      drop(job.source);
      continue;
    }
    settling_.insert(engine);
    lock.unlock();
    const Status done = perform(job);
    if (!done)
      log::debug("KV lease not settled; it will expire", {{"why", done.error().message()}});
    lock.lock();
    settling_.erase(engine);
    if (done || done.error().code() != Code::kTimeout) continue;
    const Mono now = deps_.clock.now();
    std::erase_if(deaf_, [&](const auto& one) { return now - one.second >= kDeaf; });
    deaf_[engine] = now;
  }
}

bool KvPuller::is_deaf(const std::string& engine) const {
  const auto it = deaf_.find(engine);
  return it != deaf_.end() && deps_.clock.now() - it->second < kDeaf;
}

void KvPuller::drop(const kv::TransferParams& source) {
  if (dropped_++ > 0) return;
  log::warn(
      "KV leases are not renewed or given back: too many are due, or their engine does not "
      "answer; said once, counted always",
      {{"engine", address_of(source)}});
}

Status KvPuller::perform(const Settlement& job) const {
  const kv::LeaseKey key = key_of(job.source);
  return tell(job.source, job.what == Settle::kRenew ? kv::Message(kv::Renew{key})
                                                     : kv::Message(kv::Release{key}));
}

void KvPuller::perform(const PullJob& job) {
  const Mono start = deps_.clock.now();
  PullOutcome outcome;
  outcome.serial = job.serial;
  outcome.status = fetch(job, outcome);
  // A connection that breaks leaves the lease where it is.
  while (!outcome.status && outcome.status.error().code() == Code::kUnavailable &&
         outcome.resumed < kMaxResumptions && !*job.cancelled && !stopping_) {
    ++outcome.resumed;
    outcome.status = fetch(job, outcome);
  }
  outcome.took = deps_.clock.now() - start;
  const bool release = !outcome.status && outcome.status.error().code() != Code::kNotFound &&
                       outcome.status.error().code() != Code::kUnavailable;
  deps_.on_outcome(std::move(outcome));
  if (release) settle(Settle::kRelease, job.source);
}

Status KvPuller::tell(Line& line, const kv::Message& request, const Patience& patience) {
  BATON_TRY(line.socket.send(kv::encode(request), patience));
  BATON_TRY(expect<kv::Done>(receive_control(line.from, patience)));
  return {};
}

Status KvPuller::tell(const kv::TransferParams& source, const kv::Message& request) const {
  const Patience patience{deps_.clock, Deadline::in(deps_.clock, kSettleTimeout), stopping_};
  BATON_TRY_ASSIGN(Socket peer, connect(source, config_, patience));
  Line line(std::move(peer));
  return tell(line, request, patience);
}

Status KvPuller::fetch(const PullJob& job, PullOutcome& outcome) {
  if (stopping_) return cancelled("stopping");
  if (job.deadline.passed(deps_.clock.now()))
    return timed_out("its time was over before it could begin");
  const Patience patience{deps_.clock, job.deadline, *job.cancelled};
  BATON_TRY_ASSIGN(Socket connected, connect(job.source, config_, stall(patience)));
  Line line(std::move(connected));
  const kv::Pull request{key_of(job.source),
                         wire_shape(deps_.memory.shape()),
                         model_,
                         job.prompt,
                         static_cast<std::uint32_t>(job.source.remote_num_tokens),
                         static_cast<std::uint32_t>(job.begin + outcome.tokens),
                         static_cast<std::uint32_t>(job.end),
                         line.socket.is_local()};
  BATON_TRY(line.socket.send(kv::encode(request), stall(patience)));
  auto answer = receive_control(line.from, stall(patience));
  if (const auto* where = answer ? std::get_if<kv::Shared>(&*answer) : nullptr)
    return copy_rows(line, job, *where, outcome, patience);
  BATON_TRY_ASSIGN(const auto accepted, expect<kv::Accepted>(std::move(answer)));
  if (accepted.generation != job.source.generation) return invalid("KV frame: another generation");
  BATON_TRY(receive_rows(line.from, job, outcome, patience));
  BATON_TRY_ASSIGN(const auto end, expect<kv::End>(receive_control(line.from, stall(patience))));
  if (end.generation != job.source.generation) return invalid("KV frame: another generation");
  // The rows are here and checked; a release that is lost costs the server a lease, not us.
  (void)line.socket.send(kv::encode(kv::Release{request.key}), stall(patience));
  return {};
}

Status KvPuller::receive_rows(SocketReader& from, const PullJob& job, PullOutcome& outcome,
                              const Patience& patience) const {
  const model::KvShape& shape = deps_.memory.shape();
  const auto begin = static_cast<std::uint32_t>(job.begin + outcome.tokens);
  std::vector<std::uint32_t> arrived(shape.layers, begin);
  Status done;
  Deadline due = more_due();
  while (done && std::ranges::min(arrived) < job.end) {
    const auto moved = receive_frame(from, job, arrived, stall(patience));
    if (!moved) {
      done = moved.error();
    } else if (*moved) {
      due = more_due();
    } else if (due.passed(deps_.clock.now())) {
      done = standstill();
    }
    job.tell(std::ranges::min(arrived));
  }
  for (const std::uint32_t end : arrived) outcome.bytes += (end - begin) * shape.row_bytes();
  outcome.tokens = std::ranges::min(arrived) - job.begin;
  return done;
}

Result<bool> KvPuller::receive_frame(SocketReader& from, const PullJob& job,
                                     std::vector<std::uint32_t>& arrived,
                                     const Patience& patience) const {
  BATON_TRY_ASSIGN(const auto head, receive_head(from, patience));
  const bool rows_come = head.kind == kv::FrameKind::kRows;
  std::string body(rows_come ? kv::kRowsHead : head.length, '\0');
  BATON_TRY(from.receive(std::span(body), patience));
  auto message = kv::decode_body(head.kind, body);
  if (job.source.announced && message && std::holds_alternative<kv::Ready>(*message)) return false;
  BATON_TRY_ASSIGN(const auto rows, expect<kv::Rows>(std::move(message)));
  if (rows.generation != job.source.generation) return invalid("KV frame: another generation");
  if (rows.layer >= arrived.size() || rows.first != arrived[rows.layer] || rows.count == 0 ||
      rows.count > job.end - rows.first)
    return invalid(fmt::format("KV frame: layer {} tokens {}+{} are not due", rows.layer,
                               rows.first, rows.count));
  if (head.length != kv::kRowsHead + rows.count * deps_.memory.shape().row_bytes())
    return invalid(fmt::format("KV frame: {} bytes for {} rows", head.length, rows.count));

  const std::vector<iovec> parts =
      rows_of(deps_.memory, rows.layer, job.blocks, rows.first, rows.count);
  std::vector<iovec> room = parts;  // consumed by receiving
  BATON_TRY(from.receive(std::span(room), patience));
  if (checksum(parts) != rows.checksum)
    return invalid(fmt::format("KV frame: checksum of layer {} tokens {}+{} differs", rows.layer,
                               rows.first, rows.count));
  arrived[rows.layer] += rows.count;
  return true;
}

Status KvPuller::copy_rows(Line& line, const PullJob& job, const kv::Shared& where,
                           PullOutcome& outcome, const Patience& patience) {
  const model::KvShape& shape = deps_.memory.shape();
  BATON_TRY_ASSIGN(const Descriptor descriptor, line.socket.receive_descriptor(stall(patience)));
  if (where.generation != job.source.generation) return invalid("KV frame: another generation");
  const std::size_t begin = job.begin + outcome.tokens;
  const auto outside = [&](std::uint32_t block) { return block >= where.blocks; };
  if (where.block_size == 0 || where.first != begin / where.block_size ||
      (where.first + where.table.size()) * where.block_size < job.end ||
      std::ranges::any_of(where.table, outside))
    return invalid("KV frame: a block table that does not fit");
  BATON_TRY_ASSIGN(const auto theirs,
                   windows_.open(descriptor.get(), where, shape, deps_.clock.now()));
  // As of a whole prompt, so that tokens have their places in it.
  std::vector<model::BlockIndex> blocks(where.first);
  for (const std::uint32_t block : where.table) blocks.push_back(model::BlockIndex{block});

  const auto confirm = [&](std::size_t tokens) {
    const std::uint64_t bytes = (tokens - outcome.tokens) * shape.layers * shape.row_bytes();
    outcome.tokens = tokens;
    outcome.bytes += bytes;
    outcome.copied += bytes;
  };
  const kv::LeaseKey key = key_of(job.source);
  const auto end = static_cast<std::uint32_t>(job.end);
  const auto step = static_cast<std::uint32_t>(
      std::max<std::size_t>(1, kCopyBytes / (shape.layers * shape.row_bytes())));
  const bool large = (job.end - begin) * shape.layers * shape.row_bytes() >= kBeyondCaches;
  const Caches caches = large ? Caches::kPast : Caches::kThrough;
  kv::Extent told, copied = kv::Extent::whole(static_cast<std::uint32_t>(begin));
  Deadline due = more_due();
  // Only the server's word makes what was copied good: until then it may have taken the blocks back
  // from a reader that it took for dead.
  while (copied.tokens < end) {
    if (job.source.announced) {
      const auto more = await_more(line, job, told, due, patience);
      // Whatever it says, it has kept the blocks until now.
      if (more || more.error().code() == Code::kNotFound) confirm(copied.tokens - job.begin);
      if (!more) return more.error();
      if (!*more) return standstill();
    } else {
      told = kv::Extent::whole(copied.tokens + std::min(step, end - copied.tokens));
    }
    const kv::Extent next{std::min(told.tokens, end), std::min(told.until, end), told.layers};
    for (std::uint32_t layer = 0; layer < shape.layers; ++layer) {
      const std::uint32_t at = copied.of(layer), until = std::max(at, next.of(layer));
      copy_areas(rows_of(*theirs, layer, blocks, at, until - at),
                 rows_of(deps_.memory, layer, job.blocks, at, until - at), caches);
    }
    if (next.until > copied.tokens)
      copied = {std::max(copied.tokens, next.tokens), next.until, next.layers};
    due = more_due();
    job.tell(copied.tokens);
    const bool last = copied.tokens == end;
    if (job.source.announced && !last) continue;
    const kv::Message request = last ? kv::Message(kv::Release{key}) : kv::Message(kv::Renew{key});
    BATON_TRY(tell(line, request, stall(patience)));
    confirm(copied.tokens - job.begin);
  }
  return {};
}

Result<bool> KvPuller::await_more(Line& line, const PullJob& job, kv::Extent& told, Deadline due,
                                  const Patience& patience) const {
  const std::string request = kv::encode(kv::Await{key_of(job.source), told});
  while (true) {
    BATON_TRY(line.socket.send(request, stall(patience)));
    auto answer = receive_control(line.from, stall(patience));
    BATON_TRY_ASSIGN(const auto ready, expect<kv::Ready>(std::move(answer)));
    const kv::Extent& there = ready.there;
    if (ready.generation != job.source.generation || there.tokens > there.until ||
        there.layers >= deps_.memory.shape().layers + 1)
      return invalid("KV frame: an extent that cannot be");
    if (there.exceeds(told)) {
      told = there;
      return true;
    }
    if (due.passed(deps_.clock.now())) return false;
  }
}

Error KvPuller::standstill() const {
  return timed_out(fmt::format("nothing more of the prompt was computed for {:g} s",
                               seconds(config_.standstill_timeout)));
}

}  // namespace baton::runtime
