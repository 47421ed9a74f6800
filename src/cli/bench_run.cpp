#include "cli/bench_run.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/async/blocking.hpp"
#include "base/async/task_group.hpp"
#include "base/text/json.hpp"
#include "cli/chat_session.hpp"
#include "net/http/sse.hpp"

namespace baton::cli {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::size_t kMaxEvent = std::size_t{1} << 20;

std::string_view kind_name(http::Failure::Kind kind) {
  switch (kind) {
    case http::Failure::Kind::kRefused:
      return "refused";
    case http::Failure::Kind::kLost:
      return "connection lost";
    case http::Failure::Kind::kMalformed:
      return "malformed answer";
    case http::Failure::Kind::kTimeout:
      return "timeout";
  }
  return "";
}

// Reads an answer's events and notes when each chunk came.
class Watch {
 public:
  Watch(Outcome& outcome, Mono sent) : outcome_(outcome), sent_(sent), lines_(kMaxEvent) {}

  void feed(std::string_view bytes, Mono now) {
    const bool fits = lines_.feed(bytes, [&](std::string_view line) {
      if (const auto data = http::sse_data(line)) event(*data, now);
    });
    if (!fits) fail("malformed answer", "an event is longer than 1 MiB");
  }
  bool failed() const { return failed_; }

  // Whether it was all that was asked for.
  void finish(std::size_t wanted) {
    if (failed_) return;
    if (!done_) return fail("connection lost", "the answer ended before [DONE]");
    if (outcome_.completion != wanted) {
      return fail("wrong length",
                  fmt::format("{} tokens, asked for {}", outcome_.completion, wanted));
    }
    outcome_.failure.clear();
  }
  void fail(std::string_view kind, std::string detail) {
    failed_ = true;
    outcome_.failure = kind;
    outcome_.detail = std::move(detail);
  }

 private:
  void event(std::string_view data, Mono now) {
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    const auto value = text::json::parse(data);
    if (!value) return fail("malformed answer", value.error().message());
    if (value->find("error") != nullptr) return fail("error in the stream", reason_of(data));
    read_usage(*value);
    const Value* choices = value->find("choices");
    if (choices == nullptr || choices->if_array() == nullptr || choices->if_array()->empty()) {
      return;
    }
    const Value& choice = choices->if_array()->front();
    const bool only_role = choice.find_path({"delta", "role"}) != nullptr &&
                           choice.string_at({"delta", "content"}).empty();
    if (!only_role) chunk(now - sent_);
  }

  void read_usage(const Value& event) {
    const auto count = [&](std::string_view key, std::size_t& into) {
      const Value* number = event.find_path({"usage", key});
      if (number != nullptr) into = number->if_uint().value_or(0);
    };
    count("prompt_tokens", outcome_.prompt);
    count("completion_tokens", outcome_.completion);
  }

  void chunk(Nanos at) {
    if (outcome_.first) {
      outcome_.gaps.push_back(at - outcome_.last);
    } else {
      outcome_.first = at;
    }
    outcome_.last = at;
  }

  Outcome& outcome_;
  Mono sent_;
  http::LineSplitter lines_;
  bool done_ = false, failed_ = false;
};

void read_proof(const http::Headers& headers, Outcome& out) {
  const Proof proof{.headers = headers};
  out.prefilled = proof.prefill_pod().has_value();
  out.remote = proof.number("x-baton-remote-tokens");
  out.cached = proof.number("x-baton-cached-tokens");
  out.computed = proof.number("x-baton-computed-tokens");
}

// Confined to its loop.
class Runner {
 public:
  Runner(BenchTarget target, const std::vector<Ask>& asks, const Clock& clock, Answered answered)
      : target_(std::move(target)),
        asks_(asks),
        clock_(clock),
        client_(clock, {}),
        answered_(std::move(answered)) {}

  Task<Result<BenchRun>> run(std::size_t concurrency) {
    if (target_.model.empty()) {
      const Deadline until = Deadline::in(clock_, target_.timeout);
      auto model = co_await first_model(client_, target_.server, target_.api_key, until);
      if (!model) co_return std::move(model).error();
      target_.model = *std::move(model);
    }
    Status measured = co_await measure_words();
    if (!measured) co_return std::move(measured).error();
    run_.outcomes.resize(asks_.size());
    start_ = clock_.now();
    const auto executor = co_await asio::this_coro::executor;
    async::TaskGroup workers(executor);
    for (std::size_t i = 0; i < std::min(concurrency, asks_.size()); ++i) workers.spawn(worker());
    co_await workers.join();
    run_.took = clock_.now() - start_;
    co_return std::move(run_);
  }

