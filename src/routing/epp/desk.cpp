#include "routing/epp/desk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "formats/openai/splice.hpp"
#include "net/http/message.hpp"
#include "routing/epp/gate.hpp"
#include "routing/pick/learner.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kNoClients = "kv_transfer_params are not a client's to give";

Refusal bad_request(std::string message) {
  return {.status = 400, .code = "BadRequest", .message = std::move(message)};
}

std::string_view code_of(int status) {
  switch (status) {
    case 429:
      return "ResourceExhausted";
    case 503:
      return "ServiceUnavailable";
    default:
      return "Internal";
  }
}

std::string address(const schedule::Endpoint& endpoint) {
  return http::to_string({endpoint.host, endpoint.port});
}

// kInvalid: the body cannot be edited.
Status replace_model(std::string& body, std::string_view target) {
  BATON_TRY_ASSIGN(const auto scanned, openai::BodyIndex::scan(body).with(
                                           "the model's name cannot be replaced in the body"));
  const std::array<openai::Edit, 1> edits = {openai::Edit{
      .key = "model", .value = text::json::dump(text::json::Value(std::string(target)))}};
  body = scanned.splice(edits).join();
  return {};
}

// What the primary profile's scorers gave to each endpoint that its filters left.
std::vector<std::pair<std::string, double>> scores_of(
    const schedule::Decision& decision, const std::vector<schedule::Endpoint>& endpoints) {
  std::vector<std::pair<std::string, double>> out;
  if (decision.runs.empty() || decision.runs.front().scorers.empty()) return out;
  const auto& run = decision.runs.front();
  for (std::size_t i = 0; i < run.candidates.size(); ++i) {
    out.emplace_back(address(endpoints[run.candidates[i]]), static_cast<double>(run.totals[i]));
  }
  return out;
}

// The flat text of a prompt of token ids is 4 bytes each; empty for any other.
std::vector<std::uint32_t> ids_of(std::string_view text, std::size_t tokens) {
  std::vector<std::uint32_t> out;
  if (tokens == 0 || text.size() != tokens * 4) return out;
  out.reserve(tokens);
  for (std::size_t at = 0; at < text.size(); at += 4) {
    std::uint32_t id = 0;
    for (unsigned i = 0; i < 4; ++i) {
      id |= std::uint32_t{static_cast<unsigned char>(text[at + i])} << 8 * i;
    }
    out.push_back(id);
  }
  return out;
}

}  // namespace

Refusal refusal_of(schedule::Outcome outcome) {
  const auto told = schedule::answer(outcome);
  return {.status = told.status,
          .code = code_of(told.status),
          .message = std::string(told.message),
          .reason = told.reason};
}

std::string_view Desk::agent(std::span<const schedule::Header> headers) const {
  const auto& agents = setup().agents;
  if (agents.empty()) return {};
  return schedule::session_of(agents, {.headers = headers});
}

std::variant<Placed, Refusal> Desk::read(const Asked& asked, std::string& body) {
  Placed placed;
  placed.priority = deps_.rules.priority(asked.objective);
  Said said;
  if (asked.body_known) {
    const auto reader = claim(deps_.pool.setup().parsers, asked.path);
    if (!reader) return bad_request(std::string(reader.error().message()));
    placed.skip_response = reader->skips_response;
    if (auto refused = read_body(*reader, body, placed, said)) return *std::move(refused);
  }
  if (auto refused = name_target(asked, said.rewritable, placed)) return *std::move(refused);
  if (placed.api && placed.prompt_bytes > 0) {
    placed.chain = deps_.pool.chain(placed.target, placed.salt);
    if (placed.chain) placed.chain->append(said.text);
    if (deps_.pool.precise() != nullptr) placed.ids = ids_of(said.text, placed.prompt_tokens);
  }
  if (said.transfer_params) {
    const auto removed = pick::remove_transfer_params(body);
    if (!removed) return bad_request(std::string(removed.error().message()));
    deps_.metrics.transfer_params_removed();
    placed.body_changed = true;
  }
  if (said.rewritable && placed.target != placed.model) {
    const auto replaced = replace_model(body, placed.target);
    if (!replaced) return bad_request(std::string(replaced.error().message()));
    placed.body_changed = true;
  }
  placed.series =
      &deps_.metrics.series(placed.model, placed.target, asked.fairness, placed.priority);
  return placed;
}

std::optional<Refusal> Desk::read_body(const Claim& claim, std::string& body, Placed& placed,
                                       Said& said) {
  placed.api = claim.api;
  if (!claim.api) return std::nullopt;
  if (claim.wrapping == Wrapping::kNone) {
    said.rewritable = *claim.api != openai::Api::kSglang;
    return read_json(*claim.api, body, placed, said);
  }
  const auto message = unframed(body);
  if (!message) return bad_request(std::string(message.error().message()));
  if (claim.wrapping == Wrapping::kVllmGrpc) return read_grpc(*message, placed, said);
  const auto json = vertex_json(*message);
  if (!json) return bad_request(std::string(json.error().message()));
  text_ = *json;
  if (auto refused = read_json(*claim.api, text_, placed, said)) return refused;
  if (!said.transfer_params) return std::nullopt;
  return bad_request(std::string(kNoClients));
}

