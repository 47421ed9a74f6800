#include "routing/schedule/record.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace baton::schedule {
namespace {

using text::json::Value;

constexpr std::int64_t kMostRecorded = std::int64_t{1} << 50;
constexpr std::int64_t kMostMillis = 1'000'000'000'000;  // as nanoseconds in 63 bits

Value prediction_json(const Prediction& p) {
  Value out;
  out["ttftMs"] = p.ttft_ms;
  out["tpotMs"] = p.tpot_ms;
  out["ttftHeadroomMs"] = p.ttft_headroom;
  out["tpotHeadroomMs"] = p.tpot_headroom;
  out["meets"] = p.meets;
  out["idle"] = p.idle;
  return out;
}

Prediction read_prediction(Fields fields, Fields& parent) {
  Prediction p{.known = true};
  p.ttft_ms = fields.number("ttftMs", 0);
  p.tpot_ms = fields.number("tpotMs", 0);
  p.ttft_headroom = fields.number("ttftHeadroomMs", 0);
  p.tpot_headroom = fields.number("tpotHeadroomMs", 0);
  p.meets = fields.boolean("meets", false);
  p.idle = fields.boolean("idle", false);
  parent.take_error(fields);
  return p;
}

Value endpoint_json(const Record& record, std::size_t i) {
  const auto& endpoint = (*record.endpoints)[i];
  const auto& load = record.loads[i];
  Value out;
  out["namespace"] = endpoint.ns;
  out["name"] = endpoint.name;
  out["host"] = endpoint.host;
  out["port"] = endpoint.port;
  Value labels{text::json::Object()};
  for (const auto& [key, value] : endpoint.labels) labels[key] = value;
  out["labels"] = std::move(labels);
  out["waiting"] = static_cast<double>(load.waiting);
  out["running"] = static_cast<double>(load.running);
  out["kvUsage"] = static_cast<double>(load.kv_usage);
  if (load.updated != Mono::min()) {
    out["ageMillis"] = std::chrono::duration_cast<Millis>(record.now - load.updated).count();
  }
  out["matchedBlocks"] = record.matched[i];
  out["heldBlocks"] = record.held[i];
  for (const auto& view : record.views) {
    Value other;
    other["matchedBlocks"] = view.matched[i];
    other["heldBlocks"] = view.held[i];
    out["otherMatches"].push_back(std::move(other));
  }
  out["reserved"] = record.reserved[i];
  out["tokensInFlight"] = record.tokens[i];
  if (!record.predictions.empty() && record.predictions[i].known) {
    out["predicted"] = prediction_json(record.predictions[i]);
  }
  return out;
}

struct Matches {  // by slot
  std::vector<std::uint32_t> matched, held;
  std::vector<Prediction> predictions;
  std::vector<Record::View> views;
};

// Of one endpoint, behind those before it.
void read_matches(Fields& fields, std::vector<std::uint32_t>& matched,
                  std::vector<std::uint32_t>& held) {
  const auto blocks = fields.integer("matchedBlocks", 0, 0, INT32_MAX);
  matched.push_back(static_cast<std::uint32_t>(blocks));
  held.push_back(static_cast<std::uint32_t>(fields.integer("heldBlocks", blocks, 0, INT32_MAX)));
}

// One for each of the request's further views; what is missing is nothing held.
void read_other_matches(Fields& fields, std::vector<Record::View>& views) {
  const auto& others = fields.array("otherMatches");
  const auto at = text::json::pointer(fields.pointer(), "otherMatches");
  if (others.size() > views.size()) {
    fields.fail("otherMatches", "more than the request has views");
    return;
  }
  for (std::size_t v = 0; v < views.size(); ++v) {
    const Value none{text::json::Object()};
    Fields other(v < others.size() ? others[v] : none, text::json::pointer(at, v));
    read_matches(other, views[v].matched, views[v].held);
    fields.take_error(other);
  }
}

// How a view counts its blocks.
void read_blocks(Fields& fields, PrefixView& view) {
  view.block_bytes =
      static_cast<std::size_t>(fields.integer("blockBytes", 64, 1, kMaxHashBlockBytes));
  view.block_tokens =
      static_cast<std::size_t>(fields.integer("blockTokens", 0, 0, kMaxHashBlockBytes));
  view.prompt_blocks = static_cast<std::uint32_t>(fields.integer("promptBlocks", 0, 0, INT32_MAX));
}

void write_blocks(Value& out, const PrefixView& view) {
  out["blockBytes"] = view.block_bytes;
  out["blockTokens"] = view.block_tokens;
  out["promptBlocks"] = view.prompt_blocks;
}

PrefixView blocks_of(const Request& request) {
  return {.block_bytes = request.block_bytes,
          .block_tokens = request.block_tokens,
          .prompt_blocks = request.prompt_blocks};
}

// One endpoint of a record, appended to a snapshot.
Status read_endpoint(const Value& value, std::string pointer, std::vector<Endpoint>& endpoints,
                     Snapshot& snapshot, Matches& matches, Mono now) {
  Fields fields(value, std::move(pointer));
  Endpoint endpoint;
  endpoint.slot = static_cast<Slot>(endpoints.size());
  endpoint.ns = fields.text("namespace", "");
  endpoint.name = fields.text("name", "");
  endpoint.host = fields.text("host", "");
  endpoint.port = static_cast<std::uint16_t>(fields.integer("port", 0, 0, 65535));
  if (const auto* labels = fields.any("labels"); labels != nullptr && labels->if_object()) {
    for (const auto& [key, label] : *labels->if_object()) {
      if (const auto* text = label.if_string()) endpoint.labels.emplace(key, *text);
    }
  }
  Load load;
  load.waiting = static_cast<float>(fields.number("waiting", 0, 0, 1e9));
  load.running = static_cast<float>(fields.number("running", 0, 0, 1e9));
  load.kv_usage = static_cast<float>(fields.number("kvUsage", 0, 0, 1));
  if (fields.has("ageMillis"))
    load.updated = now - Millis(fields.integer("ageMillis", 0, 0, kMostMillis));
  read_matches(fields, matches.matched, matches.held);
  read_other_matches(fields, matches.views);
  const auto reserved = fields.integer("reserved", 0, INT32_MIN, INT32_MAX);
  const auto tokens = fields.integer("tokensInFlight", 0, -kMostRecorded, kMostRecorded);
  const bool predicted = fields.has("predicted");
  auto prediction = read_prediction(fields.object("predicted"), fields);
  prediction.known = predicted;
  matches.predictions.push_back(prediction);
  BATON_TRY(fields.finish());
  snapshot.reservations->add(endpoint.slot, static_cast<std::int32_t>(reserved));
  snapshot.reservations->add_tokens(endpoint.slot, tokens);
  snapshot.loads.push_back(std::move(load));
  endpoints.push_back(std::move(endpoint));
  return {};
}

Request read_request(Fields& fields, std::vector<Record::View>& views) {
  const auto number = [&](std::string_view key) {
    return static_cast<std::size_t>(fields.integer(key, 0, 0, kMostRecorded));
  };
  Request request;
  request.prompt_bytes = number("promptBytes");
  request.prompt_tokens = number("promptTokens");
  PrefixView first;
  read_blocks(fields, first);
  request.show(first);
  const auto& others = fields.array("otherViews");
  const auto at = text::json::pointer(fields.pointer(), "otherViews");
  if (others.size() >= kMaxPrefixViews) fields.fail("otherViews", "more than a picker has");
  for (std::size_t v = 0; v < std::min(others.size(), kMaxPrefixViews - 1); ++v) {
    Fields other(others[v], text::json::pointer(at, v));
    read_blocks(other, views.emplace_back().of);
    fields.take_error(other);
  }
  request.priority = static_cast<std::int32_t>(fields.integer("priority", 0, INT32_MIN, INT32_MAX));
  request.multimodal = fields.boolean("multimodal", false);
  return request;
}

// Whether the new decision could have picked this pod, by chance.
bool ties(const Decision& decision, const Snapshot& snapshot, Index picked, std::string_view pod) {
  for (const auto& run : decision.runs) {
    if (run.picked != picked) continue;
    float best = 0, other = -1;
    for (std::size_t c = 0; c < run.candidates.size(); ++c) {
      if (run.candidates[c] == picked) best = run.totals[c];
      if ((*snapshot.endpoints)[run.candidates[c]].name == pod) other = run.totals[c];
    }
    return other >= best;
  }
  return false;
}

// Blocks of an endpoint in a view, 0 where it does not say.
std::uint32_t blocks_at(std::span<const std::uint32_t> by_slot, Slot slot) {
  return slot < by_slot.size() ? by_slot[slot] : 0;
}

void record_views(const Request& request, const Snapshot& snapshot,
                  std::vector<Record::View>& into) {
  into.resize(request.others.size());
  for (std::size_t v = 0; v < into.size(); ++v) {
    const auto& view = request.others[v];
    into[v].of = view;
    into[v].of.matched = {};
    into[v].of.held = {};
    into[v].matched.clear();
    into[v].held.clear();
    for (Index i = 0; i < snapshot.size(); ++i) {
      const auto slot = snapshot.columns->slots[i];
      into[v].matched.push_back(blocks_at(view.matched, slot));
      into[v].held.push_back(blocks_at(view.held.empty() ? view.matched : view.held, slot));
    }
  }
}

// A client may write a name of any length.
std::string_view kept_of(std::string_view model) {
  auto end = std::min(model.size(), kMostRecordedModel);
  while (end < model.size() && end > 0 && (model[end] & 0xC0) == 0x80) --end;
  return model.substr(0, end);
}

}  // namespace

