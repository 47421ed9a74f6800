#include "engine/runtime/engine.hpp"

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_set>
#include <utility>
#include <variant>

#include "base/core/log.hpp"
#include "engine/runtime/batch.hpp"
#include "engine/runtime/kv_server.hpp"

namespace baton::runtime {
namespace {

// How often time is looked at while something can end by it; a lease or deadline is late by this.
constexpr Nanos kLook = std::chrono::milliseconds(20);
constexpr std::size_t kMaxStopTokens = 128;
constexpr std::size_t kMaxBlockSize = 1024;  // tokens

struct Submission {
  GenerateRequest request;
  Mono arrived;
};
struct Abortion {
  std::string id;
};
using Message = std::variant<Submission, Abortion, PullOutcome>;

Status check(const EngineConfig& c, const model::Config& m) {
  const auto wrong = [](std::string_view member, const std::string& rule) {
    return invalid(fmt::format("{} {}", member, rule));
  };
  if (c.block_size < 1 || c.block_size > kMaxBlockSize)
    return wrong("block_size", fmt::format("must be 1 to {}, got {}", kMaxBlockSize, c.block_size));
  if (c.max_model_len < 2 || c.max_model_len > m.max_positions)
    return wrong("max_model_len", fmt::format("must be 2 to {} (the model's positions), got {}",
                                              m.max_positions, c.max_model_len));
  if (c.blocks > std::numeric_limits<std::uint32_t>::max() / 2 ||
      c.blocks * c.block_size < c.max_model_len)
    return wrong("blocks", fmt::format("of {} x {} tokens cannot hold one sequence of "
                                       "max_model_len={}",
                                       c.blocks, c.block_size, c.max_model_len));
  if (c.max_num_seqs < 1) return wrong("max_num_seqs", "must be at least 1");
  if (c.max_num_batched_tokens < c.max_num_seqs)
    return wrong("max_num_batched_tokens", fmt::format("must be at least max_num_seqs={}, got {}",
                                                       c.max_num_seqs, c.max_num_batched_tokens));
  if (c.max_waiting < 1) return wrong("max_waiting", "must be at least 1");
  if (c.transfer && c.transfer->lease <= Nanos(0)) return wrong("lease", "must be positive");
  return {};
}

// Where others of this machine may read it, KV lies in memory that can be shared.
model::KvMemory make_memory(const EngineConfig& c, const model::Model& m) {
  const bool shared = c.transfer && c.transfer->local_socket == LocalSocket::kOn;
  const std::size_t bytes = model::KvMemory::bytes(m.kv_shape(), c.blocks, c.block_size);
  return {m.kv_shape(), c.blocks, c.block_size,
          shared ? tensor::Pages::to_share(bytes) : tensor::Pages::of_own(bytes)};
}

class LocalEngine final : public Engine {
 public:
  LocalEngine(EngineConfig config, Deps deps)
      : config_(std::move(config)),
        model_(std::move(deps.model)),
        clock_(deps.clock),
        random_(deps.random),
        memory_(make_memory(config_, *model_)) {}
  ~LocalEngine() override { stop(Drain::kNo, {}); }

  Status open();

  void start(Sink& sink) override;
  Status submit(GenerateRequest request) override;
  void abort(std::string_view id) override { post(Abortion{std::string(id)}); }
  Status release_lease(std::string_view request_id, std::string_view token) override {
    if (!leases_) return not_found("this engine runs without KV transfer");
    return leases_->release(request_id, token);
  }
  Stats stats() const override;
  const EngineConfig& config() const override { return config_; }
  const model::Config& model_config() const override { return model_->config(); }
  bool healthy() const override { return alive_; }
  void stop(Drain drain, Deadline deadline) override;

 private:
  Status admissible(const GenerateRequest& request) const;
  void post(Message message);
  void wake();
  void run(Sink& sink);
  void take(Message message);
  void deliver(Sink& sink);
  // Waits for mail, or a moment if time alone can change something. False: stop.
  bool await_mail(std::vector<Message>& mail, bool busy);
  void wait_until_drained(Deadline deadline);