std::optional<Refusal> Desk::read_json(openai::Api api, std::string& json, Placed& placed,
                                       Said& said) {
  auto prompt =
      reader_.read(json, api, setup().media ? openai::Media::kList : openai::Media::kPass);
  if (!prompt) {
    return bad_request("error unmarshaling request bodyMap: " + prompt.error().message());
  }
  if (!prompt->valid) return bad_request(std::string(demand(api)));
  placed.model = std::move(prompt->model);
  placed.stream = prompt->stream;
  placed.multimodal = prompt->multimodal;
  auto media = std::vector(prompt->media.begin(), prompt->media.end());
  std::ranges::sort(media, {}, &openai::MediaItem::hash);
  const auto twice = std::ranges::unique(media, {}, &openai::MediaItem::hash);
  media.erase(twice.begin(), twice.end());
  for (const auto& item : media) {
    placed.media.push_back(item.hash);
    placed.media_kinds.push_back(item.kind);
  }
  placed.prompt_bytes = prompt->text.size();
  placed.prompt_tokens = prompt->tokens;
  placed.most_tokens = prompt->most_tokens;
  said.text = prompt->text;
  placed.salt = std::move(prompt->cache_salt);
  said.transfer_params = prompt->has_transfer_params;
  return std::nullopt;
}

std::optional<Refusal> Desk::read_grpc(std::string_view message, Placed& placed, Said& said) {
  const auto prompt = vllm_grpc_prompt(message);
  if (!prompt) return bad_request(std::string(prompt.error().message()));
  text_ = prompt->text;
  for (const auto id : prompt->ids) {
    for (unsigned shift = 0; shift < 32; shift += 8) text_ += static_cast<char>(id >> shift);
  }
  placed.stream = prompt->stream;
  placed.prompt_bytes = text_.size();
  placed.prompt_tokens = prompt->ids.size();
  said.text = text_;
  return std::nullopt;
}

// A rule's target, else the one that the client asks for, else the model.
std::optional<Refusal> Desk::name_target(const Asked& asked, bool rewritable, Placed& placed) {
  placed.target = placed.model;
  if (!rewritable) return std::nullopt;
  if (auto rule = deps_.rules.rewrite(placed.model, random_)) {
    placed.target = std::move(rule->model);
    deps_.metrics.rewritten(rule->by, placed.model, placed.target);
  } else if (placed.model.empty()) {
    return bad_request("model not found in request body");
  } else if (!asked.model_rewrite.empty()) {
    placed.target = asked.model_rewrite;
  }
  return std::nullopt;
}

bool Desk::keys(const Placed& placed) const {
  return deps_.pool.precise() != nullptr && placed.api && placed.prompt_bytes > 0;
}

std::optional<RenderAsk> Desk::render(const Placed& placed, std::string_view body) const {
  const auto& server = setup().precise->render;
  if (!server || !placed.ids.empty() || placed.multimodal) return std::nullopt;
  RenderAsk out{.path = {}, .body = std::string(body), .traceparent = {}};
  if (placed.api == openai::Api::kChat) out.path = "/v1/chat/completions/render";
  if (placed.api == openai::Api::kCompletion) out.path = "/v1/completions/render";
  if (out.path.empty()) return std::nullopt;
  if (!replace_model(out.body, server->model)) return std::nullopt;
  return out;
}

std::optional<pick::KeyedPrompt> Desk::key(const Placed& placed, std::string_view body) const {
  std::span<const std::uint32_t> ids = placed.ids;
  std::vector<std::uint32_t> made;
  if (!placed.rendered.empty()) {
    if (auto tokens = rendered_tokens(placed.rendered)) {
      made = *std::move(tokens);
      ids = made;
    } else {
      log::debug("a rendered prompt cannot be used", {{"why", tokens.error().message()}});
    }
  }
  return deps_.pool.precise()->read(
      {.api = *placed.api, .body = body, .model = placed.target, .salt = placed.salt, .ids = ids});
}

bool Desk::queues() const { return deps_.gate.queues(); }

