#include "relay_load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/async/blocking.hpp"
#include "base/async/finish_by.hpp"
#include "base/async/task_group.hpp"
#include "base/text/json.hpp"
#include "relay_stack.hpp"

namespace baton::bench {

namespace {

constexpr Nanos kTimeout =
    std::chrono::seconds(600);  // longer than the longest stream, on a busy machine too

// Prose with the escapes that chats have.
std::string prompt_text(std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    text += "The robot said: \\\"one more story, please\\\", and went on past the old mill.\\n";
  }
  return text;
}

std::string failure(const http::Failure& why) { return std::string(why.error.message()); }

bool says_the_same(std::string_view answer, std::string_view expected) {
  const auto a = text::json::parse(answer);
  const auto b = text::json::parse(expected);
  return a && b && *a == *b;
}

}  // namespace

struct Clients::Run {
  const Load& load;
  const std::vector<std::uint16_t>& targets;
  std::string head;  // of the body, before what makes a prompt fresh
  std::string rest;  // after it
  std::string expected;
  std::size_t left;
  Mono begin;
  Outcome outcome{};
};

Clients::Clients(const Clock& clock) : clock_(clock), loop_("clients"), client_(clock, {}) {
  serial_ = static_cast<std::uint64_t>(clock.now().time_since_epoch().count());
  loop_.start();
}

Clients::~Clients() { loop_.stop(); }

// What was wrong; empty: nothing.
Task<std::string> Clients::ask(Run& run) {
  const Mono begin = clock_.now();
  const std::string fresh = fmt::format("{:016x} ", run.load.fresh ? ++serial_ : 0);
  bool first = true;
  bool right = true;
  for (std::size_t leg = 0; leg < run.targets.size(); ++leg) {
    const bool last = leg + 1 == run.targets.size();
    const std::string_view end =
        last ? R"("}]})" : R"("}],"kv_transfer_params":{"do_remote_decode":true}})";
    const std::array<std::string_view, 4> body = {run.head, fresh, run.rest, end};
    http::RequestHead head{"POST",
                           "/v1/chat/completions",
                           {{"Content-Type", "application/json"}, {"User-Agent", "bench"}}};
    if (!run.load.prefiller.empty()) {
      head.headers.add("x-prefiller-host-port", run.load.prefiller);
    }
    const Deadline deadline = Deadline::in(clock_, kTimeout);
    auto answer = co_await client_.send({"127.0.0.1", run.targets[leg]}, head, body, deadline);
    if (!answer) co_return failure(answer.error());
    if (answer->head().status != 200) co_return fmt::format("status {}", answer->head().status);
    std::size_t at = 0;
    std::string whole;  // by_value
    for (;;) {
      auto piece = co_await answer->read_some(deadline);
      if (!piece) co_return failure(piece.error());
      if (piece->empty()) break;
      if (!last) continue;
      if (std::exchange(first, false)) {
        run.outcome.first_bytes.push_back(millis(clock_.now() - begin));
      }
      if (run.load.by_value) {
        whole += *piece;
        continue;
      }
      right = right && at <= run.expected.size() &&
              std::string_view(run.expected).substr(at, piece->size()) == *piece;
      at += piece->size();
    }
    if (!last) continue;
    right = run.load.by_value ? whole == run.expected || says_the_same(whole, run.expected)
                              : right && at == run.expected.size();
  }
  run.outcome.latencies.push_back(millis(clock_.now() - begin));
  co_return right ? "" : "another body";
}

Task<void> Clients::work(Run& run, std::size_t index) {
  const auto n = static_cast<double>(run.load.connections);
  const double gap = run.load.rate > 0 ? n / run.load.rate : 0;  // seconds, of one connection
  double next = gap * static_cast<double>(index) / n;
  while (run.left > 0) {
    --run.left;
    if (gap > 0) {
      co_await async::sleep_until(run.begin + Nanos(static_cast<std::int64_t>(next * 1e9)));
      next += gap;
    }
    const std::string wrong = co_await ask(run);
    if (wrong.empty()) continue;
    ++run.outcome.wrong;
    ++run.outcome.why[wrong];
  }
}

Outcome Clients::run(const Load& load, const std::vector<std::uint16_t>& targets) {
  Run run{load,
          targets,
          fmt::format(R"({{"model":"m","stream":{},"messages":[{{"role":"user","content":")",
                      load.stream),
          prompt_text(load.prompt_bytes),
          expected_answer(load.stream, load.prefilled),
          load.requests,
          clock_.now()};
  auto all = [](Clients& self, Run& each) -> Task<void> {
    async::TaskGroup group(self.loop_.executor());
    for (std::size_t i = 0; i < each.load.connections; ++i) group.spawn(self.work(each, i));
    co_await group.join();
  };
  async::blocking_run(loop_, all(*this, run));
  run.outcome.seconds = seconds(clock_.now() - run.begin);
  std::ranges::sort(run.outcome.latencies);
  std::ranges::sort(run.outcome.first_bytes);
  return std::move(run.outcome);
}

double percentile(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace baton::bench
