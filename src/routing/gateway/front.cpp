#include "routing/gateway/front.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ranges>

#include "base/async/task_group.hpp"
#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "formats/openai/decoded_path.hpp"
#include "formats/openai/error_body.hpp"
#include "net/http/time_limit.hpp"
#include "net/http/trace_headers.hpp"
#include "routing/gateway/api_keys.hpp"
#include "routing/pick/learner.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::gateway {
namespace {

constexpr std::string_view kRetryAfter = "1";  // seconds; pods come back within that
constexpr std::string_view kJson = "application/json";
constexpr std::string_view kRequestId = "x-request-id";

int status_of(http::Failure::Kind kind) {
  switch (kind) {
    case http::Failure::Kind::kRefused:
      return 503;
    case http::Failure::Kind::kTimeout:
      return 504;
    case http::Failure::Kind::kLost:
    case http::Failure::Kind::kMalformed:
      return 502;
  }
  return 502;
}

std::optional<openai::Api> api_of(std::string_view path) {
  if (path == "/v1/chat/completions") return openai::Api::kChat;
  if (path == "/v1/completions") return openai::Api::kCompletion;
  if (path == "/v1/messages") return openai::Api::kMessages;
  if (path == "/v1/responses") return openai::Api::kResponses;
  if (path == "/inference/v1/generate") return openai::Api::kGenerate;
  return std::nullopt;
}

bool is_page(std::string_view path) { return path == "/ui" || path.starts_with("/ui/"); }

void count(const ServicePool::Picked& picked, const http::ResponseHead& head) {
  ++picked.decode_tally->requests;
  picked.decode_tally->kv_bytes += count_in(head.headers, "x-baton-kv-bytes");
  if (picked.prefill_tally != nullptr && pick::used_prefill(head.headers.get("x-baton-prefill"))) {
    ++picked.prefill_tally->requests;
  }
}

// A client that is gone needs no answer.
Task<void> reply(http::Exchange& exchange, http::ResponseHead head, std::string_view body) {
  const auto sent = co_await exchange.respond(std::move(head), body);
  if (!sent) log::debug("the answer could not be sent", {{"why", sent.error().message()}});
}

}  // namespace

struct Front::Work {
  http::Exchange& exchange;
  openai::Api api;
  Place place;
  int& status;
  Deadline deadline;
  std::string request_id;
  observe::Span span;
  CardKeeper card;

  bool whole = false;  // the answer went out to its end
  std::string body = {};
  std::shared_ptr<ServicePool> pool = {};
  std::optional<index::PrefixChain> chain = {};
  std::size_t prompt_bytes = 0;
  Nanos reading = {};  // spent on the prompt
  ServicePool::Picked picked = {};
  Outgoing out = {};
};

Front::Front(Deps deps, const Config& config)
    : deps_(deps),
      config_(config),
      talk_(deps.client, deps.clock, deps.tasks),
      ties_(deps.random.next()),
      created_(
          std::chrono::duration_cast<std::chrono::seconds>(deps.clock.wall().time_since_epoch())
              .count()) {}

void Front::serve(const Services& services) {
  services_ = services;
  models_.clear();
  for (const auto& [key, pool] : services) {
    for (const auto& model : pool->service().models) {
      if (models_.try_emplace(model, pool).second) continue;
      if (!contested_.emplace(model, key.first + "/" + key.second).second) continue;
      log::warn("two services answer to one model name, the first is served",
                {{"model", model}, {"left_out", key.first + "/" + key.second}});
    }
  }
}

Task<void> Front::handle(http::Exchange& exchange) {
  int status = 0;
  try {
    co_await dispatch(exchange, status);
  } catch (...) {
    if (async::is_cancellation(std::current_exception())) deps_.probe.client_gone();
    throw;
  }
  ++requests_;
  if (status >= 400) ++failures_;
  deps_.probe.answered(status, deps_.clock.now() - exchange.arrived());
}

