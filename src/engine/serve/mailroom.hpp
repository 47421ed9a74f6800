#pragma once
// From the engine thread to the coroutines that answer: each sequence has a box of events, stamped
// with the time the engine gave them; sequences of one answer wake one coroutine. A lease that
// comes with an event is given back unless its params reached the client.

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
  asio::any_io_executor executor() { return loop_.executor(); }

 private:
  friend class Ticket;
  struct Box {
    std::deque<Letter> letters;
    async::Event& arrived;
  };
  void give_back(const std::optional<kv::TransferParams>& lease);

  async::Loop& loop_;
  const Clock& clock_;
  runtime::Engine& engine_;
  std::unordered_map<std::string, Box> boxes_;
};

// A sequence in flight: gone before it ended, the engine drops it. Confined to the loop.
class Ticket {
 public:
  // `room` and `arrived` must outlive it; the event is notified when a letter is there.
  Ticket(Mailroom& room, std::string id, async::Event& arrived);
  ~Ticket();
  Ticket(const Ticket&) = delete;
  Ticket& operator=(const Ticket&) = delete;

  const std::string& id() const { return id_; }
  Status submit(runtime::GenerateRequest request);
  // The next event, if there is one.
  std::optional<Letter> take();
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
