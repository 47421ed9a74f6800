#pragma once
// What a plugin can be. Plugins are immutable after construction and work on whole batches; the few
// that remember requests say so and guard themselves.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/core/result.hpp"
#include "routing/schedule/config.hpp"
#include "routing/schedule/decision.hpp"
#include "routing/schedule/fields.hpp"
#include "routing/schedule/usage_expression.hpp"

namespace baton::schedule {

struct Context {
  const Request& request;
  const Snapshot& snapshot;  // with columns, unless it is empty
  Mono now;
  Random& random;
  std::optional<Index> peer = {};  // chosen already, for another stage of the request

  // Leading blocks of the prompt that the endpoint holds: as they are worth, and as they are.
  std::uint32_t matched(Index endpoint) const;
  std::uint32_t held(Index endpoint) const;
  // Null: nothing is predicted of it.
  const Prediction* prediction(Index endpoint) const {
    const auto slot = snapshot.columns->slots[endpoint];
    if (slot >= request.predictions.size() || !request.predictions[slot].known) return nullptr;
    return &request.predictions[slot];
  }
  // Bytes, and tokens, of the prompt behind them.
  std::size_t uncached_bytes(Index endpoint) const;
  std::size_t uncached_tokens(Index endpoint) const;
  // Items of the request, text apart, that the endpoint was sent before.
  std::uint32_t media_held(Index endpoint) const;
  bool fresh(Index endpoint) const { return snapshot.loads[endpoint].fresh(now); }
};

class Filter {
 public:
  virtual ~Filter() = default;
  // Removes the unfit; keeps the order.
  virtual void keep(const Context& context, std::vector<Index>& candidates) const = 0;
  // Leaving nobody means that all are full (429), not that nobody fits (503).
  virtual bool sheds() const { return false; }
};

class Scorer {
 public:
  virtual ~Scorer() = default;
  // One score per candidate, 0 at first; clamped to 0..1 by the caller.
  virtual void score(const Context& context, std::span<const Index> candidates,
                     std::span<float> scores) const = 0;
};

// Learns where requests go, for later ones. Thread-safe.
class Memory {
 public:
  virtual ~Memory() = default;
  // The request goes where the decision says. What its client is to be told goes into the
  // decision's answer_headers.
  virtual void routed(const Context& context, Decision& decision) const = 0;
};

class Picker {
 public:
  virtual ~Picker() = default;
  // Appends to `ranked`, best first, at least one and at most as many as configured.
  // `candidates` is not empty.
  virtual void pick(const Context& context, std::span<const Index> candidates,
                    std::span<const float> totals, std::vector<Index>& ranked) const = 0;
};

// Whether a request gets a stage of its own for its prompt, or for what is not text.
class Decider {
 public:
  virtual ~Decider() = default;
  // `decode` is absent when it is not chosen yet.
  virtual bool wants(const Context& context, std::optional<Index> decode) const = 0;
};

// Runs profiles by name on behalf of a handler.
class ProfileRunner {
 public:
  virtual ~ProfileRunner() = default;
  virtual const Context& context() const = 0;
  // What the decider says, who sees the matches that it names.
  virtual bool asks(const Decider& decider, std::optional<Index> decode) const = 0;
  // Null: the filters left nobody, or there is no such profile. Appends to Decision::runs.
  // `peer`: only endpoints that can read its KV (same revision label, when it has one).
  // The answer is valid until the next run.
  virtual const ProfileRun* run(std::string_view profile, Decision& decision,
                                std::optional<Index> peer = {}) = 0;
};

struct NamedDecider {
  std::string_view name;
  const Decider* decider;
};

// Decides which profiles run and what their results mean.
class Handler {
 public:
  virtual ~Handler() = default;
  // Once, when the configuration is complete. kInvalid: it does not suit the handler.
  virtual Status check(std::span<const std::string_view> profiles) = 0;
  // Once, before: resolves what the parameters name.
  virtual Status bind(std::span<const NamedDecider>) { return {}; }
  // kUnavailable: nobody can serve the request. kExhausted: everybody is full. kInvalid: it asks
  // for what there is not.
  virtual Status decide(ProfileRunner& profiles, Decision& decision) const = 0;
};

inline constexpr std::int64_t kMaxHashBlockBytes = 4096;

// The prompt is hashed in these blocks, for whoever reads Context::matched.
struct PrefixParameters {
  std::size_t block_bytes = 64;
  // As many as one endpoint remembers (2 MB of prompt). The October 2025 picker stops at 256: every
  // conversation past 16 KiB then goes through prefill on each turn.
  std::size_t max_blocks = 31250;
  std::size_t lru_capacity = 31250;  // blocks per endpoint
  bool engine_capacity = true;       // as many as the engine's cache holds, once it tells
  friend bool operator==(const PrefixParameters&, const PrefixParameters&) = default;
};

// A server that makes tokens of prompts; see epp/renderer.hpp.
struct RenderServer {
  std::string url;    // what stands before the paths
  std::string model;  // what it calls the model
  Nanos timeout = std::chrono::seconds(5);
  friend bool operator==(const RenderServer&, const RenderServer&) = default;
};

// What engines tell of their KV caches, and how prompts are compared with it.
struct PreciseParameters {
  struct Tier {
    std::string name;
    double weight = 1;  // of a block held there
    friend bool operator==(const Tier&, const Tier&) = default;
  };
  std::size_t block_tokens = 16;
  bool xxh64 = false;  // else cbor-fnv
  std::string hash_seed;
  std::vector<Tier> tiers = {{"gpu", 1}, {"cpu", 0.8}};
  std::string topic = "kv@";
  std::string listen;    // where engines may connect, "tcp://*:5557"; "": nowhere
  bool connects = true;  // the picker connects to every engine
  std::uint16_t port = 5557, replay_port = 0;  // of the engine's events; 0: no history
  Nanos speculative = Nanos(0);                // how long a routed prompt counts as held; 0: not
  bool metrics = false;                        // under upstream's names, too
  std::string tokenizer;  // folder of the model's tokenizer.json; "": that of the token-producer
  std::optional<RenderServer> render = {};  // in its place
  friend bool operator==(const PreciseParameters&, const PreciseParameters&) = default;
};

// What is told to the servers that predict latency, and what their answers are held against.
struct LatencyParameters {
  std::string name = "predicted-latency-producer";  // of the plugin
  double slo_buffer = 1;   // of what is asked per further token, the share that counts
  bool streaming = false;  // answers are streams: the first token is apart from the rest
  std::string role_label;  // whose value tells what a pod does; "": all do the same
  bool predicts = true;    // else one only learns
  friend bool operator==(const LatencyParameters&, const LatencyParameters&) = default;
};

// The folder of a tokenizer, for prompts by tokens; "" without.
struct LocalTokenizer {
  std::string folder;
};

// Tells the routed request its stages; the headers are of routing_headers().
struct StageHeaders {
  std::string prefill_profile, encode_profile;
};

// Where a request says which session it belongs to.
struct SessionSource {
  enum class Kind : std::uint8_t { kHeader, kCookie };
  Kind kind = Kind::kHeader;
  std::string name;  // of a header in lower case
};
// The first source that says something, without blanks around it; "" when none does.
std::string_view session_of(std::span<const SessionSource> sources, const Request& request);

// Data that plugins make for others.
enum class Data : std::uint8_t {
  kPrefixMatch,
  kTokens,
  kInFlight,
  kLatency,
  kSession,
  kAgent,
  kMedia,
};

struct Need {
  Data data;
  std::string producer;  // its plugin name; "" for the default one
  std::string pointer;   // of the parameter
};

// Request parsers (picker reference 7).
enum class Parser : std::uint8_t {
  kOpenai,
  kAnthropic,
  kVllmHttp,
  kSglangHttp,
  kVllmGrpc,
  kVertexAi,
  kPassthrough,
};

// How engines' metrics are fetched.
struct MetricsSource {
  std::string scheme = "http", path = "/metrics";
  std::uint16_t port = 0;  // 0: the endpoint's
  bool insecure_skip_verify = true;
  std::string ca_cert_path, client_cert_path, client_key_path;
  Nanos interval = Nanos(0);  // 0: that of the process
  friend bool operator==(const MetricsSource&, const MetricsSource&) = default;
};

struct MetricsExtractor {
  std::string engine_label = "llm-d.ai/engine-type";
  std::string default_engine = "vllm";
  text::json::Value engine_configs;  // an array, or null
};

struct EndpointNotifications {};

// Objects of one kind whose changes are told; group "" is the core's.
struct ObjectNotifications {
  std::string group, version, kind;
  friend bool operator==(const ObjectNotifications&, const ObjectNotifications&) = default;
};

// Where engines' lists of models are fetched, and that they are kept.
struct ModelsSource {
  MetricsSource fetch;
};
struct ModelsExtractor {};

// How many tokens a request is expected to generate, before it has: by its prompt's.
struct OutputEstimate {
  double ratio = 1.5;
  std::optional<std::int64_t> most = {};
  friend bool operator==(const OutputEstimate&, const OutputEstimate&) = default;
};
// `cap`: that of the request, when it has one.
std::int64_t expected_output(const OutputEstimate& estimate, std::size_t prompt_tokens,
                             std::optional<std::int64_t> cap);

// What is remembered of pictures, sound and video per endpoint.
struct MediaCache {
  std::size_t items = 2048;
  friend bool operator==(const MediaCache&, const MediaCache&) = default;
};

// The labels that say where a pod is.
struct Topology {
  std::string host = "kubernetes.io/hostname", rack = "topology.kubernetes.io/rack",
              zone = "topology.kubernetes.io/zone", region = "topology.kubernetes.io/region";
};

// What of an answer's usage the proxy is told, as a number of its dynamic metadata.
struct UsageReport {
  std::string ns = "envoy.lb", key;
  UsageExpression value;
  std::optional<UsageExpression> condition;
};

// What the proxy is told of these counts: whole, not 0; nullopt: nothing.
std::optional<std::int64_t> reported(const UsageReport& report, const TokenCounts& counts);

// The client of a test is told which endpoint the proxy says has served it.
struct ServedVerifier {};

// How full the pool is (picker reference 4.9).
struct Detector {
  enum class Mode : std::uint8_t { kUtilization, kRequests, kTokens, kHybrid };
  Mode mode = Mode::kUtilization;
  double queue_depth = 5, kv_usage = 0.8;
  Nanos stale_after = Millis(200);
  double headroom = 0;
  double max_requests = 100, max_tokens = 1'000'000;  // in flight per endpoint

