#include "net/kube/api_client.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <thread>

#include "base/core/log.hpp"

namespace baton::kube {

namespace {

std::optional<tls::Source> source_of(const Pem& pem) {
  if (pem.empty()) return std::nullopt;
  return pem.text.empty() ? tls::Source::of_file(pem.file) : tls::Source::of_text(pem.text);
}

// Retry-After in seconds; a date is not understood and counts as absent.
std::optional<Nanos> retry_after(const http::Headers& headers) {
  const auto text = headers.get("Retry-After");
  int seconds = 0;
  if (!text || text->empty()) return std::nullopt;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (ec != std::errc{} || end != text->data() + text->size() || seconds < 0) return std::nullopt;
  return std::min<Nanos>(std::chrono::seconds(seconds), kMaxRetryAfter);
}

}  // namespace

struct ApiClient::Link {
  std::uint64_t certificate = 0;  // of which credentials
  std::shared_ptr<tls::ClientContext> tls;
  std::unique_ptr<tls::Reloader> reloader;
  std::unique_ptr<http::BlockingClient> client;
};

ApiClient::ApiClient(Config config, const Clock& clock, Random& random)
    : config_(std::move(config)),
      clock_(clock),
      credentials_(config_.access, clock, config_.environment),
      random_(random) {}
ApiClient::~ApiClient() = default;

Result<std::unique_ptr<ApiClient>> ApiClient::open(Config config, const Clock& clock,
                                                   Random& random) {
  std::unique_ptr<ApiClient> out(new ApiClient(std::move(config), clock, random));
  if (out->config_.access.exec.empty()) {
    BATON_TRY(out->link({}));
  }
  return out;
}

Result<std::shared_ptr<ApiClient::Link>> ApiClient::link(const Credentials::Current& now) {
  const Access& access = config_.access;
  const std::uint64_t wanted = now.certificate.empty() ? 0 : now.version;
  const std::lock_guard lock(mutex_);
  if (link_ && link_->certificate == wanted) return link_;
  auto made = std::make_shared<Link>();
  made->certificate = wanted;
  if (access.https) {
    tls::ClientContext::Config tls;
    tls.authority = source_of(access.ca);
    tls.verify =
        access.verify ? tls::ClientContext::Verify::kFull : tls::ClientContext::Verify::kNone;
    tls.server_name = access.server_name;
    tls.certificate =
        source_of(now.certificate.empty() ? access.certificate : Pem{now.certificate, ""});
    tls.key = source_of(now.certificate.empty() ? access.key : Pem{now.key, ""});
    BATON_TRY_ASSIGN(made->tls,
                     tls::ClientContext::open(std::move(tls), clock_).with(access.source));
    if (!made->tls->files().empty()) {
      BATON_TRY_ASSIGN(made->reloader, tls::Reloader::start(made->tls, clock_));
    }
  }
  made->client = std::make_unique<http::BlockingClient>(
      clock_, http::BlockingClient::Config{.tls = made->tls, .idle_per_endpoint = kMaxInFlight});
  link_ = made;
  return made;
}

Result<ApiClient::Opened> ApiClient::attempt(const Request& request,
                                             const Credentials::Current& now, Deadline deadline,
                                             bool& done_nothing) {
  BATON_TRY_ASSIGN(const auto connections, link(now));
  http::RequestHead head;
  head.method = request.method;
  head.target = config_.access.base_path + request.target;
  head.headers.add("User-Agent", config_.user_agent);
  head.headers.add("Accept", "application/json");
  if (!request.content.empty()) head.headers.add("Content-Type", request.content);
  if (!now.token.empty()) head.headers.add("Authorization", "Bearer " + now.token);

  deadline = deadline.earlier(Deadline::in(clock_, config_.attempt_timeout));
  if (deadline.at == Mono::max()) {
    slots_.acquire();
  } else if (!slots_.try_acquire_until(deadline.at)) {
    done_nothing = true;
    return timed_out(
        fmt::format("{} requests to the API server are waiting already", kMaxInFlight));
  }
  auto opened = connections->client->open(config_.access.server, head, request.body, deadline);
  slots_.release();
  if (!opened) {
    using Kind = http::Failure::Kind;
    const http::Failure& failure = opened.error();
    done_nothing = failure.kind == Kind::kRefused;
    if (failure.kind == Kind::kTimeout) return timed_out(failure.error.message());
    return Error(failure.error.code() == Code::kInvalid ? Code::kInvalid : Code::kUnavailable,
                 failure.error.message());
  }
  Opened out;
  note_warnings((*opened)->head().headers);
  const int status = (*opened)->head().status;
  if (status >= 200 && status < 300) {
    out.stream = *std::move(opened);
    return out;
  }
  auto body = (*opened)->read_all(kMaxAnswer, deadline);
  if (!body) return unavailable(body.error().error.message());
  out.refusal = {(*opened)->head(), *std::move(body)};
  return out;
}

Result<ApiClient::Opened> ApiClient::open_stream(const Request& request, Deadline deadline) {
  bool renewed = false;
  for (int tries = 1;; ++tries) {
    BATON_TRY_ASSIGN(const auto now, credentials_.current(deadline));
    bool done_nothing = false;
    auto got = attempt(request, now, deadline, done_nothing);
    const bool safe = request.method == "GET";
    Nanos pause = backoff(tries);
    if (!got) {
      const bool again = (done_nothing || safe) && got.error().code() != Code::kInvalid;
      if (!again || tries >= config_.attempts || deadline.passed(clock_.now())) return got;
    } else {
      if (got->stream) return got;
      const int status = got->refusal.head.status;
      if (status == 401 && !renewed) {
        renewed = true;
        credentials_.refused(now.version);
        const auto next = credentials_.current(deadline);
        if (next && next->version != now.version) continue;
        return got;
      }
      const auto after = retry_after(got->refusal.head.headers);
      const bool again = status == 429 || (status >= 500 && (after || safe));
      if (!again || tries >= config_.attempts) return got;
      if (after) pause = std::max(pause, *after);
    }
    // No time for another: what came last is the answer.
    if (!wait(pause, deadline)) return got;
  }
}

Result<http::BlockingAnswer> ApiClient::send(const Request& request, Deadline deadline) {
  for (int tries = 1;; ++tries) {
    BATON_TRY_ASSIGN(Opened opened, open_stream(request, deadline));
    if (!opened.stream) return std::move(opened.refusal);
    auto body = opened.stream->read_all(
        kMaxAnswer, deadline.earlier(Deadline::in(clock_, config_.attempt_timeout)));
    if (body) return http::BlockingAnswer{opened.stream->head(), *std::move(body)};
    const auto& failure = body.error();
    const bool again = request.method == "GET" && failure.kind == http::Failure::Kind::kLost &&
                       tries < config_.attempts;
    if (!again || !wait(backoff(tries), deadline)) {
      if (failure.kind == http::Failure::Kind::kTimeout) return timed_out(failure.error.message());
      return unavailable(failure.error.message());
    }
  }
}

Nanos ApiClient::backoff(int attempt) {
  const std::lock_guard lock(mutex_);
  const Nanos base = config_.backoff * (1 << std::min(attempt - 1, 10));
  const auto extra = static_cast<double>(base.count()) * 0.5 * random_.unit();
  return base + Nanos(static_cast<std::int64_t>(extra));
}

Status ApiClient::wait(Nanos pause, Deadline deadline) {
  if (deadline.at != Mono::max() && clock_.now() + pause >= deadline.at) {
    return timed_out("no time for another attempt");
  }
  std::mutex mine;
  std::unique_lock lock(mine);
  std::condition_variable().wait_for(lock, pause, [] { return false; });
  return {};
}

std::string warning_text(std::string_view field) {
  // warn-code SP warn-agent SP quoted-string (RFC 7234 5.5)
  const auto code = field.find(' ');
  const auto agent = code == field.npos ? field.npos : field.find(' ', code + 1);
  if (agent == field.npos || agent + 1 >= field.size() || field[agent + 1] != '"') return "";
  std::string out;
  for (std::size_t i = agent + 2; i < field.size() && field[i] != '"'; ++i) {
    if (field[i] == '\\' && i + 1 < field.size()) ++i;
    out += field[i];
  }
  return out;
}

void ApiClient::note_warnings(const http::Headers& headers) {
  for (const auto field : headers.get_all("Warning")) {
    const std::string text = warning_text(field);
    if (text.empty()) continue;
    {
      const std::lock_guard lock(mutex_);
      if (warned_.size() >= kMaxWarnings || !warned_.insert(text).second) continue;
    }
    log::warn("the API server warns", {{"warning", text}});
  }
}

}  // namespace baton::kube