std::optional<Refusal> Desk::may_enter(const Asked& asked, const Placed& placed) {
  if (!deps_.gate.queues() && !deps_.gate.admits(placed.priority)) {
    return Refusal{.status = 429,
                   .code = "ResourceExhausted",
                   .message = "system saturated, sheddable request dropped"};
  }
  const bool meets =
      !deps_.pool.setup().slo_admitter || deps_.pool.admits(ask_of(asked, placed), asked.slo);
  if (!meets) {
    return Refusal{.status = 500,
                   .code = "Internal",
                   .message =
                       "request cannot be admitted: no valid endpoint available to serve "
                       "the request: nobody is predicted to be as fast as it asks for"};
  }
  if (deps_.pool.admits(placed.priority, now(), random_)) return std::nullopt;
  return Refusal{.status = 500,
                 .code = "Internal",
                 .message = "request cannot be admitted: the pool is too full for its priority"};
}

std::optional<Refusal> Desk::pick(const Asked& asked, Placed& placed) {
  if (auto refused = may_enter(asked, placed)) return refused;
  if (auto refused = ask_pool(asked, placed)) return refused;
  if (asked.only_if_cached && placed.picked.matched == 0) {
    placed.picked = {};
    return Refusal{.status = 412,
                   .code = "PreconditionFailed",
                   .message = "no endpoint holds a prefix of the prompt"};
  }
  schedule::Snapshot snapshot;
  snapshot.endpoints = placed.picked.endpoints;
  auto headers = schedule::routing_headers(decision_, snapshot);
  placed.headers = std::move(headers.set);
  for (const auto& each : headers.destinations) {
    if (!placed.destination.empty()) placed.destination += ',';
    placed.destination += each;
  }
  sign_route(asked, placed);
  if (config_.emit_scores) placed.scores = scores_of(decision_, *snapshot.endpoints);
  deps_.metrics.staged(placed.model, decision_.stages());
  count_matches(placed);
  return std::nullopt;
}

// What prompts' own indexes knew; of what engines tell the follower counts.
void Desk::count_matches(const Placed& placed) const {
  if (!placed.chain) return;
  const auto& views = setup().views;
  const auto block = placed.chain->block_bytes();
  for (std::size_t v = 0; v < views.size(); ++v) {
    if (views[v].precise && placed.keyed) continue;
    const auto held = v == 0 ? placed.picked.matched : placed.picked.matched_elsewhere[v - 1];
    const auto of =
        std::min(placed.chain->blocks().size(), setup().indexes[views[v].index].max_blocks);
    deps_.metrics.matched(v, held * block, of * block);
  }
}

pick::ServicePool::Ask Desk::ask_of(const Asked& asked, const Placed& placed) const {
  return {.chain = placed.chain ? &*placed.chain : nullptr,
          .keyed = placed.keyed ? &*placed.keyed : nullptr,
          .prompt_bytes = placed.prompt_bytes,
          .prompt_tokens = placed.prompt_tokens,
          .most_tokens = placed.most_tokens,
          .model = placed.target,
          .headers = asked.headers,
          .priority = placed.priority,
          .multimodal = placed.multimodal,
          .predictions = placed.latency ? &placed.latency->predictions : nullptr,
          .media = placed.media};
}

std::span<const schedule::LatencyRow> Desk::survey(const Asked& asked, Placed& placed) {
  if (deps_.latency == nullptr || !placed.api) return {};
  placed.latency = deps_.latency->survey(ask_of(asked, placed), asked.slo);
  if (!deps_.latency->predicts()) return {};
  return placed.latency->survey.rows;
}

void Desk::predicted(Placed& placed, const std::optional<std::vector<schedule::Latencies>>& made) {
  if (!made) return;
  const auto& series = *placed.series;
  deps_.latency->predicted(*placed.latency, *made, {series.model, series.target});
}

void Desk::piece(Placed& placed) {
  if (placed.latency) deps_.latency->piece(*placed.latency);
}

void Desk::whole(Placed& placed, std::optional<std::uint64_t> completion_tokens) {
  if (!placed.latency) return;
  const auto& series = *placed.series;
  deps_.latency->whole(*placed.latency, completion_tokens, {series.model, series.target});
}

// Sidecars that share the key dial nothing else.
void Desk::sign_route(const Asked& asked, Placed& placed) {
  if (!ticket_key_) return;
  ticket::Routed routed{};
  for (const auto& [name, value] : placed.headers) {
    if (name == schedule::kPrefillHeader) routed.prefillers = value;
    if (name == schedule::kEncodeHeader) routed.encoders = value;
  }
  if (routed.prefillers.empty() && routed.encoders.empty()) return;
  placed.headers.emplace_back(
      ticket::kHeader,
      ticket::issue(ticket_key_->key(now()),
                    {.request_id = asked.request_id, .endpoints = ticket::endpoints_text(routed)},
                    deps_.clock.wall(), ids_));
}

