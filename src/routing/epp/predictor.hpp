#pragma once
// The servers beside the picker that predict latency and learn it (picker reference 4.5).

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/async/asio.hpp"
#include "base/async/event.hpp"
#include "base/async/task_group.hpp"
#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "net/http/client.hpp"
#include "routing/epp/latency_metrics.hpp"
#include "routing/epp/predictor_config.hpp"
#include "routing/epp/samples.hpp"
#include "routing/epp/standing.hpp"
#include "routing/schedule/latency.hpp"

namespace baton::epp {

inline constexpr Nanos kPredictsWithin = Millis(400);                // then a request goes without
inline constexpr std::size_t kMostPredicted = std::size_t{8} << 20;  // bytes of one answer

// Confined to one loop.
class Predictor {
 public:
  struct Deps {
    const Clock& clock;
    LatencyMetrics& metrics;
    std::uint64_t seed = 1;
  };
  Predictor(asio::any_io_executor executor, Deps deps, PredictorConfig config);

  // In the rows' order. nullopt: not within kPredictsWithin; why is logged once.
  Task<std::optional<std::vector<schedule::Latencies>>> predict(
      std::span<const schedule::LatencyRow> rows);
  Samples& samples() { return samples_; }
  // Tells the training server what there is to learn, from now on.
  void start() { tasks_.spawn(run()); }
  // Ends that and the calls; before it is destroyed.
  Task<void> stop();

 private:
  struct Batch;
  std::shared_ptr<Batch> join(std::span<const schedule::LatencyRow> rows);
  Task<void> dispatch(std::shared_ptr<Batch> batch);
  // The text of an answer with the wanted status.
  Task<Result<std::string>> post(const PredictorConfig::Server& server, std::string_view path,
                                 std::string_view body, int wanted, Deadline deadline);
  Task<void> run();
  Task<void> teach();

  asio::any_io_executor executor_;
  const Deps deps_;
  const PredictorConfig config_;
  SeededRandom random_;
  Samples samples_;
  http::Client client_;
  std::shared_ptr<Batch> open_;  // takes more rows; null: none does
  std::size_t calls_ = 0;
  async::Event free_;
  Standing predicts_, learns_;
  async::TaskGroup tasks_;
};

}  // namespace baton::epp