  friend bool operator==(const Detector&, const Detector&) = default;
};

enum class Ordering : std::uint8_t { kFcfs, kEdf, kSloDeadline };

struct Fairness {
  enum class Kind : std::uint8_t { kGlobalStrict, kRoundRobin, kProgramAware };
  Kind kind = Kind::kGlobalStrict;
  double weight_service = 0.8, weight_wait = 0.2;
  Nanos half_life = std::chrono::seconds(60);
  Nanos forget_after = std::chrono::seconds(3600);
};

// The saturation from which requests wait (flow/ceilings.hpp).
struct UsageLimit {
  enum class Kind : std::uint8_t {
    kStatic,      // the same for all
    kHoldback,    // falls with the priority, from threshold to least
    kReflective,  // falls with the priority, the more the fuller the pool is
  };
  enum class Domain : std::uint8_t { kRank, kValue };  // among the priorities; by what they are
  Kind kind = Kind::kStatic;
  double threshold = 1, least = 0;
  Domain domain = Domain::kRank;
  friend bool operator==(const UsageLimit&, const UsageLimit&) = default;
};

// Of running requests: who may be ended (priority below 0), and in which order (flow/eviction.hpp).
struct EvictionPolicy {};

// Sheds at random as the pool fills (priority below 0 only).
struct ProbabilisticAdmitter {
  double queue_depth = 5, kv_usage = 0.8, power = 5, k = 300;
};

// Turns away what has priority below 0 and asks for more than anybody is predicted to do.
struct LatencySloAdmitter {};

// What a plugin is apart from scheduling: settings for whoever serves.
using Service =
    std::variant<std::monostate, Parser, MetricsSource, MetricsExtractor, EndpointNotifications,
                 FileDiscovery, Detector, Ordering, Fairness, UsageLimit, EvictionPolicy,
                 ProbabilisticAdmitter, PreciseParameters, LocalTokenizer, RenderServer,
                 LatencyParameters, LatencySloAdmitter, ObjectNotifications, Topology, UsageReport,
                 ServedVerifier, MediaCache, ModelsSource, ModelsExtractor, OutputEstimate>;

struct NamedPlugin {
  std::string_view name;
  const struct Plugin* plugin;
};

// A plugin is one or several of these.
struct Plugin {
  std::unique_ptr<Filter> filter = {};
  std::unique_ptr<Scorer> scorer = {};
  std::unique_ptr<Picker> picker = {};
  std::unique_ptr<Handler> handler = {};
  std::unique_ptr<Decider> decider = {};
  const Memory* memory = nullptr;  // a part of the above
  std::optional<StageHeaders> headers = {};
  std::vector<SessionSource> sessions = {};  // that others may ask for
  Service service = {};

