#include "net/hub/transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

namespace baton::hub {

namespace {

constexpr std::size_t kMaxMessage = 300;

// One line of printable text out of what a server sent.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, kMaxMessage));
  std::ranges::replace_if(out, [](unsigned char c) { return c < ' ' || c >= 0x7f; }, ' ');
  return out;
}

std::string reason_of(const http::ResponseHead& head) {
  const auto said = head.headers.get("X-Error-Message");
  return said && !said->empty() ? ": " + printable(*said) : "";
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::unexpected<Trouble> give_up(Error error) {
  return std::unexpected(Trouble{.error = std::move(error)});
}

}  // namespace

Trouble trouble_of(const http::Failure& failure) {
  // A certificate or an answer that is none will not be another one in a second.
  const bool again = failure.kind != http::Failure::Kind::kMalformed &&
                     failure.error.code() != Code::kDenied &&
                     failure.error.code() != Code::kInvalid;
  return {failure.error, again ? Trouble::Again::kYes : Trouble::Again::kNo};
}

std::optional<Nanos> retry_after(std::string_view field, Wall now) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), count);
  constexpr std::int64_t kWeek = 7 * 24 * 3600;
  if (error == std::errc() && end == field.data() + field.size() && count >= 0) {
    return std::chrono::seconds(std::min(count, kWeek));
  }
  std::tm date{};
  const std::string text(field);
  const char* rest = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  const auto left = ::timegm(&date) - std::chrono::system_clock::to_time_t(now);
  return std::chrono::seconds(std::clamp<std::int64_t>(left, 0, kWeek));
}

Trouble trouble_of_status(const http::ResponseHead& head, const Url& at, std::string_view what,
                          bool has_token, Wall now) {
  const auto code = head.headers.get("X-Error-Code").value_or("");
  const std::string from =
      fmt::format("HTTP {} from {}{}", head.status, host_header(at), reason_of(head));
  if (code == "GatedRepo" || head.status == 403) {
    return {denied(
        fmt::format("{}: {} is not open to {}: accept its conditions on its page", from, what,
                    has_token ? "this HF_TOKEN" : "everybody, and HF_TOKEN is not set"))};
  }
  if (code == "RevisionNotFound")
    return {not_found(fmt::format("{}: no such revision of {}", from, what))};
  if (head.status == 401) {
    return {denied(
        has_token
            ? fmt::format("{}: HF_TOKEN is not good for {}, or there is no such model", from, what)
            : fmt::format("{}: {} needs HF_TOKEN, or does not exist", from, what))};
  }
  if (head.status == 404) return {not_found(fmt::format("{}: there is no {}", from, what))};
  if (head.status == 429) {
    const auto wait = retry_after(head.headers.get("Retry-After").value_or(""), now);
    return {exhausted(fmt::format("{}: too many requests", from)), Trouble::Again::kYes, wait};
  }
  if (head.status >= 500 || head.status == 408) {
    const auto wait = retry_after(head.headers.get("Retry-After").value_or(""), now);
    return {unavailable(from), Trouble::Again::kYes, wait};
  }
  return {unavailable(from)};
}

Result<std::unique_ptr<Transport>> Transport::open(const Settings& settings, std::string what,
                                                   const Clock& clock) {
  BATON_TRY_ASSIGN(auto tls, tls::ClientContext::open({}, clock).with("certificates"));
  return std::unique_ptr<Transport>(
      new Transport(settings, std::move(what), clock, std::move(tls)));
}

Transport::Transport(Settings settings, std::string what, const Clock& clock,
                     std::shared_ptr<const tls::ClientContext> tls)
    : settings_(std::move(settings)),
      what_(std::move(what)),
      clock_(clock),
      plain_(clock, {.connect_timeout = std::chrono::seconds(15)}),
      secure_(clock, {.tls = std::move(tls), .connect_timeout = std::chrono::seconds(15)}) {}

http::BlockingClient& Transport::client(const Url& url) {
  return url.scheme == Scheme::kHttps ? secure_ : plain_;
}

http::RequestHead Transport::head_of(const Url& url, const http::Headers& extra) const {
  http::RequestHead head{"GET", url.target.empty() ? "/" : url.target, {}};
  head.headers.add("Host", host_header(url));
  head.headers.add("User-Agent", "baton");
  head.headers.add("Accept-Encoding", "identity");
  if (!settings_.token.empty() && same_origin(url, settings_.endpoint)) {
    head.headers.add("Authorization", "Bearer " + settings_.token);
  }
  for (const auto& field : extra) head.headers.add(field.name, field.value);
  return head;
}

std::expected<Answer, Trouble> Transport::get(const Url& url, const http::Headers& extra) {
  Url at = url;
  Answer out;
  for (int i = 0; i <= kMaxRedirects; ++i) {
    auto opened =
        client(at).open(at.endpoint, head_of(at, extra), "", Deadline::in(clock_, kHeadTimeout));
    if (!opened) return std::unexpected(trouble_of(opened.error()));
    const auto& head = (*opened)->head();
    if (const auto linked = head.headers.get("X-Linked-Etag"); linked && out.etag.empty()) {
      out.etag = *linked;
    }
    if (!is_redirect(head.status)) {
      if (head.status != 200 && head.status != 206) {
        auto trouble = trouble_of_status(head, at, what_, !settings_.token.empty(), clock_.wall());
        trouble.status = head.status;
        return std::unexpected(std::move(trouble));
      }
      if (http::content_coding_problem(head.headers)) {
        return give_up(
            unavailable(fmt::format("{} sends files encoded, unasked", host_header(at))));
      }
      if (out.etag.empty()) out.etag = head.headers.get("ETag").value_or("");
      out.response = std::move(*opened);
      return out;
    }
    const auto location = head.headers.get("Location").value_or("");
    auto next = resolve(at, location);
    if (!next) return give_up(std::move(next).error().with("redirect of " + host_header(at)));
    if (at.scheme == Scheme::kHttps && next->scheme == Scheme::kHttp) {
      return give_up(denied(fmt::format("{} redirects from https to http://{}: refused",
                                        host_header(at), host_header(*next))));
    }
    at = *std::move(next);
  }
  return give_up(
      unavailable(fmt::format("{} redirects more than {} times", host_header(url), kMaxRedirects)));
}

std::expected<std::string, Trouble> Transport::get_all(const Url& url, std::size_t limit,
                                                       http::Headers* headers) {
  auto answer = get(url, {});
  if (!answer) return std::unexpected(std::move(answer).error());
  if (headers != nullptr) *headers = answer->response->head().headers;
  auto body = answer->response->read_all(limit, Deadline::in(clock_, 4 * kIdleTimeout));
  if (!body) return std::unexpected(trouble_of(body.error()));
  return *std::move(body);
}

Status Patience::wait_after(const Trouble& trouble) {
  if (trouble.again == Trouble::Again::kNo || ++failed_ >= config_.tries) return trouble.error;
  Nanos wait = config_.first_wait * (std::int64_t{1} << std::min(failed_ - 1, 10));
  if (trouble.wait && *trouble.wait > config_.longest_wait) {
    return trouble.error.with(
        fmt::format("the hub asks to come again in {:.0f} s", seconds(*trouble.wait)));
  }
  wait = std::max(wait, trouble.wait.value_or(Nanos(0)));
  if (config_.say) {
    config_.say(fmt::format("{}; again in {:.1f} s", trouble.error.message(), seconds(wait)));
  }
  config_.sleep(wait);
  return {};
}

}  // namespace baton::hub
