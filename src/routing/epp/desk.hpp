#pragma once
// Where one request goes: reads its body, asks whether it may go, asks the pool for endpoints, and
// says how the request must change.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/observe/span.hpp"
#include "formats/openai/prompt_text.hpp"
#include "routing/epp/latency_book.hpp"
#include "routing/epp/metrics.hpp"
#include "routing/epp/parsers.hpp"
#include "routing/epp/pool.hpp"
#include "routing/epp/recorder.hpp"
#include "routing/epp/renderer.hpp"
#include "routing/epp/rules.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/flow/flow_control.hpp"
#include "routing/ticket/key_file.hpp"

namespace baton::epp {

class Gate;

// An ImmediateResponse (picker reference 2.9).
struct Refusal {
  int status = 500;
  std::string_view code;  // "BadRequest"
  std::string message;
  std::string_view reason = {};  // x-llm-d-request-dropped-reason; "" for none
};

// A request as its headers tell it; views of them.
struct Asked {
  std::string_view path;           // with its query, as :path has it; "" when unknown
  std::string_view model_rewrite;  // target model that the client asks for; "" for none
  std::string_view objective;      // "" for none
  std::string_view fairness = "default-flow";
  std::string_view request_id;
  std::span<const schedule::Header> headers;
  const SharedPool::Subset* subset = nullptr;
  bool body_known = true;       // false: the route is chosen before the body comes
  bool only_if_cached = false;  // Prefer: if-available
  schedule::Slo slo = {};
};

// A request that is read, and then has its endpoints; its reservations end with it.
struct Placed {
  // Once read.
  std::optional<openai::Api> api;  // nullopt: the body was not read
  std::optional<index::PrefixChain> chain;
  std::optional<pick::KeyedPrompt> keyed;  // the prompt by its tokens, once they are made
  std::string salt;                        // cache_salt
  std::vector<std::uint32_t> ids;          // of a prompt that came as token ids, for its keys
  std::string rendered;                    // what a server made of the prompt, as it answered
  std::size_t prompt_bytes = 0, prompt_tokens = 0;
  std::optional<std::int64_t> most_tokens;  // to generate, where the body limits them
  std::string model, target;                // "" when the body was not read
  std::int32_t priority = 0;
  bool stream = false;                        // the body asks for one
  bool multimodal = false;                    // it has images, sound or video
  std::vector<std::uint64_t> media;           // hashes of those, where they are compared; each once
  std::vector<std::string_view> media_kinds;  // of each: "image", "video", "audio"
  bool skip_response = false;                 // nothing of the answer is wanted
  bool body_changed = false;
  Metrics::Series* series = nullptr;
  std::optional<LatencyBook::Entry> latency;  // it is predicted, or learnt
  // Once picked.
  pick::ServicePool::Picked picked;
  std::string destination;                                   // "ip:port", more behind commas
  std::vector<std::pair<std::string, std::string>> headers;  // that tell the stages
  std::vector<std::pair<std::string, double>> scores;
};

// Confined to one loop; what it refers to is shared.
class Desk {
 public:
  struct Deps {
    SharedPool& pool;
    Metrics& metrics;
    const Clock& clock;
    const Rules& rules;
    Gate& gate;
    Recorder& recorder;
    observe::Tracer* tracer = nullptr;
    LatencyBook* latency = nullptr;  // null: the configuration does not ask for it
  };
  struct Config {
    bool subset_hints = true;
    bool emit_scores = false;
    std::size_t body_bytes = std::size_t{64} << 20;
    std::optional<ticket::KeyFile> ticket_key = {};  // nullopt: routes are not signed
  };
  Desk(Deps deps, Config config, std::uint64_t seed)
      : deps_(deps),
        config_(config),
        ticket_key_(std::move(config.ticket_key)),
        timed_(deps.clock),
        random_(seed) {}