  // Once, when all plugins are made: resolves what the parameters name.
  std::function<Status(std::span<const NamedPlugin>)> bind = {};

  std::vector<Need> needs = {};
  std::optional<Data> produces = {};
  std::optional<PrefixParameters> prefix = {};  // of the plugin that defines the blocks
  bool any_blocks = false;                      // those of another plugin suit it, too
  std::string prefix_from = {};   // of a handler: the scorer whose blocks it counts, "" for any
  std::size_t counted_block = 0;  // of a handler: the block bytes it was told, 0 for the scorer's
  bool prefills = false;          // of a handler: it may pick a prefill endpoint
  bool tells_stages = false;      // of a handler: it writes the headers itself
  bool encodes = false;           // of a handler: it may run an encode stage
  bool data_parallel = false;     // of a handler: one port before several ranks
  bool reads_headers = false;     // of requests
  std::size_t ranks = 1;          // of a picker: candidates it lists
};

// kInvalid, naming the nearest, when there is none of that type; kUnsupported, naming what to use,
// when Baton does not offer it.
Status check_plugin_type(std::string_view type);
// The type that a deprecated spelling stands for, else itself.
std::string_view current_type(std::string_view type);
// Whether it is of level A (picker reference 4.1): it may change or go.
bool is_experimental(std::string_view type);
// The one list of plugin types. kInvalid: unknown type (with the nearest name), wrong parameters.
Result<Plugin> make_plugin(std::string_view type, Fields& parameters);

}  // namespace baton::schedule