bool Front::may(const http::Exchange& exchange) const {
  if (config_.api_keys.empty()) return true;
  const auto given = exchange.head().headers.get("authorization");
  return given && authorized(*given, config_.api_keys);
}

Front::Place Front::locate(std::string_view path) const {
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  if (path.starts_with("/v1/") || path.starts_with("/inference/")) return {path, nullptr};
  for (const auto& [key, pool] : services_) {
    const auto prefix = fmt::format("/{}/{}/", key.first, key.second);
    if (path.starts_with(prefix)) return {path.substr(prefix.size() - 1), pool};
    for (const auto& [model, served_by] : models_) {
      const auto published = fmt::format("/publishers/{}/models/{}/", key.first, model);
      if (served_by == pool && path.starts_with(published)) {
        return {path.substr(published.size() - 1), pool};
      }
    }
  }
  return {path, nullptr};
}

Task<void> Front::dispatch(http::Exchange& exchange, int& status) {
  const auto& head = exchange.head();
  const auto place = locate(head.path());
  const bool get = head.method == "GET" || head.method == "HEAD";
  const auto only = [&](std::string_view method) {
    return refuse(exchange, {405, fmt::format("use {}", method)}, status);
  };
  if (place.path == "/health" || place.path == "/metrics") {
    if (!get) co_return co_await only("GET");
    status = 200;
    if (place.path == "/health") co_return co_await reply(exchange, {200, {}}, "");
    const auto text = deps_.registry.expose();
    co_await reply(exchange, {200, {{"content-type", "text/plain; version=0.0.4"}}}, text);
  } else if (config_.page == Page::kOn && is_page(place.path)) {
    if (!get) co_return co_await only("GET");
    co_await show_page(exchange, place.path, status);
  } else if (!may(exchange)) {
    co_await refuse(exchange, {401, "the API key is missing or wrong"}, status);
  } else if (place.path == "/v1/models" || place.path.starts_with("/v1/models/")) {
    if (get) {
      co_await list_models(exchange, place, status);
    } else {
      co_await only("GET");
    }
  } else if (const auto api = api_of(place.path)) {
    if (head.method == "POST") {
      co_await infer(exchange, *api, place, status);
    } else {
      co_await only("POST");
    }
  } else {
    co_await refuse(exchange,
                    {404, fmt::format("no such path: {}; there are /v1/chat/completions, "
                                      "/v1/completions, /v1/responses, /v1/messages, "
                                      "/inference/v1/generate, /v1/models, /health, /metrics",
                                      head.path())},
                    status);
  }
}

Task<void> Front::refuse(http::Exchange& exchange, Problem problem, int& status) {
  status = problem.status;
  http::ResponseHead head{problem.status, {{"content-type", std::string(kJson)}}};
  if (const auto id = exchange.head().headers.get(kRequestId)) head.headers.set(kRequestId, *id);
  if (config_.proof_headers == ProofHeaders::kOn) {
    head.headers.set("x-baton-error-hop", problem.hop);
  }
  if (problem.status == 503) head.headers.set("retry-after", kRetryAfter);
  if (problem.status == 401) head.headers.set("www-authenticate", "Bearer");
  const auto body = openai::to_json(openai::error_body(problem.status, problem.message));
  co_await reply(exchange, std::move(head), body);
}

std::vector<std::string> Front::models_at(const Place& place) const {
  if (place.service) return place.service->service().models;
  const auto all = std::views::keys(models_);
  return {all.begin(), all.end()};
}

