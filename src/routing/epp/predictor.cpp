#include "routing/epp/predictor.hpp"

#include <utility>

#include "base/async/finish_by.hpp"
#include "base/core/log.hpp"
#include "routing/epp/post_json.hpp"

namespace baton::epp {

using schedule::Latencies;
using schedule::LatencyRow;

// Requests whose rows go in one call.
struct Predictor::Batch {
  explicit Batch(const asio::any_io_executor& executor) : full(executor), done(executor) {}
  schedule::PredictionBody body;
  bool closed = false;  // takes no more
  async::Event full;    // closed before its window is over
  async::Event done;
  bool over = false;
  std::optional<std::vector<Latencies>> answer;
};

Predictor::Predictor(asio::any_io_executor executor, Deps deps, PredictorConfig config)
    : executor_(executor),
      deps_(deps),
      config_(std::move(config)),
      random_(deps.seed),
      samples_(config_.samples, deps.seed),
      client_(deps.clock, http::Client::Config{.idle_per_endpoint = config_.calls}),
      free_(executor),
      tasks_(executor) {}

std::shared_ptr<Predictor::Batch> Predictor::join(std::span<const LatencyRow> rows) {
  const bool fresh = open_ == nullptr;
  if (fresh) open_ = std::make_shared<Batch>(executor_);
  auto batch = open_;
  for (const auto& row : rows) batch->body.add(row);
  const bool full = config_.batch_rows > 0 && batch->body.rows() >= config_.batch_rows;
  if (full || config_.window <= Nanos(0)) {
    batch->closed = true;
    batch->full.notify();
    open_ = nullptr;
  }
  if (fresh) tasks_.spawn(dispatch(batch));
  return batch;
}

Task<std::optional<std::vector<Latencies>>> Predictor::predict(std::span<const LatencyRow> rows) {
  if (rows.empty() || rows.size() > config_.rows) {
    deps_.metrics.unpredicted();
    log::debug("more endpoints than are predicted for one request",
               {{"endpoints", rows.size()}, {"LATENCY_MAX_BULK_SIZE", config_.rows}});
    co_return std::nullopt;
  }
  const auto until = deps_.clock.now() + kPredictsWithin;
  const auto first = open_ == nullptr ? 0 : open_->body.rows();
  const auto batch = join(rows);
  while (!batch->over && deps_.clock.now() < until) {
    (void)co_await async::finish_by(until, batch->done.wait());
  }
  if (!batch->answer) {
    deps_.metrics.unpredicted();
    co_return std::nullopt;
  }
  const auto begin = batch->answer->begin() + static_cast<std::ptrdiff_t>(first);
  co_return std::vector(begin, begin + static_cast<std::ptrdiff_t>(rows.size()));
}

Task<void> Predictor::dispatch(std::shared_ptr<Batch> batch) {
  const auto began = deps_.clock.now();
  const Deadline deadline{began + kPredictsWithin};
  while (!batch->closed && deps_.clock.now() < began + config_.window) {
    (void)co_await async::finish_by(began + config_.window, batch->full.wait());
  }
  batch->closed = true;
  if (open_ == batch) open_ = nullptr;
  while (calls_ >= config_.calls && deps_.clock.now() < deadline.at) {
    (void)co_await async::finish_by(deadline.at, free_.wait());
  }
  struct Call {
    explicit Call(Predictor& p) : predictor(p) { ++predictor.calls_; }
    ~Call() {
      --predictor.calls_;
      predictor.free_.notify();
    }
    Predictor& predictor;
  };
  if (calls_ < config_.calls) {
    const Call call(*this);
    const auto rows = batch->body.rows();
    const auto body = batch->body.finish();
    const auto& server = config_.prediction[random_.below(config_.prediction.size())];
    const auto text = co_await post(server, "/predict/bulk/strict", body, 200, deadline);
    auto answer = text ? schedule::read_predictions(*text, rows)
                       : Result<std::vector<Latencies>>(text.error());
    predicts_.note(answer ? Status() : Status(answer.error()),
                   "latency is not predicted, requests go by load: does the server that "
                   "PREDICTION_SERVER_URL names run?",
                   "latency is predicted again");
    if (answer) batch->answer = *std::move(answer);
  }
  batch->over = true;
  batch->done.notify();
}

Task<Result<std::string>> Predictor::post(const PredictorConfig::Server& server,
                                          std::string_view path, std::string_view body, int wanted,
                                          Deadline deadline) {
  const auto target = server.path + std::string(path);
  auto answer = co_await post_json(client_, {.at = server.at,
                                             .target = target,
                                             .body = body,
                                             .most = kMostPredicted,
                                             .deadline = deadline});
  if (answer && answer->status != wanted) co_return unwanted(server.at, target, *answer);
  if (!answer) co_return answer.error();
  co_return std::move(answer->text);
}

Task<void> Predictor::teach() {
  const auto taken = samples_.take();
  if (taken.passed_over > 0) deps_.metrics.not_taught(taken.passed_over);
  if (taken.kept.empty()) co_return;
  const auto body = schedule::training_body(taken.kept);
  const Deadline deadline{deps_.clock.now() + config_.timeout};
  const auto answer =
      co_await post(config_.training, "/add_training_data_bulk", body, 202, deadline);
  const auto done = answer ? Status() : Status(answer.error());
  learns_.note(done,
               "latencies are not learnt: does the server that TRAINING_SERVER_URL names run?",
               "latencies are learnt again");
  if (done) {
    deps_.metrics.taught(taken.kept.size());
  } else {
    deps_.metrics.not_taught(taken.kept.size());
  }
}

Task<void> Predictor::run() {
  for (;;) {
    co_await async::sleep_until(deps_.clock.now() + config_.flush);
    co_await teach();
  }
}

Task<void> Predictor::stop() {
  tasks_.cancel();
  co_await tasks_.join();
  client_.close_idle();
}

}  // namespace baton::epp
