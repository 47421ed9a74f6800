#pragma once
// Where one request goes: reads its body, asks the pool, and says how the request must change.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/observe/span.hpp"
#include "formats/openai/prompt_text.hpp"
#include "routing/epp/metrics.hpp"
#include "routing/epp/pool.hpp"

namespace baton::epp {

// An ImmediateResponse (picker reference 2.9).
struct Refusal {
  int status = 500;
  std::string_view code;  // "BadRequest"
  std::string message;
  std::string_view reason = {};  // x-llm-d-request-dropped-reason; "" for none
};

struct Asked {
  std::string_view path;           // with its query, as :path has it; "" when unknown
  std::string_view model_rewrite;  // target model that the client asks for; "" for none
  std::string_view fairness = "default-flow";
  const SharedPool::Subset* subset = nullptr;
  bool body_known = true;  // false: the route is chosen before the body comes
};

// A request that has its endpoints; its reservations end with it.
struct Placed {
  pick::ServicePool::Picked picked;
  Metrics::Series* series = nullptr;
  std::optional<openai::Api> api;  // nullopt: the body was not read
  std::optional<index::PrefixChain> chain;
  std::string destination;  // "ip:port"
  std::optional<std::string> prefiller;
  std::vector<std::pair<std::string, double>> scores;
  std::string model, target;   // "" when the body was not read
  bool stream = false;         // the body asks for one
  bool skip_response = false;  // nothing of the answer is wanted
  bool body_changed = false;
};

// Confined to one loop; the pool and the metrics are shared.
class Desk {
 public:
  struct Deps {
    SharedPool& pool;
    Metrics& metrics;
    const Clock& clock;
    observe::Tracer* tracer = nullptr;
  };
  struct Config {
    bool subset_hints = true;
    bool emit_scores = false;
    std::size_t body_bytes = std::size_t{64} << 20;
  };
  Desk(Deps deps, Config config, std::uint64_t seed)
      : deps_(deps), config_(config), random_(seed) {}

  // `body` may be changed: kv_transfer_params removed, the model replaced.
  std::variant<Placed, Refusal> place(const Asked& asked, std::string& body);
  // A request without a body: any endpoint.
  std::variant<std::string, Refusal> place_any();
  // For a route that was chosen before its body came. Whether the body has changed.
  bool clean(std::string_view path, std::string& body);

  // The answer is a good one: the pods hold the prompt.
  void answered(Placed& placed, bool prefilled);
  void learned(const Placed& placed, std::span<const std::uint64_t> blocks);

  const Config& config() const { return config_; }
  Metrics& metrics() { return deps_.metrics; }
  observe::Tracer* tracer() { return deps_.tracer; }
  Mono now() const { return deps_.clock.now(); }
  std::string new_request_id() { return uuid4(ids_); }

 private:
  std::optional<Refusal> read(const Asked& asked, std::string& body, Placed& placed,
                              std::size_t& prompt_bytes);
  std::optional<Refusal> pick(const Asked& asked, Placed& placed, std::size_t prompt_bytes);

  Deps deps_;
  const Config config_;
  openai::PromptReader reader_;
  SeededRandom random_;  // picks need no unguessable numbers
  SystemRandom ids_;
};

}  // namespace baton::epp
