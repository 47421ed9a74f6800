#include "control/webhook/server.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/async/cpu_pool.hpp"
#include "base/async/loop.hpp"
#include "base/core/log.hpp"
#include "control/webhook/keeper.hpp"
#include "net/http/server.hpp"
#include "net/tls/certificate.hpp"
#include "net/tls/context.hpp"

namespace baton::webhook {
namespace {

constexpr Nanos kLookEvery = std::chrono::minutes(1);
constexpr Nanos kLookForMissing = std::chrono::seconds(5);  // objects not installed yet
constexpr Nanos kTryAgain = std::chrono::seconds(1);
constexpr Nanos kPassBudget = std::chrono::seconds(30);
// API servers keep a few connections each; more than this are not theirs.
constexpr std::size_t kMaxConnections = 256;
constexpr std::size_t kMaxWaiting = 128;  // reviews

Keeper::Config keeper_config(const Server::Config& config) {
  ServedNames names{config.dns, config.ips};
  const std::string host = fmt::format("{}.{}.svc", config.service, config.ns);
  names.dns.insert(names.dns.begin(), {host, fmt::format("{}.{}", host, config.cluster_domain)});
  return {config.ns, config.secret, std::move(names)};
}

http::Server::Config http_config(std::shared_ptr<const tls::ServerContext> tls,
                                 observe::Registry& registry) {
  http::Server::Config out;
  out.limits.body_bytes = kMaxConversion;
  out.limits.connections = kMaxConnections;
  out.tls = std::move(tls);
  out.registry = &registry;
  return out;
}

http::ResponseHead head_of(int status, const char* type) {
  return {status, {{"Content-Type", type}}};
}

// "mutate-serving-kserve-io-v1alpha2-llminferenceservice"; only paths that exist become labels.
std::string_view webhook_name(std::string_view path) {
  return body_limit(path) ? path.substr(1) : std::string_view("none");
}

}  // namespace

struct Server::Impl {
  Impl(Deps d, Config c)
      : deps(std::move(d)),
        config(std::move(c)),
        keeper(deps.cluster, deps.clock, keeper_config(config)),
        expiry(deps.registry.gauge("baton_webhook_certificate_not_after_seconds",
                                   "When the served webhook certificate expires, in Unix time.")),
        failures(deps.registry.counter("baton_webhook_certificate_failures_total",
                                       "Looks at the webhook certificates that failed.")) {}

  Result<Credentials> look();
  Status open(const Credentials& credentials);
  void keep();
  bool wait(Nanos at_most);  // false: stopping
  Task<void> handle(http::Exchange& exchange);
  Task<void> respond(http::Exchange& exchange, Answer answer);
  void count(std::string_view path, std::string_view result, Mono since);
  void serve(const Credentials& credentials);

  const Deps deps;
  const Config config;
  Keeper keeper;  // the looking thread's, once it runs
  observe::Gauge& expiry;
  observe::Counter& failures;

  std::mutex mutex;
  std::condition_variable changed;
  bool stopping = false;  // guarded by mutex
  std::atomic<Wall> valid_until = Wall();

