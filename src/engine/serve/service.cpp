#include "engine/serve/service.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <list>

#include "base/async/cpu_pool.hpp"
#include "base/core/log.hpp"
#include "engine/serve/generation.hpp"
#include "engine/serve/request_head.hpp"
#include "net/tls/hmac.hpp"

namespace baton::serve {
namespace {

using http::Exchange;
using openai::ErrorBody;
using text::json::Object;
using text::json::Value;

// Tokenizing this many bytes takes about 0.2 ms; longer bodies go to the CPU pool.
constexpr std::size_t kInlineBody = 2048;

std::tm local_time(Wall wall) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(wall);
  std::tm out{};
  ::localtime_r(&seconds, &out);
  return out;
}

std::int64_t unix_seconds(Wall wall) {
  return std::chrono::duration_cast<std::chrono::seconds>(wall.time_since_epoch()).count();
}

bool is_json(std::string_view content_type) {
  const std::string_view media = content_type.substr(0, content_type.find(';'));
  return http::equal_names(media.substr(0, media.find_last_not_of(' ') + 1), "application/json");
}

// A request that is being answered; both outlive it.
struct Live {
  const std::string& id;
  const Generation& generation;
};

}  // namespace

struct Service::Impl {
  Impl(ServiceConfig c, Deps d)
      : config(std::move(c)),
        engine(std::move(d.engine)),
        model(std::move(d.model)),
        clock(d.clock),
        random(d.random),
        loop("engine-http"),
        pool({.threads = config.cpu_threads, .queue = 1024}),
        room(loop, clock, *engine),
        probe(engine->config(), {model.names.front(), config.kv_dtype}),
        around{room, model, probe, config.prompt_tokens_details, config.force_usage, d.tracer},
        exporter(d.exporter),
        started(unix_seconds(clock.wall())),
        server(loop, clock, {config.limits, "baton", config.tls, &probe.registry()},
               [this](Exchange& x) { return handle(x); }) {
    if (config.seed) seeds.emplace(*config.seed);
  }

  struct Route {
    std::string_view method, path;
    Task<void> (Impl::*handler)(Exchange&);
  };
  static std::span<const Route> routes();

  Task<void> handle(Exchange& x);
  Task<void> health(Exchange& x);
  Task<void> version(Exchange& x);
  Task<void> metrics(Exchange& x);
  Task<void> load(Exchange& x);
  Task<void> models(Exchange& x);
  Task<void> chat(Exchange& x) { return generate(x, openai::Endpoint::kChat); }
  Task<void> completions(Exchange& x) { return generate(x, openai::Endpoint::kCompletions); }
  Task<void> generate_ids(Exchange& x) { return generate(x, openai::Endpoint::kGenerate); }
  Task<void> messages(Exchange& x) { return generate(x, openai::Endpoint::kMessages); }
  Task<void> responses(Exchange& x) { return generate(x, openai::Endpoint::kResponses); }
  Task<void> tokenize_text(Exchange& x) { return compute(x, Computation::kTokenize); }
  Task<void> detokenize_ids(Exchange& x) { return compute(x, Computation::kDetokenize); }
  Task<void> count_tokens(Exchange& x) { return compute(x, Computation::kCount); }
  Task<void> render_chat(Exchange& x) { return compute(x, Computation::kRenderChat); }
  Task<void> render_text(Exchange& x) { return compute(x, Computation::kRenderText); }
  Task<void> release(Exchange& x);
  Task<void> live_requests(Exchange& x);

  Task<void> generate(Exchange& x, openai::Endpoint endpoint);
  // What needs the tokenizer, not the model.
  enum class Computation : std::uint8_t {
    kTokenize,
    kDetokenize,
    kCount,
    kRenderChat,
    kRenderText
  };
  Task<void> compute(Exchange& x, Computation what);
  openai::Decoded<std::string> computed(Computation what, std::string_view body) const;
  // The body, or nullopt after it was refused.
  Task<std::optional<std::string>> body(Exchange& x,
                                        openai::Endpoint form = openai::Endpoint::kChat);
  template <class F>
  Task<std::invoke_result_t<F&>> off_loop(std::size_t bytes, F work);
  Task<void> send(Exchange& x, int status, std::string_view type, std::string text);
  Task<void> refuse(Exchange& x, const ErrorBody& error,
                    openai::Endpoint form = openai::Endpoint::kChat) {
    return send(x, error.status, "application/json", openai::error_text(form, error));
  }
  bool authorized(const Exchange& x) const;
  std::optional<openai::ErrorBody> check_rank(const Exchange& x) const;

