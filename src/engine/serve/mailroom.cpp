#include "engine/serve/mailroom.hpp"

#include <utility>

namespace baton::serve {

void Mailroom::deliver(std::vector<runtime::Event> events) {
  loop_.post([this, events = std::move(events)]() mutable {
    for (runtime::Event& event : events) {
      const auto at = boxes_.find(event.id);
      if (at == boxes_.end()) continue;  // its client left
      at->second.events.push_back(std::move(event));
      at->second.arrived.notify();
    }
  });
}

Ticket::Ticket(runtime::Engine& engine, Mailroom& room, std::string id)
    : engine_(engine),
      room_(room),
      id_(std::move(id)),
      box_(room.boxes_.try_emplace(id_, room.loop_).first->second) {}

Ticket::~Ticket() {
  drop();
  room_.boxes_.erase(id_);
}

Status Ticket::submit(runtime::GenerateRequest request) {
  request.id = id_;
  BATON_TRY(engine_.submit(std::move(request)));
  running_ = true;
  return {};
}

Task<runtime::Event> Ticket::next() {
  while (box_.events.empty()) co_await box_.arrived.wait();
  runtime::Event event = std::move(box_.events.front());
  box_.events.pop_front();
  if (event.finish) running_ = false;
  co_return event;
}

void Ticket::drop() {
  if (std::exchange(running_, false)) engine_.abort(id_);
}

}  // namespace baton::serve
