#pragma once
// From the engine thread to the coroutines that answer: each request has a box of events, stamped
// with the time the engine gave them. A lease that comes with an event is given back unless its
// params reached the client.

#include <deque>
#include <optional>
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
// every Ticket, but not the engine.
class Mailroom final : public runtime::Sink {
 public:
  Mailroom(async::Loop& loop, const Clock& clock, runtime::Engine& engine)
      : loop_(loop), clock_(clock), engine_(engine) {}

  void deliver(std::vector<runtime::Event> events) override;

 private:
  friend class Ticket;
  struct Box {
    explicit Box(async::Loop& loop) : arrived(loop.executor()) {}
    std::deque<Letter> letters;
    async::Event arrived;
  };
  void give_back(const std::optional<kv::TransferParams>& lease);

  async::Loop& loop_;
  const Clock& clock_;
  runtime::Engine& engine_;
  std::unordered_map<std::string, Box> boxes_;
};

// A request in flight: gone before it ended, the engine drops it. Confined to the loop.
class Ticket {
 public:
  // `room` must outlive it.
  Ticket(Mailroom& room, std::string id);
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
  // The client has the params of the lease: it is theirs now.
  void handed_over() { lease_.reset(); }

 private:
  Mailroom& room_;
  std::string id_;
  Mailroom::Box& box_;
  bool running_ = false;
  std::optional<kv::TransferParams> lease_;
};

}  // namespace baton::serve