Task<void> Front::list_models(http::Exchange& exchange, const Place& place, int& status) {
  using text::json::Value;
  const auto describe = [&](const std::string& id) {
    Value model;
    model["id"] = id;
    model["object"] = "model";
    model["created"] = created_;
    model["owned_by"] = "baton";
    return model;
  };
  Value answer;
  constexpr std::string_view kOne = "/v1/models/";
  const auto served = models_at(place);
  if (place.path.starts_with(kOne)) {
    std::string room;
    const std::string id(openai::decoded_path(place.path.substr(kOne.size()), room));
    if (std::ranges::find(served, id) == served.end())
      co_return co_await refuse(exchange, {404, unknown_model(id, place)}, status);
    answer = describe(id);
  } else {
    answer["object"] = "list";
    answer["data"] = text::json::Array{};
    for (const auto& model : served) answer["data"].push_back(describe(model));
  }
  status = 200;
  const auto body = text::json::dump(answer);
  co_await reply(exchange, {200, {{"content-type", std::string(kJson)}}}, body);
}

std::string Front::unknown_model(std::string_view model, const Place& place) const {
  auto served = fmt::to_string(fmt::join(models_at(place), ", "));
  if (served.empty()) served = "none yet";
  return model.empty() ? fmt::format("the request names no model; served: {}", served)
                       : fmt::format("the model '{}' is not served; served: {}", model, served);
}

Task<void> Front::infer(http::Exchange& exchange, openai::Api api, Place place, int& status) {
  const Probe::InFlight in_flight(deps_.probe);  // pages that others look at are no work
  const auto given = exchange.head().headers.get(kRequestId);
  const auto id = given && !given->empty() ? std::string(*given) : uuid4(deps_.random);
  const auto limit =
      http::time_limit(exchange.head().headers, http::kClientLimit, config_.request_timeout);
  if (!limit) co_return co_await refuse(exchange, {400, limit.error().message()}, status);
  Work work{
      .exchange = exchange,
      .api = api,
      .place = std::move(place),
      .status = status,
      .deadline = {exchange.arrived() + limit->value_or(config_.request_timeout)},
      .request_id = id,
      .span = http::start_span(deps_.tracer, "gateway.request", exchange.head().headers,
                               exchange.arrived()),
      .card = open_card(exchange, id),
  };
  co_await answer(work);
  if (work.whole || status / 100 != 2) work.card.finish(status);
  work.span.set("http.response.status_code", status);
  if (status >= 500) work.span.fail(http::reason(status));
}

Task<void> Front::answer(Work& work) {
  const bool readable = co_await read(work);
  if (!readable) co_return;
  const auto& head = work.exchange.head();
  const auto authorization = config_.api_keys.empty() ? Authorization::kPass : Authorization::kDrop;
  const auto query = head.target.substr(head.path().size());
  work.out =
      outgoing_head(head, std::string(work.place.path) + query, work.request_id, authorization);
  http::pass_on(work.span, work.out.head.headers);
  work.span.set("gen_ai.request.id", work.request_id);
  if (work.out.removed > 0) deps_.probe.headers_removed(work.out.removed);
  const bool found = co_await pick(work, std::nullopt);
  if (!found) co_return;
  auto response = co_await send(work);
  if (!response) co_return;
  co_await relay(work, std::move(*response));
}

// Body, model, prompt.
Task<bool> Front::read(Work& work) {
  if (const auto problem = http::content_coding_problem(work.exchange.head().headers)) {
    co_await refuse(work.exchange, {415, *problem}, work.status);
    co_return false;
  }
  auto body = co_await work.exchange.read_body(config_.body_bytes);
  if (!body) {
    const int code = http::body_error_status(body.error());
    co_await refuse(work.exchange, {code, body.error().message()}, work.status);
    co_return false;
  }
  work.body = *std::move(body);
  const auto started = deps_.clock.now();
  auto prompt = reader_.read(work.body, work.api);
  const bool cleaned = prompt && prompt->has_transfer_params;
  const auto removed = cleaned ? pick::remove_transfer_params(work.body) : Status();
  if (!removed) prompt = removed.error();
  if (!prompt) {
    co_await refuse(work.exchange, {400, prompt.error().message()}, work.status);
    co_return false;
  }
  work.pool = work.place.service;
  if (work.pool == nullptr) {
    const auto it = prompt->model.empty() && models_.size() == 1 ? models_.begin()
                                                                 : models_.find(prompt->model);
    if (models_.empty()) {
      co_await refuse(work.exchange, {503, "no service is known yet"}, work.status);
      co_return false;
    }
    if (it == models_.end()) {
      const int code = prompt->model.empty() ? 400 : 404;
      co_await refuse(work.exchange, {code, unknown_model(prompt->model, work.place)}, work.status);
      co_return false;
    }
    work.pool = it->second;
  }
  work.prompt_bytes = prompt->text.size();
  if (work.card) {
    const auto& service = work.pool->service();
    work.card->service = service.ns + "/" + service.name;
    work.card->model = openai::legible(prompt->model);
  }
  work.span.set("gen_ai.request.model", prompt->model);
  work.chain = work.pool->chain(prompt->model, prompt->cache_salt);
  if (work.chain) work.chain->append(prompt->text);
  if (cleaned) deps_.probe.transfer_params_removed();
  work.reading = deps_.clock.now() - started;
  co_return true;
}