  std::string told;  // the last trouble logged; the looking thread's
  Credentials served;
  std::shared_ptr<tls::ServerContext> tls;
  http::Endpoint bound;
  std::unique_ptr<async::CpuPool> pool;
  std::unique_ptr<async::Loop> loop;
  std::unique_ptr<http::Server> server;
  std::thread looking;
};

bool Server::Impl::wait(Nanos at_most) {
  std::unique_lock lock(mutex);
  return !changed.wait_for(lock, at_most, [this] { return stopping; });
}

// One pass; trouble is logged when it is new.
Result<Credentials> Server::Impl::look() {
  auto found = keeper.pass(Deadline::in(deps.clock, kPassBudget));
  std::string trouble;
  if (!found) {
    failures.add();
    trouble = found.error().message();
  } else if (!keeper.missing().empty()) {
    trouble = fmt::format("not installed: {}", fmt::join(keeper.missing(), ", "));
  }
  if (trouble != told && !trouble.empty()) {
    log::warn("webhook certificates (`baton crds --webhooks` prints what is needed)",
              {{"trouble", trouble}});
  }
  told = std::move(trouble);
  return found;
}

void Server::Impl::serve(const Credentials& credentials) {
  served = credentials;
  const auto read = tls::read_certificates(credentials.certificate);
  if (!read) return;
  valid_until = read->front().not_after;
  expiry.set(static_cast<double>(std::chrono::system_clock::to_time_t(read->front().not_after)));
}

Status Server::Impl::open(const Credentials& credentials) {
  BATON_TRY_ASSIGN(
      tls, tls::ServerContext::open({.certificate = tls::Source::of_text(credentials.certificate),
                                     .key = tls::Source::of_text(credentials.key)},
                                    deps.clock));
  pool = std::make_unique<async::CpuPool>(
      async::CpuPool::Config{.threads = config.threads, .queue = kMaxWaiting});
  loop = std::make_unique<async::Loop>("webhooks");
  server =
      std::make_unique<http::Server>(*loop, deps.clock, http_config(tls, deps.registry),
                                     [this](http::Exchange& exchange) { return handle(exchange); });
  BATON_TRY_ASSIGN(bound, server->listen(config.listen));
  loop->start();
  serve(credentials);
  return {};
}

void Server::Impl::keep() {
  while (wait(keeper.missing().empty() ? kLookEvery : kLookForMissing)) {
    const auto found = look();
    if (!found || *found == served) continue;
    const Status used =
        tls->use(tls::Source::of_text(found->certificate), tls::Source::of_text(found->key));
    if (used) {
      serve(*found);
    } else {
      failures.add();
      log::error("webhook certificate cannot be served", {{"error", used.error().message()}});
    }
  }
}

void Server::Impl::count(std::string_view path, std::string_view result, Mono since) {
  const std::string webhook(webhook_name(path));
  deps.registry
      .counter("baton_webhook_reviews_total", "Reviews of the API server.",
               {{"webhook", webhook}, {"result", std::string(result)}})
      .add();
  deps.registry
      .histogram("baton_webhook_seconds", "Time to answer a review.",
                 {0.001, 0.005, 0.02, 0.1, 0.5, 2, 10}, {{"webhook", webhook}})
      .observe(seconds(deps.clock.now() - since));
}

Task<void> Server::Impl::respond(http::Exchange& exchange, Answer answer) {
  const bool json = answer.status == 200;
  const std::string_view result = !json ? "error" : answer.refused ? "refused" : "answered";
  count(exchange.head().path(), result, exchange.arrived());
  if (!json) {
    log::warn(
        "webhook request not answered",
        {{"path", exchange.head().path()}, {"status", answer.status}, {"reason", answer.body}});
  }
  // A client that left has nothing to be told.
  (void)co_await exchange.respond(
      head_of(answer.status, json ? "application/json" : "text/plain; charset=utf-8"), answer.body);
}

Task<void> Server::Impl::handle(http::Exchange& exchange) {
  const std::string path(exchange.head().path());
  const auto limit = body_limit(path);
  if (!limit) co_return co_await respond(exchange, {404, fmt::format("no webhook at {}\n", path)});
  if (exchange.head().method != "POST") {
    co_return co_await respond(exchange, {405, "reviews are sent with POST\n"});
  }
  auto body = co_await exchange.read_body(*limit);
  if (!body) {
    co_return co_await respond(exchange, {http::body_error_status(body.error()),
                                          fmt::format("{}\n", body.error().message())});
  }
  auto given =
      co_await pool->run([this, &path, &body] { return answer(path, *body, deps.context()); });
  if (!given) {
    co_return co_await respond(exchange, {503, fmt::format("{}\n", given.error().message())});
  }
  co_await respond(exchange, *std::move(given));
}

Server::Server(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { stop({impl_->deps.clock.now()}); }

Result<std::unique_ptr<Server>> Server::start(Deps deps, Config config, Deadline deadline) {
  auto impl = std::make_unique<Impl>(std::move(deps), std::move(config));
  Impl& self = *impl;
  std::unique_ptr<Server> out(new Server(std::move(impl)));
  auto credentials = self.look();
  while (!credentials) {
    const Nanos left = deadline.left(self.deps.clock.now());
    if (left == Nanos(0)) return std::move(credentials).error().with("webhook certificates");
    self.wait(std::min(left, kTryAgain));
    credentials = self.look();
  }
  BATON_TRY(self.open(*credentials));
  self.looking = std::thread([&self] { self.keep(); });
  return out;
}

http::Endpoint Server::address() const { return impl_->bound; }

bool Server::ready() const { return impl_->deps.clock.wall() < impl_->valid_until.load(); }

void Server::stop(Deadline deadline) {
  Impl& self = *impl_;
  {
    const std::lock_guard lock(self.mutex);
    self.stopping = true;
  }
  self.changed.notify_all();
  if (self.looking.joinable()) self.looking.join();
  if (self.server) self.server->stop(deadline);
  if (self.loop) self.loop->stop();
}

}  // namespace baton::webhook
