#include "cli/kv_events_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/log.hpp"
#include "base/core/nearest.hpp"
#include "base/text/json.hpp"
#include "net/zmtp/socket.hpp"

namespace baton::cli {
namespace {

using text::json::Value;

constexpr std::string_view kFlag = "--kv-events-config";
constexpr std::size_t kMaxSteps = 10'000'000;
constexpr std::size_t kMaxTopic = 512;

constexpr std::array<std::string_view, 9> kMembers = {"enable_kv_cache_events",
                                                      "publisher",
                                                      "endpoint",
                                                      "replay_endpoint",
                                                      "buffer_steps",
                                                      "hwm",
                                                      "topic",
                                                      "max_queue_size",
                                                      "event_format"};

Error wrong(std::string_view member, std::string_view rule) {
  return invalid(fmt::format("{}: {} must be {}", kFlag, member, rule));
}

Status text(const Value& config, std::string_view member, std::string& out) {
  const Value* v = config.find(member);
  if (v == nullptr || v->is_null()) return {};
  if (v->if_string() == nullptr) return wrong(member, "a text");
  out = *v->if_string();
  return {};
}

Status count(const Value& config, std::string_view member, std::size_t& out) {
  const Value* v = config.find(member);
  if (v == nullptr) return {};
  const auto n = v->if_uint();
  if (!n || *n < 1 || *n > kMaxSteps) return wrong(member, fmt::format("1 to {}", kMaxSteps));
  out = static_cast<std::size_t>(*n);
  return {};
}

Status check_endpoint(std::string_view member, std::string_view endpoint) {
  BATON_TRY(zmtp::parse_address(endpoint).with(fmt::format("{}: {}", kFlag, member)));
  return {};
}

class Published final : public runtime::KvEventSink {
 public:
  Published(std::unique_ptr<zmtp::Publisher> publisher, kv::EventShape shape, const Clock& clock)
      : publisher_(std::move(publisher)), shape_(shape), clock_(clock) {}

  void publish(std::vector<kv::KvEvent> events) override {
    const auto ts = std::chrono::duration<double>(clock_.wall().time_since_epoch()).count();
    publisher_->publish(
        kv::encode_events({.ts = ts, .events = std::move(events), .rank = 0}, shape_));
  }
  Counts counts() const override {
    const auto stats = publisher_->stats();
    return {.published = stats.published,
            .lost = stats.lost + stats.skipped,
            .replays = stats.replays,
            .followers = stats.subscribers};
  }

 private:
  const std::unique_ptr<zmtp::Publisher> publisher_;
  const kv::EventShape shape_;
  const Clock& clock_;
};

}  // namespace

Result<std::optional<KvEventsOptions>> read_kv_events(std::string_view json,
                                                      const std::string& host) {
  BATON_TRY_ASSIGN(const Value config, text::json::parse(json).with(kFlag));
  if (!config.is_object()) return invalid(fmt::format("{}: expected a JSON object", kFlag));
  for (const auto& [key, value] : *config.if_object()) {
    if (std::ranges::find(kMembers, key) == kMembers.end()) {
      return invalid(fmt::format("{}: no member '{}'{}", kFlag, key, did_you_mean(key, kMembers)));
    }
  }
  const Value* enabled = config.find("enable_kv_cache_events");
  if (enabled != nullptr && enabled->if_bool() == nullptr) {
    return wrong("enable_kv_cache_events", "true or false");
  }
  KvEventsOptions out;
  auto& p = out.publisher;
  if (!host.empty()) p.any = host;
  std::string publisher, replay, format;
  BATON_TRY(text(config, "publisher", publisher));
  BATON_TRY(text(config, "endpoint", p.endpoint));
  BATON_TRY(text(config, "replay_endpoint", replay));
  BATON_TRY(text(config, "topic", p.topic));
  BATON_TRY(text(config, "event_format", format));
  BATON_TRY(count(config, "buffer_steps", p.buffer_steps));
  BATON_TRY(count(config, "hwm", p.hwm));
  BATON_TRY(count(config, "max_queue_size", p.max_queue_size));
  if (p.topic.size() > kMaxTopic) return wrong("topic", fmt::format("{} bytes at most", kMaxTopic));
  if (format == "map") {
    out.shape = kv::EventShape::kMaps;
  } else if (!format.empty() && format != "array") {
    return wrong("event_format", "array or map");
  }
  if (!publisher.empty() && publisher != "zmq" && publisher != "null") {
    return unsupported(fmt::format("{}: publisher '{}': only zmq or null", kFlag, publisher));
  }
  BATON_TRY(check_endpoint("endpoint", p.endpoint));
  if (!replay.empty()) {
    BATON_TRY(check_endpoint("replay_endpoint", replay));
    p.replay_endpoint = std::move(replay);
  }
  if (enabled == nullptr || !*enabled->if_bool() || publisher == "null") {
    return std::optional<KvEventsOptions>();
  }
  return std::optional(std::move(out));
}

Status name_blocks(std::string_view algorithm, const std::optional<std::string>& seed,
                   KvEventsOptions& out) {
  constexpr std::size_t kMaxSeed = 32;
  if (algorithm == "sha256_cbor") {
    out.hash_form = runtime::HashForm::kCbor;
  } else if (algorithm != "sha256") {
    return unsupported(
        fmt::format("--prefix-caching-hash-algo {}: KV events name blocks by sha256 or sha256_cbor",
                    algorithm));
  }
  if (!seed || seed->empty()) return {};
  if (seed->size() > kMaxSeed) {
    return invalid(fmt::format("PYTHONHASHSEED: more than {} characters", kMaxSeed));
  }
  out.hash_seed = *seed;
  return {};
}

Result<std::shared_ptr<runtime::KvEventSink>> publish_kv_events(const KvEventsOptions& options,
                                                                const Clock& clock) {
  BATON_TRY_ASSIGN(auto publisher, zmtp::Publisher::start(options.publisher, clock).with(kFlag));
  log::info("KV events are published", {{"endpoint", options.publisher.endpoint},
                                        {"at", http::to_string(publisher->at())},
                                        {"replay_at", http::to_string(publisher->replay_at())},
                                        {"topic", options.publisher.topic}});
  return std::shared_ptr<runtime::KvEventSink>(
      std::make_shared<Published>(std::move(publisher), options.shape, clock));
}

}  // namespace baton::cli