 private:
  // Two prompts of different length: a line through both. Always the same two, so that the same
  // seed is the same load for every server with the same tokenizer.
  Task<Status> measure_words() {
    constexpr std::size_t kFew = 4, kMany = 256;
    std::size_t tokens[2] = {};
    for (const std::size_t words : {kFew, kMany}) {
      const Ask ask{{}, {{0, words}}, 1};
      const Outcome outcome = co_await answer(ask);
      if (!outcome.failure.empty()) {
        co_return unavailable(
            fmt::format("a first short request: {} ({})", outcome.failure, outcome.detail));
      }
      tokens[words == kMany ? 1 : 0] = outcome.prompt;
    }
    if (tokens[1] <= tokens[0]) co_return unavailable("the server's prompt_tokens do not add up");
    run_.cost.tokens_per_word =
        static_cast<double>(tokens[1] - tokens[0]) / static_cast<double>(kMany - kFew);
    run_.cost.around = std::max(0.0, static_cast<double>(tokens[0]) -
                                         static_cast<double>(kFew) * run_.cost.tokens_per_word);
    co_return Status{};
  }

  Task<void> worker() {
    while (next_ < asks_.size()) {
      const std::size_t index = next_++;
      co_await async::sleep_until(start_ + asks_[index].at);
      Outcome outcome = co_await answer(asks_[index]);
      run_.outcomes[index] = std::move(outcome);
      ++ended_;
      if (answered_) answered_(ended_);
    }
  }

  std::string body_of(const Ask& ask) const {
    Object body{{"model", target_.model}, {"max_tokens", ask.output},
                {"ignore_eos", true},     {"temperature", 0},
                {"stream", true},         {"stream_options", Object{{"include_usage", true}}}};
    std::string prompt = prompt_text(ask.prompt, run_.cost);
    if (target_.endpoint == BenchEndpoint::kChat) {
      body.set("messages", Array{Object{{"role", "user"}, {"content", std::move(prompt)}}});
    } else {
      body.set("prompt", std::move(prompt));
    }
    return text::json::dump(std::move(body));
  }

  Task<Outcome> answer(const Ask& ask) {
    const bool chat = target_.endpoint == BenchEndpoint::kChat;
    const auto head = request_head(target_.server, target_.api_key, "POST",
                                   chat ? "/chat/completions" : "/completions");
    const std::string body = body_of(ask);
    const std::string_view pieces[] = {body};
    const Deadline until = Deadline::in(clock_, target_.timeout);
    Outcome out;
    Watch watch(out, clock_.now());
    auto sent = co_await client_.send(target_.server.endpoint, head, pieces, until);
    if (!sent) {
      watch.fail(kind_name(sent.error().kind), sent.error().error.message());
      co_return out;
    }
    if (sent->head().status != 200) {
      auto text = co_await sent->read_all(kMaxAnswer, until);
      watch.fail(fmt::format("HTTP {}", sent->head().status),
                 refusal(sent->head(), text ? *text : "").message());
      co_return out;
    }
    read_proof(sent->head().headers, out);
    while (!watch.failed()) {
      auto piece = co_await sent->read_some(until);
      if (!piece) {
        watch.fail(kind_name(piece.error().kind), piece.error().error.message());
        break;
      }
      if (piece->empty()) break;
      watch.feed(*piece, clock_.now());
    }
    watch.finish(ask.output);
    co_return out;
  }

  BenchTarget target_;
  const std::vector<Ask>& asks_;
  const Clock& clock_;
  http::Client client_;
  Mono start_;
  std::size_t next_ = 0, ended_ = 0;
  Answered answered_;
  BenchRun run_;
};

}  // namespace

Result<BenchRun> send_load(BenchTarget target, const std::vector<Ask>& asks,
                           std::size_t concurrency, const Clock& clock, Answered answered) {
  async::Loop loop("bench");
  Runner runner(std::move(target), asks, clock,
                std::move(answered));  // its sockets end before the loop does
  loop.start();
  auto run = async::blocking_run(loop, runner.run(concurrency));
  loop.stop();
  return run;
}

}  // namespace baton::cli