  EngineConfig config_;
  const std::unique_ptr<model::Model> model_;
  const Clock& clock_;
  Random& random_;
  model::KvMemory memory_;
  std::unique_ptr<LeaseTable> leases_;
  std::unique_ptr<KvServer> server_;
  std::unique_ptr<KvPuller> puller_;
  std::unique_ptr<Batch> batch_;  // the engine thread's once it runs
  std::size_t taken_ = 0;         // the engine thread's: submissions that stats_ does not show yet

  mutable std::mutex mutex_;  // guards mailbox_ to stats_
  std::condition_variable changed_;
  std::vector<Message> mailbox_;
  std::unordered_set<std::string> in_flight_;  // ids
  std::size_t submitted_ = 0;                  // and not yet in stats_
  bool awake_ = false, draining_ = false, stopping_ = false, idle_ = true;
  std::uint64_t rejected_ = 0;
  Stats stats_;
  std::atomic<bool> alive_ = false;
  std::mutex stop_mutex_;  // one stop() at a time
  std::jthread thread_;
};

Status LocalEngine::open() {
  const tensor::Pages& pages = memory_.pages();
  log::info("KV cache", {{"reserved_bytes", pages.bytes()},
                         {"pages", tensor::name(pages.kind())},
                         {"readable_by_engines_here", pages.descriptor() >= 0}});
  if (config_.transfer) {
    TransferConfig& transfer = *config_.transfer;
    if (transfer.engine_id.empty()) transfer.engine_id = uuid4(random_);
    leases_ = std::make_unique<LeaseTable>(transfer.engine_id, transfer.lease, clock_, random_,
                                           [this] { wake(); });
    BATON_TRY_ASSIGN(server_, KvServer::listen(transfer, config_.model_fingerprint,
                                               {*leases_, memory_, clock_}));
    transfer.port = server_->port();
    puller_ = std::make_unique<KvPuller>(
        transfer, config_.model_fingerprint,
        KvPuller::Deps{memory_, clock_, [this](PullOutcome o) { post(std::move(o)); }});
  }
  batch_ = std::make_unique<Batch>(
      config_, Batch::Deps{*model_, memory_, leases_.get(), puller_.get(), clock_, random_});
  stats_ = batch_->stats();
  return {};
}

void LocalEngine::start(Sink& sink) {
  alive_ = true;
  if (server_) server_->start();
  thread_ = std::jthread([this, &sink] { run(sink); });
}

Status LocalEngine::admissible(const GenerateRequest& r) const {
  if (r.prompt.empty()) return invalid("the prompt is empty");
  if (r.prompt.size() >= config_.max_model_len)
    return invalid(fmt::format("the prompt has {} tokens; with max_model_len={} at most {} fit",
                               r.prompt.size(), config_.max_model_len, config_.max_model_len - 1));
  const std::size_t vocab = model_->config().vocab;
  for (const TokenId token : r.prompt)
    if (token >= vocab)
      return invalid(fmt::format("token id {} is out of the vocabulary of {}", token, vocab));
  BATON_TRY(validate(r.sampling, vocab));
  if (r.sampling.stop_token_ids.size() > kMaxStopTokens)
    return invalid(fmt::format("stop_token_ids: {} ids, at most {} allowed",
                               r.sampling.stop_token_ids.size(), kMaxStopTokens));
  if ((r.transfer.do_remote_decode || r.transfer.do_remote_prefill) && !config_.transfer)
    return invalid("kv_transfer_params: this engine runs without KV transfer");
  return {};
}

Status LocalEngine::submit(GenerateRequest request) {
  BATON_TRY(admissible(request));
  {
    const std::scoped_lock lock(mutex_);
    if (draining_ || stopping_ || !alive_) return unavailable("the engine is stopping");
    if (submitted_ + stats_.waiting >= config_.max_waiting) {
      ++rejected_;
      return exhausted(fmt::format("{} requests are waiting already", config_.max_waiting));
    }
    if (!in_flight_.insert(request.id).second)
      return conflict(fmt::format("request '{}' is in flight already", request.id));
    ++submitted_;
    idle_ = false;
    mailbox_.push_back(Submission{std::move(request), clock_.now()});
  }
  changed_.notify_all();
  return {};
}

void LocalEngine::post(Message message) {
  {
    const std::scoped_lock lock(mutex_);
    mailbox_.push_back(std::move(message));
  }
  changed_.notify_all();
}

void LocalEngine::wake() {
  {
    const std::scoped_lock lock(mutex_);
    awake_ = true;
  }
  changed_.notify_all();
}

Stats LocalEngine::stats() const {
  const std::scoped_lock lock(mutex_);
  Stats out = stats_;
  out.waiting += submitted_;
  out.rejected = rejected_;
  if (server_) out.served_bytes = server_->bytes();
  if (server_) out.served_bytes_early = server_->early_bytes();
  if (server_) out.readers_refused = server_->refused();
  if (puller_) out.settlements_dropped = puller_->dropped();
  if (config_.kv_events) out.kv_events = config_.kv_events->sink->counts();
  return out;
}

void LocalEngine::run(Sink& sink) {
  model_->adopt_thread();
  std::vector<Message> mail;
  bool busy = false;
  while (await_mail(mail, busy)) {
    for (Message& message : std::exchange(mail, {})) take(std::move(message));
    batch_->plan();
    deliver(sink);  // announcements are worth nothing after the step, and who looks sees it begun
    busy = batch_->compute();
    deliver(sink);
  }
  for (Message& message : mail) take(std::move(message));
  batch_->abort_all();
  deliver(sink);
  alive_ = false;
  changed_.notify_all();
}

bool LocalEngine::await_mail(std::vector<Message>& mail, bool busy) {
  std::unique_lock lock(mutex_);
  const auto called = [&] { return awake_ || stopping_ || !mailbox_.empty(); };
  if (!busy) {
    if (batch_->timed()) {
      changed_.wait_for(lock, kLook, called);
    } else {
      changed_.wait(lock, called);
    }
  }
  awake_ = false;
  mail = std::exchange(mailbox_, {});
  return !stopping_;
}

void LocalEngine::take(Message message) {
  if (auto* submission = std::get_if<Submission>(&message)) {
    batch_->add(std::move(submission->request), submission->arrived);
    ++taken_;
  } else if (auto* abortion = std::get_if<Abortion>(&message)) {
    batch_->abort(abortion->id);
  } else {
    batch_->pulled(std::get<PullOutcome>(std::move(message)));
  }
}

void LocalEngine::deliver(Sink& sink) {
  std::vector<Event> events = batch_->take_events();
  bool idle = false;
  {
    const std::scoped_lock lock(mutex_);
    for (const Event& event : events)
      if (event.finish) in_flight_.erase(event.id);
    stats_ = batch_->stats();
    submitted_ -= std::exchange(taken_, 0);
    idle = idle_ = mailbox_.empty() && !batch_->timed();
  }
  if (idle) changed_.notify_all();
  if (!events.empty()) sink.deliver(std::move(events));
}

void LocalEngine::wait_until_drained(Deadline deadline) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  while (!idle_ && alive_ && !deadline.passed(clock_.now())) changed_.wait_for(lock, kLook);
}

void LocalEngine::stop(Drain drain, Deadline deadline) {
  const std::scoped_lock one(stop_mutex_);
  if (drain == Drain::kYes) wait_until_drained(deadline);
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (server_) server_->stop();
  if (puller_) puller_->stop();
}

}  // namespace

std::string_view name(Finish finish) {
  switch (finish) {
    case Finish::kStop:
      return "stop";
    case Finish::kLength:
      return "length";
    case Finish::kAbort:
      return "abort";
    case Finish::kError:
      return "error";
  }
  return "error";
}

Result<std::unique_ptr<Engine>> Engine::create(EngineConfig config, Deps deps) {
  BATON_TRY(check(config, deps.model->config()));
  auto engine = std::make_unique<LocalEngine>(std::move(config), std::move(deps));
  BATON_TRY(engine->open());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace baton::runtime