  ServiceConfig config;
  std::unique_ptr<runtime::Engine> engine;
  ServedModel model;
  const Clock& clock;
  Random& random;
  std::optional<SeededRandom> seeds;
  async::Loop loop;
  async::CpuPool pool;
  Mailroom room;
  Probe probe;
  Surroundings around;
  const observe::Registry* exporter;
  std::int64_t started;
  std::size_t answering = 0;  // generation requests
  std::list<Live> live;       // of these: what is in the engine, in order of arrival
  http::Server server;
  bool running = false;
};

std::span<const Service::Impl::Route> Service::Impl::routes() {
  static constexpr std::array kRoutes{
      Route{"GET", "/health", &Impl::health},
      Route{"GET", "/ping", &Impl::health},
      Route{"POST", "/ping", &Impl::health},
      Route{"GET", "/version", &Impl::version},
      Route{"GET", "/load", &Impl::load},
      Route{"GET", "/metrics", &Impl::metrics},
      Route{"GET", "/v1/models", &Impl::models},
      Route{"POST", "/v1/chat/completions", &Impl::chat},
      Route{"POST", "/v1/completions", &Impl::completions},
      Route{"POST", "/v1/responses", &Impl::responses},
      Route{"POST", "/v1/messages", &Impl::messages},
      Route{"POST", "/v1/messages/count_tokens", &Impl::count_tokens},
      Route{"POST", "/inference/v1/generate", &Impl::generate_ids},
      Route{"POST", "/v1/chat/completions/render", &Impl::render_chat},
      Route{"POST", "/v1/completions/render", &Impl::render_text},
      Route{"POST", "/tokenize", &Impl::tokenize_text},
      Route{"POST", "/detokenize", &Impl::detokenize_ids},
      Route{"POST", "/baton/v1/kv/release", &Impl::release},
      Route{"GET", openai::kLiveRequestsPath, &Impl::live_requests},
  };
  return kRoutes;
}

Task<void> Service::Impl::handle(Exchange& x) {
  const std::string_view path = x.head().path();
  const Route* found = nullptr;
  bool path_exists = false;
  for (const Route& route : routes()) {
    if (route.path != path) continue;
    path_exists = true;
    if (route.method == x.head().method) found = &route;
  }
  const bool guarded = path.starts_with("/v1") || path == openai::kLiveRequestsPath;
  if (guarded && !authorized(x)) {
    co_await send(x, 401, "application/json", R"({"error":"Unauthorized"})");
  } else if (found != nullptr) {
    co_await (this->*found->handler)(x);
  } else if (path_exists) {
    co_await send(x, 405, "application/json", R"({"detail":"Method Not Allowed"})");
  } else {
    co_await send(x, 404, "application/json", R"({"detail":"Not Found"})");
  }
}

// `type` is a literal.
Task<void> Service::Impl::send(Exchange& x, int status, std::string_view type, std::string text) {
  http::ResponseHead head{status, {}};
  if (!type.empty()) head.headers.set("content-type", type);
  const Status sent = co_await x.respond(std::move(head), text);
  static_cast<void>(sent);  // the client may be gone
}

bool Service::Impl::authorized(const Exchange& x) const {
  if (config.api_keys.empty()) return true;
  std::string_view given = x.head().headers.get("authorization").value_or("");
  if (given.size() < 7 || !http::equal_names(given.substr(0, 7), "bearer ")) return false;
  given.remove_prefix(7);
  return std::ranges::any_of(config.api_keys, [&](const std::string& key) {
    return tls::equal_in_constant_time(key, given);
  });
}

Task<void> Service::Impl::health(Exchange& x) {
  return send(x, engine->healthy() ? 200 : 503, "", "");
}

Task<void> Service::Impl::version(Exchange& x) {
  return send(x, 200, "application/json",
              text::json::dump(Object{{"version", std::string(kVllmVersion)}}));
}

Task<void> Service::Impl::load(Exchange& x) {
  return send(x, 200, "application/json",
              text::json::dump(Object{{"server_load", config.track_load ? answering : 0}}));
}

Task<void> Service::Impl::metrics(Exchange& x) {
  std::string text = probe.expose(engine->stats());
  if (exporter != nullptr) text += exporter->expose();
  return send(x, 200, "text/plain; version=0.0.4; charset=utf-8", std::move(text));
}

Task<void> Service::Impl::live_requests(Exchange& x) {
  std::vector<openai::LiveRequest> told;
  for (const Live& each : live) {
    if (told.size() == openai::kMostLiveRequests) break;
    told.push_back(each.generation.look());
    told.back().id = each.id;
  }
  return send(x, 200, "application/json", openai::live_requests_json(told));
}

