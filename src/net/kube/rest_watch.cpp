#include "net/kube/rest_watch.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/core/log.hpp"
#include "net/kube/api_status.hpp"

namespace baton::kube {

namespace {
constexpr Nanos kFirstPause = Millis(100);
constexpr Nanos kLongestPause = std::chrono::seconds(5);
// close() waits at most this long for a request that is being made.
constexpr Nanos kOpenTimeout = std::chrono::seconds(10);
constexpr int kMaxRefusals = 3;  // errors and unreadable events at one version
}  // namespace

RestWatch::RestWatch(ApiClient& api, const Clock& clock, Query query, Resource resource,
                     Version from, Config config)
    : api_(api),
      clock_(clock),
      query_(std::move(query)),
      resource_(std::move(resource)),
      config_(config),
      version_(std::move(from)),
      decoder_(query_.type, config_.keep) {}

RestWatch::~RestWatch() = default;

Status RestWatch::open(Deadline deadline) {
  const auto doing = fmt::format("watch of {}", query_.type.kind);
  QueryText text;
  text.add("watch", "true")
      .add("allowWatchBookmarks", "true")
      .add("resourceVersion", version_)
      .add("timeoutSeconds",
           std::to_string(std::chrono::ceil<std::chrono::seconds>(config_.watch_time).count()));
  if (!query_.labels.empty()) text.add("labelSelector", selector_text(query_.labels));
  BATON_TRY_ASSIGN(
      auto opened,
      api_.open_stream({.target = collection_path(query_.type, resource_, query_.ns) + text.text()},
                       deadline.earlier(Deadline::in(clock_, kOpenTimeout)))
          .with(doing));
  if (!opened.stream) return api_error(opened.refusal.head.status, opened.refusal.body, doing);
  decoder_.reset();
  heard_ = good_ = clock_.now();
  state_ = State::kOpen;
  const std::lock_guard lock(mutex_);
  stream_ = std::move(opened.stream);
  if (closed_) stream_->close();
  return {};
}

Error RestWatch::fail(Error error) {
  state_ = State::kFailed;
  failure_ = error;
  const std::lock_guard lock(mutex_);
  stream_.reset();
  return error;
}

void RestWatch::broke(std::string_view why) {
  state_ = State::kBroken;
  pause_ = pause_ == Nanos(0) ? kFirstPause : std::min(pause_ * 2, kLongestPause);
  retry_at_ = clock_.now() + pause_;
  if (!warned_ && pause_ > kFirstPause) {
    log::warn("watch interrupted", {{"kind", query_.type.kind}, {"error", why}});
    warned_ = true;
  }
  const std::lock_guard lock(mutex_);
  stream_.reset();
}

Status RestWatch::resume(Deadline deadline) {
  {
    std::unique_lock lock(mutex_);
    const Mono until = std::min(retry_at_, deadline.at);
    wake_.wait_until(lock, until, [&] { return closed_; });
    if (closed_) return cancelled("watch closed");
  }
  if (clock_.now() < retry_at_) return timed_out("watch not open");
  auto opened = open(deadline);
  if (opened) return {};
  switch (opened.error().code()) {
    case Code::kConflict:
    case Code::kDenied:
    case Code::kNotFound:
    case Code::kInvalid:
    case Code::kUnsupported:
      return fail(std::move(opened).error());
    default:
      break;
  }
  if (clock_.now() - good_ > config_.resume_for) return fail(std::move(opened).error());
  broke(opened.error().message());
  return {};
}

Status RestWatch::read(Deadline deadline) {
  const Mono idle_at = heard_ + config_.idle;
  const Deadline until = deadline.earlier({idle_at});
  std::shared_ptr<http::BlockingResponse> stream;
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return cancelled("watch closed");
    stream = stream_;
  }
  const auto piece = stream->read_some(until);
  if (!piece) {
    if (closed()) return cancelled("watch closed");
    const auto& failure = piece.error();
    if (failure.kind != http::Failure::Kind::kTimeout) {
      broke(failure.error.message());
    } else if (clock_.now() >= idle_at) {
      broke("nothing came, not even a bookmark");
    } else {
      return timed_out("nothing yet");
    }
    return {};
  }
  if (piece->empty()) {
    broke(decoder_.mid_line() ? "cut off within an event" : "ended by the server");
    return {};
  }
  heard_ = clock_.now();
  decoder_.feed(*piece);
  return {};
}

Result<std::optional<Event>> RestWatch::next(Deadline deadline) {
  while (true) {
    if (closed()) return cancelled("watch closed");
    if (state_ == State::kFailed) return *failure_;
    if (state_ == State::kOpen) {
      auto message = decoder_.next();
      if (message && *message) {
        version_ = (*message)->version;
        good_ = clock_.now();
        pause_ = Nanos(0);
        refusals_ = 0;
        warned_ = false;
        if ((*message)->event) return std::move((*message)->event);
        continue;
      }
      if (!message) {
        const Code code = message.error().code();
        const bool passes = code == Code::kUnavailable || code == Code::kTimeout;
        // The same would come again at this version; a list tells what it is.
        if (!passes || ++refusals_ == kMaxRefusals) {
          return fail(std::move(message).error());
        }
        broke(message.error().message());
        continue;
      }
    }
    const Status done = state_ == State::kOpen ? read(deadline) : resume(deadline);
    if (done || state_ == State::kFailed) continue;
    if (done.error().code() == Code::kTimeout) return std::optional<Event>();
    return done.error();
  }
}

void RestWatch::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (stream_) stream_->close();
  wake_.notify_all();
}

}  // namespace baton::kube
