#include "cli/chat_session.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <charconv>
#include <utility>

#include "base/async/blocking.hpp"
#include "base/async/loop.hpp"
#include "base/text/json.hpp"
#include "cli/server_api.hpp"
#include "net/http/client.hpp"
#include "net/http/sse.hpp"

namespace baton::cli {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

// Splits an event stream into the text deltas it carries.
class Deltas {
 public:
  // An error that the stream carried, or what is wrong with it.
  Status feed(std::string_view bytes, const std::function<void(std::string_view)>& on_text) {
    Status so_far;
    const bool fits = lines_.feed(bytes, [&](std::string_view line) {
      const auto data = http::sse_data(line);
      if (data && so_far) so_far = event(*data, on_text);
    });
    if (!fits) return invalid(fmt::format("an event of over {} bytes", kMaxLine));
    return so_far;
  }
  bool done() const { return done_; }

 private:
  static constexpr std::size_t kMaxLine = 1 << 20;

  Status event(std::string_view data, const std::function<void(std::string_view)>& on_text) {
    if (data == "[DONE]") {
      done_ = true;
      return {};
    }
    BATON_TRY_ASSIGN(const Value event, text::json::parse(data));
    if (event.find("error") != nullptr) return unavailable(reason_of(data));
    const Value* choices = event.find("choices");
    if (choices == nullptr || choices->if_array() == nullptr || choices->if_array()->empty())
      return {};
    const std::string_view delta = (*choices->if_array())[0].string_at({"delta", "content"});
    if (!delta.empty()) on_text(delta);
    return {};
  }

  http::LineSplitter lines_{kMaxLine};
  bool done_ = false;
};

// Runs `op`; once the descriptor is readable cancels it, waits for it to unwind and returns
// nullopt.
template <class T>
Task<std::optional<T>> finish_unless_readable(int descriptor, Task<T> op) {
  const auto executor = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor watched(executor, ::dup(descriptor));
  auto race = asio::experimental::make_parallel_group(
      asio::co_spawn(executor, async::detail::boxed(std::move(op)), asio::deferred),
      watched.async_wait(asio::posix::stream_descriptor::wait_read, asio::deferred));
  auto [order, failure, value, ec] =
      co_await race.async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  if (order[0] == 1 && !ec) co_return std::nullopt;
  if (failure) std::rethrow_exception(failure);
  co_return std::move(value);
}

class Session final : public ChatSession {
 public:
  Session(ServerUrl server, std::string system, ChatSettings settings, const Clock& clock)
      : server_(std::move(server)),
        settings_(std::move(settings)),
        clock_(clock),
        loop_("chat"),
        client_(clock, {}) {
    if (!system.empty()) messages_.push_back(Object{{"role", "system"}, {"content", system}});
    loop_.start();
  }

  Status choose_model() {
    if (!settings_.model.empty()) return {};
    BATON_TRY_ASSIGN(settings_.model,
                     run(first_model(client_, server_, settings_.api_key, deadline())));
    return {};
  }

  Result<Proof> say(const std::string& message,
                    const std::function<void(std::string_view)>& on_text) override {
    messages_.push_back(Object{{"role", "user"}, {"content", message}});
    std::string answer;
    Result<Proof> proof = run(stream(request_body(), on_text, answer));
    const bool counts = proof || (proof.error().code() == Code::kCancelled && !answer.empty());
    if (counts) {
      messages_.push_back(Object{{"role", "assistant"}, {"content", answer}});
    } else {
      messages_.pop_back();
    }
    return proof;
  }

 private:
  // Runs the coroutine on the loop and waits; its own deadlines end it, or the interrupt does.
  template <class T>
  Result<T> run(Task<Result<T>> task) {
    if (settings_.interrupt < 0) return async::blocking_run(loop_, std::move(task));
    auto done =
        async::blocking_run(loop_, finish_unless_readable(settings_.interrupt, std::move(task)));
    if (!done) return cancelled("stopped");
    return *std::move(done);
  }

  std::string request_body() const {
    return text::json::dump(Object{{"model", settings_.model},
                                   {"messages", messages_},
                                   {"stream", true},
                                   {"max_tokens", settings_.max_tokens},
                                   {"temperature", settings_.temperature}});
  }

  Deadline deadline() const {
    return Deadline::in(clock_, std::chrono::seconds(settings_.timeout_seconds));
  }