Task<void> Service::Impl::models(Exchange& x) {
  text::json::Array list;
  for (const std::string& name : model.names) {
    const Object permission{{"id", "modelperm-" + random_hex(random, 8)},
                            {"object", "model_permission"},
                            {"created", started},
                            {"allow_create_engine", false},
                            {"allow_sampling", true},
                            {"allow_logprobs", true},
                            {"allow_search_indices", false},
                            {"allow_view", true},
                            {"allow_fine_tuning", false},
                            {"organization", "*"},
                            {"group", nullptr},
                            {"is_blocking", false}};
    list.emplace_back(Object{{"id", name},
                             {"object", "model"},
                             {"created", started},
                             {"owned_by", "vllm"},
                             {"root", model.root},
                             {"parent", nullptr},
                             {"max_model_len", model.max_model_len},
                             {"permission", text::json::Array{permission}}});
  }
  return send(x, 200, "application/json",
              text::json::dump(Object{{"object", "list"}, {"data", std::move(list)}}));
}

Task<std::optional<std::string>> Service::Impl::body(Exchange& x, openai::Endpoint form) {
  const auto type = x.head().headers.get("content-type");
  if (type && !is_json(*type)) {
    co_await refuse(
        x,
        {400, "Bad Request",
         "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed", ""},
        form);
    co_return std::nullopt;
  }
  if (const auto problem = http::content_coding_problem(x.head().headers)) {
    co_await refuse(x, openai::error_body(415, *problem), form);
    co_return std::nullopt;
  }
  Result<std::string> text = co_await x.read_body(kMaxBody);
  if (text) co_return *std::move(text);
  co_await refuse(
      x, openai::error_body(http::body_error_status(text.error()), text.error().message()), form);
  co_return std::nullopt;
}

// Long work leaves the loop free for others.
template <class F>
Task<std::invoke_result_t<F&>> Service::Impl::off_loop(std::size_t bytes, F work) {
  if (bytes <= kInlineBody) co_return work();
  auto result = co_await pool.run(std::move(work));
  if (!result) co_return std::unexpected(openai::error_body(result.error()));
  co_return *std::move(result);
}

// As vLLM: what is no number names no rank.
std::optional<openai::ErrorBody> Service::Impl::check_rank(const Exchange& x) const {
  const auto named = x.head().headers.get("x-data-parallel-rank");
  std::int64_t rank = 0;
  if (!named) return std::nullopt;
  const auto [end, failed] = std::from_chars(named->data(), named->data() + named->size(), rank);
  if (failed != std::errc() || end != named->data() + named->size()) return std::nullopt;
  if (rank >= 0 && std::cmp_less(rank, config.data_parallel)) return std::nullopt;
  return openai::ErrorBody{
      400, "BadRequestError",
      fmt::format("data_parallel_rank {} is out of range [0, {}).", rank, config.data_parallel),
      ""};
}

// What the id of an answer begins with.
std::string_view id_prefix(openai::Endpoint endpoint) {
  switch (endpoint) {
    case openai::Endpoint::kChat:
      return "chatcmpl-";
    case openai::Endpoint::kCompletions:
      return "cmpl-";
    case openai::Endpoint::kGenerate:
      return "";
    case openai::Endpoint::kMessages:
      return "msg_";
    case openai::Endpoint::kResponses:
      return "resp_";
  }
  return "";
}

// Is listed while it lives.
class Listed {
 public:
  Listed(std::list<Live>& list, Live live) : list_(list), at_(list.insert(list.end(), live)) {}
  ~Listed() { list_.erase(at_); }
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;

 private:
  std::list<Live>& list_;
  const std::list<Live>::iterator at_;
};