Task<bool> Front::pick_again(Work& work, schedule::Endpoint refused) {
  deps_.probe.retried();
  co_return co_await pick(work, std::move(refused));
}

Task<bool> Front::pick(Work& work, std::optional<schedule::Endpoint> refused) {
  auto span = work.span.child("gateway.request_orchestration");
  const auto started = deps_.clock.now();
  std::unique_ptr<schedule::Record> record;
  if (work.card) record = std::make_unique<schedule::Record>();
  std::vector<std::string> names;
  std::vector<schedule::Header> headers;
  if (work.pool->broken() == std::nullopt && work.pool->setup().reads_headers) {
    headers = pick_headers(work.exchange.head().headers, names);
  }
  auto picked = work.pool->pick({.chain = work.chain ? &*work.chain : nullptr,
                                 .prompt_bytes = work.prompt_bytes,
                                 .refused = refused,
                                 .headers = headers,
                                 .record = record.get()},
                                started, ties_);
  if (!picked) {
    span.fail(picked.error().message());
    if (refused) co_return false;  // the refusal itself is the better message
    const auto& service = work.pool->service();
    const int status = picked.error().code() == Code::kInvalid ? 400 : 503;
    co_await refuse(
        work.exchange,
        {status, fmt::format("{} ({}/{})", picked.error().message(), service.ns, service.name)},
        work.status);
    co_return false;
  }
  work.picked = *std::move(picked);
  if (work.card) {
    record->id = work.request_id;
    record->at = deps_.clock.wall();
    work.card->picked(work.picked.route);
    work.card->decided_by = work.pool;
    work.card->record = std::move(record);
  }
  if (span) {
    const auto& route = work.picked.route;
    span.set("baton.decode", describe(route.decode));
    span.set("baton.prefill", route.prefill ? describe(*route.prefill) : "none");
  }
  work.picked.route.pick = work.reading + (deps_.clock.now() - started);
  deps_.probe.picked(work.picked.route.pick);
  deps_.probe.decided(work.picked.route.prefill.has_value());
  route_request(work.out.head, work.picked.route);
  sign_route(work);
  co_return true;
}

// A ticket is good once: a second route has its own.
void Front::sign_route(Work& work) {
  auto& headers = work.out.head.headers;
  headers.remove(ticket::kHeader);
  const auto prefillers = headers.get(schedule::kPrefillHeader);
  if (!prefillers) return;
  std::string_view key = work.pool->service().routing_key;
  if (config_.ticket_key) key = config_.ticket_key->key(deps_.clock.now());
  if (key.empty()) return;
  headers.set(ticket::kHeader,
              ticket::issue(key,
                            {.request_id = work.request_id,
                             .endpoints = ticket::endpoints_text({.prefillers = *prefillers})},
                            deps_.clock.wall(), deps_.random));
}

// The sidecar reached no engine: nothing was generated, another pod may answer.
bool engine_refused(const http::ResponseHead& head) {
  return head.status == 503 && head.headers.get("x-baton-error-hop") == "decode";
}