  Task<Result<Proof>> stream(std::string body, const std::function<void(std::string_view)>& on_text,
                             std::string& answer) {
    const Deadline until = deadline();
    const Mono start = clock_.now();
    const std::string_view pieces[] = {body};
    const auto head = request_head(server_, settings_.api_key, "POST", "/chat/completions");
    auto sent = co_await client_.send(server_.endpoint, head, pieces, until);
    if (!sent) co_return std::move(sent.error().error);
    if (sent->head().status != 200) {
      auto text = co_await sent->read_all(kMaxAnswer, until);
      co_return refusal(sent->head(), text ? *text : "");
    }
    Proof proof;
    proof.headers = sent->head().headers;
    Deltas deltas;
    const auto take = [&](std::string_view text) {
      if (proof.chunks++ == 0) proof.first_token = clock_.now() - start;
      answer += text;
      on_text(text);
    };
    while (true) {
      auto piece = co_await sent->read_some(until);
      if (!piece) co_return std::move(piece.error().error).with("the answer broke off");
      if (piece->empty()) break;
      const std::function<void(std::string_view)> sink = take;
      BATON_CO_TRY(deltas.feed(*piece, sink));
    }
    if (!deltas.done()) co_return unavailable("the answer broke off before [DONE]");
    proof.total = clock_.now() - start;
    co_return proof;
  }

  ServerUrl server_;
  ChatSettings settings_;
  const Clock& clock_;
  Array messages_;
  async::Loop loop_;
  http::Client client_;
};

std::string timing_text(const Proof& proof, std::string_view name) {
  const auto ms = proof.timing(name);
  return ms ? fmt::format(" in {:.1f} ms", *ms) : "";
}

}  // namespace

std::optional<std::uint64_t> Proof::number(std::string_view header) const {
  const auto text = headers.get(header);
  if (!text) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (ec != std::errc() || end != text->data() + text->size()) return std::nullopt;
  return value;
}

std::optional<double> Proof::timing(std::string_view name) const {
  for (std::string_view line : headers.get_all("server-timing")) {
    while (!line.empty()) {
      std::string_view entry = line.substr(0, line.find(','));
      line.remove_prefix(std::min(entry.size() + 1, line.size()));
      while (entry.starts_with(' ')) entry.remove_prefix(1);
      const std::size_t dur = entry.find("dur=");
      if (dur == std::string_view::npos || entry.substr(0, entry.find(';')) != name) continue;
      double ms = 0;
      const auto [end, ec] =
          std::from_chars(entry.data() + dur + 4, entry.data() + entry.size(), ms);
      if (ec == std::errc()) return ms;
    }
  }
  return std::nullopt;
}

std::optional<std::string> Proof::prefill_pod() const {
  const auto text = headers.get("x-baton-prefill");
  if (!text || text->starts_with("none")) return std::nullopt;
  return std::string(*text);
}

std::string describe(const Proof& proof) {
  std::string out;
  const auto line = [&](std::string_view label, std::string_view text) {
    out += fmt::format("  {:<10} {}\n", label, text);
  };
  if (const auto prefill = proof.prefill_pod()) {
    const auto tokens = proof.number("x-baton-prefill-tokens");
    line("prefill",
         fmt::format("{}{}{}", *prefill, tokens ? fmt::format(": {} tokens", *tokens) : "",
                     timing_text(proof, "prefill")));
    if (const auto bytes = proof.number("x-baton-kv-bytes")) {
      line("kv moved", fmt::format("{} bytes{}", *bytes, timing_text(proof, "transfer")));
    }
  } else if (const auto none = proof.headers.get("x-baton-prefill")) {
    line("prefill", *none);
  }
  if (const auto decode = proof.headers.get("x-baton-decode")) line("decode", *decode);
  const auto remote = proof.number("x-baton-remote-tokens");
  const auto cached = proof.number("x-baton-cached-tokens");
  const auto computed = proof.number("x-baton-computed-tokens");
  if (remote && cached && computed) {
    line("prompt",
         fmt::format("{} tokens = {} from remote KV + {} from its own cache + {} computed",
                     *remote + *cached + *computed, *remote, *cached, *computed));
  }
  line("answer", fmt::format("first text after {:.1f} ms, {} pieces in {:.1f} ms",
                             millis(proof.first_token), proof.chunks, millis(proof.total)));
  return out;
}

Result<std::unique_ptr<ChatSession>> ChatSession::open(const std::string& url, std::string system,
                                                       ChatSettings settings, const Clock& clock) {
  BATON_TRY_ASSIGN(ServerUrl server, parse_server_url(url));
  auto session =
      std::make_unique<Session>(std::move(server), std::move(system), std::move(settings), clock);
  BATON_TRY(session->choose_model());
  return std::unique_ptr<ChatSession>(std::move(session));
}

}  // namespace baton::cli