void record(const Request& request, const Snapshot& snapshot, Mono now, const Decision& decision,
            Record& into) {
  into.model = kept_of(request.model);
  into.request = request;
  into.request.model = {};
  into.request.headers = {};
  into.request.matched = {};
  into.request.held = {};
  into.request.predictions = {};
  into.request.others = {};
  into.request.among = nullptr;
  into.now = now;
  into.endpoints = snapshot.endpoints;
  into.loads = snapshot.loads;
  SeededRandom unused(0);
  const Context context{request, snapshot, now, unused};
  into.matched.clear();
  into.held.clear();
  record_views(request, snapshot, into.views);
  into.reserved.clear();
  into.tokens.clear();
  into.predictions.clear();
  for (Index i = 0; i < snapshot.size(); ++i) {
    into.matched.push_back(context.matched(i));
    into.held.push_back(context.held(i));
    into.reserved.push_back(snapshot.reserved(i));
    into.tokens.push_back(snapshot.tokens(i));
    if (request.predictions.empty()) continue;
    const auto* prediction = context.prediction(i);
    into.predictions.push_back(prediction == nullptr ? Prediction() : *prediction);
  }
  into.decision = decision;
  into.decision.spare.clear();
  into.decision.laps = nullptr;
  into.evicted_for.reset();
}