std::optional<Refusal> Desk::ask_pool(const Asked& asked, Placed& placed) {
  const auto started = now();
  const bool recorded = deps_.recorder.wanted();
  auto ask = ask_of(asked, placed);
  ask.decision = &decision_;
  decision_.laps = timed_.next(started);
  ask.record = recorded ? &record_ : nullptr;
  auto picked =
      deps_.pool.pick(ask, config_.subset_hints ? asked.subset : nullptr, started, random_);
  const auto took = now() - started;
  if (decision_.laps != nullptr) timed_.over(deps_.metrics.plugin_times());
  deps_.metrics.decided(took, placed.target, picked ? &picked->route.decode : nullptr);
  if (picked) {
    placed.picked = *std::move(picked);
    if (!placed.media.empty()) {
      const auto& endpoints = *placed.picked.endpoints;
      const auto at = decision_.encode.empty() ? decision_.primary : decision_.encode.front();
      deps_.metrics.encoded(placed.media_kinds, placed.picked.media_held, endpoints[at].id());
    }
    if (placed.latency) deps_.latency->picked(*placed.latency, placed.picked.route);
    if (!recorded) return std::nullopt;
    record_.id = asked.request_id;
    record_.at = deps_.clock.wall();
    record_.took = took;
    const bool hashed = placed.chain && !placed.chain->blocks().empty();
    record_.prompt_hash = hashed ? placed.chain->blocks().back() : 0;
    deps_.recorder.add(record_);
    return std::nullopt;
  }
  if (picked.error().code() == Code::kNotFound) {
    return Refusal{.status = 503,
                   .code = "ServiceUnavailable",
                   .message = "failed to find endpoint candidates for serving the request",
                   .reason = "rejected-no-endpoints"};
  }
  if (picked.error().code() == Code::kInvalid) {
    return bad_request(std::string(picked.error().message()));
  }
  log::debug("no endpoint passed the filters", {{"why", picked.error().message()}});
  return Refusal{.status = 429,
                 .code = "ResourceExhausted",
                 .message = "no endpoints available for the given request",
                 .reason = "rejected-saturated"};
}

std::variant<std::string, Refusal> Desk::place_any() {
  const auto snapshot = deps_.pool.snapshot();
  if (snapshot.size() == 0) {
    return Refusal{.status = 500, .code = "Internal", .message = "no pods available in datastore"};
  }
  return address((*snapshot.endpoints)[random_.below(snapshot.size())]);
}

Result<bool> Desk::clean(std::string_view path, std::string& body) {
  const auto reader = claim(deps_.pool.setup().parsers, path);
  if (body.empty() || !reader || !reader->api) return false;
  if (reader->wrapping == Wrapping::kVllmGrpc) return false;
  const bool wrapped = reader->wrapping == Wrapping::kVertex;
  if (wrapped) {
    BATON_TRY_ASSIGN(const auto message, unframed(body));
    BATON_TRY_ASSIGN(text_, vertex_json(message));
  }
  BATON_TRY_ASSIGN(const auto prompt, reader_.read(wrapped ? text_ : body, *reader->api));
  if (!prompt.has_transfer_params) return false;
  if (wrapped) return invalid(std::string(kNoClients));
  BATON_TRY(pick::remove_transfer_params(body));
  deps_.metrics.transfer_params_removed();
  return true;
}

void Desk::answered(Placed& placed, bool prefilled) {
  auto& route = placed.picked.route;
  placed.picked.prefill.release();
  if (!placed.chain) return;
  deps_.pool.remember(route.decode, placed.chain->blocks(), 0,
                      prefilled && route.prefill ? &*route.prefill : nullptr);
}

void Desk::learned(const Placed& placed, std::span<const std::uint64_t> blocks) {
  if (blocks.empty()) return;
  const auto chain = placed.chain->blocks();
  deps_.pool.remember(placed.picked.route.decode, chain, chain.size() - blocks.size());
}

void Desk::served(const Placed& placed, std::string_view fairness, std::uint64_t prompt_tokens,
                  std::uint64_t completion_tokens) {
  if (!deps_.gate.queues()) return;
  deps_.gate.served(placed.priority, fairness, prompt_tokens, completion_tokens);
}

void Desk::evicted(const Placed& placed, const std::string& request_id,
                   const schedule::Demand& demand) {
  log::info(
      "a running request was ended for a better one that waits: send it again when there is "
      "less to do, or give its objective a priority of 0 or more",
      {{"request_id", request_id},
       {"priority", placed.priority},
       {"for_priority", demand.priority},
       {"saturation", demand.saturation},
       {"ceiling", demand.ceiling},
       {"pod", placed.picked.route.decode.name}});
  deps_.recorder.evicted(request_id, demand);
}

void Desk::reported(const Placed& placed, std::optional<std::uint64_t> cached_tokens) {
  auto* precise = deps_.pool.precise();
  if (precise == nullptr || !placed.picked.predicted) return;
  precise->reported(*placed.picked.predicted, cached_tokens);
}

}  // namespace baton::epp