// Counts itself while it lives.
class Counted {
 public:
  explicit Counted(std::size_t& count) : count_(++count) {}
  ~Counted() { --count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::size_t& count_;
};

Task<void> Service::Impl::generate(Exchange& x, openai::Endpoint endpoint) {
  const Counted counted(answering);
  const std::optional<std::string> text = co_await body(x, endpoint);
  if (!text) co_return;
  const std::tm now = local_time(clock.wall());
  const std::size_t vocab = engine->model_config().vocab;
  auto work = [&] { return prepare(model, vocab, endpoint, *text, now); };
  openai::Decoded<Prepared> prepared = co_await off_loop(text->size(), std::move(work));
  if (!prepared) {
    co_await refuse(x, std::move(prepared).error(), endpoint);
    co_return;
  }
  if (const auto priority = prepared->delivery.priority;
      priority != 0 && config.scheduling != Scheduling::kPriority) {
    co_await refuse(
        x,
        {400, "BadRequestError",
         fmt::format("Got priority {} but Priority scheduling is not enabled: start the "
                     "engine with --scheduling-policy priority. (parameter=priority)",
                     priority),
         "priority"},
        endpoint);
    co_return;
  }
  prepared->transfer.announce =
      !prepared->delivery.stream && x.head().headers.has(kv::kAnnounceHeader);
  if (auto wrong = check_rank(x)) {
    co_await refuse(x, *std::move(wrong), endpoint);
    co_return;
  }
  const auto deadline = deadline_of(x.head().headers, x.arrived());
  if (!deadline) {
    co_await refuse(x, openai::error_body(deadline.error()), endpoint);
    co_return;
  }
  prepared->deadline = *deadline;
  const auto given = given_id(x.head().headers, prepared->delivery.request_id);
  const std::string id = given ? *given : random_hex(random, 16);
  if (seeds && !prepared->params.seed) prepared->params.seed = seeds->next();
  openai::AnswerHead head{endpoint, fmt::format("{}{}", id_prefix(endpoint), id),
                          unix_seconds(clock.wall()), model.names.front(),
                          std::move(prepared->delivery.repeated)};
  std::string engine_id =
      fmt::format("{}{}-{}", head.id, endpoint == openai::Endpoint::kCompletions ? "-0" : "",
                  random_hex(random, 4));
  http::Headers headers;
  if (config.request_id_headers) headers.set("x-request-id", id);
  Generation generation(around, x, *std::move(prepared), std::move(head), std::move(engine_id),
                        std::move(headers));
  const Listed listed(live, {id, generation});
  co_await generation.run();
}

openai::Decoded<std::string> Service::Impl::computed(Computation what,
                                                     std::string_view body) const {
  const std::tm now = local_time(clock.wall());
  const std::size_t vocab = engine->model_config().vocab;
  switch (what) {
    case Computation::kTokenize:
      return tokenize(model, body, now);
    case Computation::kDetokenize:
      return detokenize(model, body);
    case Computation::kCount:
      return serve::count_tokens(model, body, now);
    case Computation::kRenderChat:
      return render(model, vocab, openai::Endpoint::kChat, body, now);
    case Computation::kRenderText:
      return render(model, vocab, openai::Endpoint::kCompletions, body, now);
  }
  return std::unexpected(openai::error_body(500, "no such computation"));
}

Task<void> Service::Impl::compute(Exchange& x, Computation what) {
  const auto form =
      what == Computation::kCount ? openai::Endpoint::kMessages : openai::Endpoint::kChat;
  const std::optional<std::string> text = co_await body(x, form);
  if (!text) co_return;
  auto work = [&] { return computed(what, *text); };
  openai::Decoded<std::string> answer = co_await off_loop(text->size(), std::move(work));
  if (answer) {
    co_await send(x, 200, "application/json", *answer);
  } else {
    co_await refuse(x, std::move(answer).error(), form);
  }
}

Task<void> Service::Impl::release(Exchange& x) {
  const std::optional<std::string> text = co_await body(x);
  if (!text) co_return;
  openai::Decoded<Value> value = openai::decode_object(*text);
  if (!value) {
    co_await refuse(x, std::move(value).error());
    co_return;
  }
  const Status released = engine->release_lease(value->string_at({"remote_request_id"}),
                                                value->string_at({"lease_token"}));
  if (released) {
    co_await send(x, 200, "application/json", "{}");
  } else {
    co_await refuse(x, openai::error_body(released.error()));
  }
}

Service::Service(ServiceConfig config, Deps deps)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(deps))) {}
Service::~Service() { stop(runtime::Drain::kNo, {impl_->clock.now()}); }

Result<http::Endpoint> Service::start() {
  BATON_TRY_ASSIGN(http::Endpoint at, impl_->server.listen(impl_->config.listen));
  impl_->engine->start(impl_->room);
  impl_->loop.start();
  impl_->running = true;
  return at;
}

void Service::stop(runtime::Drain drain, Deadline deadline) {
  if (!std::exchange(impl_->running, false)) return;
  const Mono now = impl_->clock.now();
  impl_->server.stop(drain == runtime::Drain::kYes ? deadline : Deadline{now});
  impl_->engine->stop(drain, deadline);
  impl_->loop.stop();
}

runtime::Engine& Service::engine() { return *impl_->engine; }

}  // namespace baton::serve