Value to_json(const Record& record) {
  Value out;
  out["id"] = record.id;
  out["at"] = std::chrono::duration_cast<Millis>(record.at.time_since_epoch()).count();
  out["tookNanos"] = record.took.count();
  Value& request = out["request"];
  request["model"] = record.model;
  request["promptBytes"] = record.request.prompt_bytes;
  request["promptTokens"] = record.request.prompt_tokens;
  request["promptHash"] = fmt::format("{:016x}", record.prompt_hash);
  write_blocks(request, blocks_of(record.request));
  for (const auto& view : record.views) {
    Value other;
    write_blocks(other, view.of);
    request["otherViews"].push_back(std::move(other));
  }
  request["matchesKnown"] = std::ranges::any_of(record.matched, [](auto n) { return n > 0; });
  request["priority"] = record.request.priority;
  request["multimodal"] = record.request.multimodal;
  Value endpoints{text::json::Array()};
  for (std::size_t i = 0; i < record.endpoints->size(); ++i) {
    endpoints.push_back(endpoint_json(record, i));
  }
  out["endpoints"] = std::move(endpoints);
  Snapshot snapshot;
  snapshot.endpoints = record.endpoints;
  out["decision"] = explain(record.decision, snapshot);
  if (const auto& demand = record.evicted_for) {
    Value& evicted = out["evicted"];
    evicted["forPriority"] = demand->priority;
    evicted["saturation"] = demand->saturation;
    evicted["ceiling"] = demand->ceiling;
  }
  return out;
}