  // Which agent asks, for whom no fairness id is given; "" when none says so.
  std::string_view agent(std::span<const schedule::Header> headers) const;
  // `body` may be changed: kv_transfer_params removed, the model replaced.
  std::variant<Placed, Refusal> read(const Asked& asked, std::string& body);
  // Whether the prompt's tokens are to be made before pick(): key(), off the loop.
  bool keys(const Placed& placed) const;
  // What a server is to be asked before that, if any; its answer goes into `rendered`.
  std::optional<RenderAsk> render(const Placed& placed, std::string_view body) const;
  // Any thread; `body` is the one that was read. nullopt: they cannot be made.
  std::optional<pick::KeyedPrompt> key(const Placed& placed, std::string_view body) const;
  // What a predictor is to be asked before pick(): then predicted(). Empty: nothing. Valid as long
  // as `placed`.
  std::span<const schedule::LatencyRow> survey(const Asked& asked, Placed& placed);
  void predicted(Placed& placed, const std::optional<std::vector<schedule::Latencies>>& made);
  // Whether requests wait for admission before pick(): the gate's enter().
  bool queues() const;
  // The rest of the way, for a request that may go.
  std::optional<Refusal> pick(const Asked& asked, Placed& placed);
  // A request without a body: any endpoint.
  std::variant<std::string, Refusal> place_any();
  // For a route that was chosen before its body came. Whether the body has changed. kInvalid: it
  // cannot be read, or not be cleaned: an engine may read what we do not (UTF-16 is JSON to vLLM).
  Result<bool> clean(std::string_view path, std::string& body);

  // The answer is a good one: the pods hold the prompt.
  void answered(Placed& placed, bool prefilled);
  void learned(const Placed& placed, std::span<const std::uint64_t> blocks);
  void piece(Placed& placed);  // for what latency is learnt
  void whole(Placed& placed, std::optional<std::uint64_t> completion_tokens);
  // `fairness`: the request's own id, not its label, which many share.
  void served(const Placed& placed, std::string_view fairness, std::uint64_t prompt_tokens,
              std::uint64_t completion_tokens);
  // It had to end before its time.
  void evicted(const Placed& placed, const std::string& request_id, const schedule::Demand& demand);
  // How much of the prompt was cached, as far as the engine tells.
  void reported(const Placed& placed, std::optional<std::uint64_t> cached_tokens);

  const Config& config() const { return config_; }
  const schedule::Setup& setup() const { return deps_.pool.setup(); }
  Metrics& metrics() { return deps_.metrics; }
  observe::Tracer* tracer() { return deps_.tracer; }
  Mono now() const { return deps_.clock.now(); }
  std::string new_request_id() { return uuid4(ids_); }

 private:
  // What a body says, beside what goes into Placed at once.
  struct Said {
    std::string_view text;  // of the prompt, valid until the next read
    bool transfer_params = false;
    bool rewritable = false;  // one JSON object, whose model can be replaced
  };
  std::optional<Refusal> read_body(const Claim& claim, std::string& body, Placed& placed,
                                   Said& said);
  std::optional<Refusal> read_json(openai::Api api, std::string& json, Placed& placed, Said& said);
  std::optional<Refusal> read_grpc(std::string_view message, Placed& placed, Said& said);
  std::optional<Refusal> name_target(const Asked& asked, bool rewritable, Placed& placed);
  std::optional<Refusal> may_enter(const Asked& asked, const Placed& placed);
  void count_matches(const Placed& placed) const;
  pick::ServicePool::Ask ask_of(const Asked& asked, const Placed& placed) const;
  void sign_route(const Asked& asked, Placed& placed);
  std::optional<Refusal> ask_pool(const Asked& asked, Placed& placed);

  Deps deps_;
  const Config config_;
  std::optional<ticket::KeyFile> ticket_key_;
  openai::PromptReader reader_;
  std::string text_;             // what is read in place of the body
  schedule::Decision decision_;  // of the last pick: memory that is used again
  schedule::Record record_;      // and of its record
  TimedDecisions timed_;
  SeededRandom random_;  // picks need no unguessable numbers
  SystemRandom ids_;
};

// What a client is told of an outcome other than kDispatched.
Refusal refusal_of(schedule::Outcome outcome);

}  // namespace baton::epp
