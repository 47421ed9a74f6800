#pragma once
// From the engine thread to the coroutines that answer: each request has a box of events, stamped
// with the time the engine gave them.

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/async/event.hpp"
#include "base/async/loop.hpp"
#include "engine/runtime/engine.hpp"

namespace baton::serve {

struct Letter {
  runtime::Event event;
  Mono when{};
};

// deliver() on the engine thread, the rest confined to the loop. Outlives the engine's stop() and
// every Ticket.
class Mailroom final : public runtime::Sink {
 public:
  Mailroom(async::Loop& loop, const Clock& clock) : loop_(loop), clock_(clock) {}

  void deliver(std::vector<runtime::Event> events) override;

 private:
  friend class Ticket;
  struct Box {
    explicit Box(async::Loop& loop) : arrived(loop.executor()) {}
    std::deque<Letter> letters;
    async::Event arrived;
  };
  async::Loop& loop_;
  const Clock& clock_;
  std::unordered_map<std::string, Box> boxes_;
};

// A request in flight: gone before it ended, the engine drops it. Confined to the loop.
class Ticket {
 public:
  // `engine` and `room` must outlive it.
  Ticket(runtime::Engine& engine, Mailroom& room, std::string id);
  ~Ticket();
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  const std::string& id() const { return id_; }
  Status submit(runtime::GenerateRequest request);
  // The next event; waits for one.
  Task<Letter> next();
  bool has_next() const { return !box_.letters.empty(); }
  // No further events are wanted: ends the request in the engine if it still runs.
  void drop();

 private:
  runtime::Engine& engine_;
  Mailroom& room_;
  std::string id_;
  Mailroom::Box& box_;
  bool running_ = false;
};

}  // namespace baton::serve