void RecordRing::add(Record& record) {
  if (most_ == 0) return;
  if (records_.size() < most_) {
    newest_ = records_.size();
    records_.emplace_back();
  } else {
    newest_ = (newest_ + 1) % most_;
  }
  std::swap(records_[newest_], record);
}

std::optional<std::size_t> RecordRing::place_of(std::string_view id) const {
  for (std::size_t age = 0; age < records_.size(); ++age) {
    if (records_[place(age)].id == id) return place(age);
  }
  return std::nullopt;
}

const Record* RecordRing::find(std::string_view id) const {
  const auto found = place_of(id);
  return found ? &records_[*found] : nullptr;
}

const Record* RecordRing::evicted(std::string_view id, const Demand& demand) {
  const auto found = place_of(id);
  if (!found) return nullptr;
  records_[*found].evicted_for = demand;
  return &records_[*found];
}

std::vector<std::string> RecordRing::ids() const {
  std::vector<std::string> out;
  for (std::size_t age = 0; age < records_.size(); ++age) out.push_back(records_[place(age)].id);
  return out;
}

Result<Replayed> replay(const Value& record, const Scheduler& scheduler, Random& random) {
  const Mono now = Mono(std::chrono::hours(24 * 365));
  Fields root(record, "");
  Replayed out;
  out.id = root.text("id", "");
  root.any("at");
  root.any("tookNanos");
  out.evicted = root.any("evicted") != nullptr;
  const auto* decided = root.any("decision");
  auto fields = root.object("request");
  const auto model = fields.text("model", "");
  fields.any("promptHash");
  fields.any("matchesKnown");
  Matches matches;
  auto request = read_request(fields, matches.views);
  request.model = model;
  root.take_error(fields);
  std::vector<Endpoint> endpoints;
  Snapshot snapshot;
  snapshot.reservations = std::make_shared<Reservations>();
  const auto& items = root.array("endpoints");
  if (items.size() > kMaxEndpoints) root.fail("endpoints", "more endpoints than a pool can have");
  for (std::size_t i = 0; i < std::min(items.size(), kMaxEndpoints); ++i) {
    BATON_TRY(read_endpoint(items[i], text::json::pointer("/endpoints", i), endpoints, snapshot,
                            matches, now));
  }
  BATON_TRY(root.finish());
  if (decided != nullptr) {
    out.before = decided->string_at({"primary"});
    out.prefill_before = decided->string_at({"prefill"});
  }
  snapshot.set_endpoints(std::make_shared<const std::vector<Endpoint>>(std::move(endpoints)));
  request.matched = matches.matched;
  request.held = matches.held;
  request.predictions = matches.predictions;
  std::vector<PrefixView> others;
  for (auto& view : matches.views) {
    view.of.matched = view.matched;
    view.of.held = view.held;
    others.push_back(view.of);
  }
  request.others = others;
  Decision decision;
  decision.explain = true;
  if (const auto done = scheduler.schedule(request, snapshot, now, random, decision); !done) {
    out.problem = done.error().message();
    out.changed = !out.before.empty();
    return out;
  }
  const auto pod = [&](Index i) { return (*snapshot.endpoints)[i].name; };
  out.after = pod(decision.primary);
  if (decision.prefill) out.prefill_after = pod(*decision.prefill);
  const bool primary =
      out.before == out.after || ties(decision, snapshot, decision.primary, out.before);
  const bool prefill = out.prefill_before == out.prefill_after ||
                       (decision.prefill && !out.prefill_before.empty() &&
                        ties(decision, snapshot, *decision.prefill, out.prefill_before));
  out.changed = !primary || !prefill;
  out.explanation = explain(decision, snapshot);
  return out;
}

}  // namespace baton::schedule