// The pod's sidecar divides between its legs what is left.
void Front::tell_limits(Work& work) {
  const Deadline ours{work.exchange.arrived() + config_.request_timeout};
  const auto now = deps_.clock.now();
  auto& headers = work.out.head.headers;
  http::set_time_limit(headers, http::kRouteLimit, ours.left(now));
  if (work.deadline.at < ours.at) {
    http::set_time_limit(headers, http::kClientLimit, work.deadline.left(now));
  }
}

// The upstream's answer; when a pod or its engine takes no connection, from a second pod.
Task<std::optional<http::Response>> Front::send(Work& work) {
  for (int attempt = 0;; ++attempt) {
    const auto to = work.picked.route.decode;
    const std::array<std::string_view, 1> body = {work.body};
    tell_limits(work);
    auto sent = co_await deps_.client.send(address(to), work.out.head, body, work.deadline);
    if (sent) {
      if (attempt > 0 || !engine_refused(sent->head())) co_return std::move(*sent);
      const bool found = co_await pick_again(work, to);
      if (!found) co_return std::move(*sent);
      continue;
    }
    const auto failure = sent.error();
    if (failure.kind == http::Failure::Kind::kRefused && attempt == 0) {
      const bool found = co_await pick_again(work, to);
      if (found) continue;
    }
    co_await refuse(
        work.exchange,
        {status_of(failure.kind),
         fmt::format("decode pod {}: {}", describe(to), failure.error.message()), "decode"},
        work.status);
    co_return std::nullopt;
  }
}

Task<void> Front::relay(Work& work, http::Response response) {
  auto& exchange = work.exchange;
  const auto& route = work.picked.route;
  const bool good = response.head().status / 100 == 2;
  work.status = response.head().status;
  work.picked.prefill.release();
  work.picked.decode.release_tokens();  // the prompt is computed
  deps_.probe.first_byte(deps_.clock.now() - exchange.arrived());
  count(work.picked, response.head());
  if (work.card) work.card->answered(response.head(), deps_.clock.now());
  std::optional<pick::Learner> learner;
  const auto learn = [&](pick::Learner::Learned news) {
    work.picked.decode_tally->tokens += news.tokens;
    if (work.card) work.card->tokens += news.tokens;
    if (news.blocks.empty()) return;
    const auto chain = work.chain->blocks();
    work.pool->remember(route.decode, chain, chain.size() - news.blocks.size());
  };
  if (good) {
    const auto& told = response.head().headers;
    const bool prefilled = route.prefill && pick::used_prefill(told.get("x-baton-prefill"));
    if (work.chain) {
      work.pool->remember(route.decode, work.chain->blocks(), 0,
                          prefilled ? &*route.prefill : nullptr);
    }
    learner.emplace(work.api, pick::answer_form(told.get("content-type")),
                    work.chain ? &*work.chain : nullptr);
  }
  auto head = incoming_head(response.take_head(), route, config_.proof_headers);
  if (!config_.stand_in.empty()) head.headers.set("x-baton-stand-in", config_.stand_in);
  if (!head.headers.has(kRequestId)) head.headers.set(kRequestId, work.request_id);
  for (const auto& [name, value] : work.picked.answer_headers) head.headers.set(name, value);
  const auto begun = co_await exchange.start(std::move(head));
  if (!begun) co_return;
  for (;;) {
    const auto piece = co_await response.read_some(work.deadline);
    if (!piece) {
      deps_.probe.broken();
      work.card.finish(502);
      co_return;  // without finish(): the client sees the break
    }
    if (piece->empty()) break;
    // Before the write: the client may send its next turn as soon as it has the last piece.
    if (learner) learn(learner->feed(*piece));
    const auto written = co_await exchange.write(*piece);
    if (!written) co_return;
  }
  if (learner) learn(learner->finish());
  const auto finished = co_await exchange.finish();
  work.whole = finished.has_value();
}

}  // namespace baton::gateway
