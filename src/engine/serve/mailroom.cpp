#include "engine/serve/mailroom.hpp"

#include <utility>

namespace baton::serve {

void Mailroom::deliver(std::vector<runtime::Event> events) {
  loop_.post([this, when = clock_.now(), events = std::move(events)]() mutable {
    for (runtime::Event& event : events) {
      const auto at = boxes_.find(event.id);
      if (at == boxes_.end()) {  // its client left
        give_back(event.transfer);
        continue;
      }
      at->second.letters.push_back({std::move(event), when});
      at->second.arrived.notify();
    }
  });
}

void Mailroom::give_back(const std::optional<kv::TransferParams>& lease) {
  if (!lease) return;
  const Status released = engine_.release_lease(lease->remote_request_id, lease->lease_token);
  static_cast<void>(released);  // it may have expired
}

Ticket::Ticket(Mailroom& room, std::string id, async::Event& arrived)
    : room_(room),
      id_(std::move(id)),
      box_(room.boxes_.try_emplace(id_, Mailroom::Box{{}, arrived}).first->second) {}

Ticket::~Ticket() {
  drop();
  room_.give_back(lease_);
  for (const Letter& letter : box_.letters) room_.give_back(letter.event.transfer);
  room_.boxes_.erase(id_);
}

Status Ticket::submit(runtime::GenerateRequest request) {
  request.id = id_;
  BATON_TRY(room_.engine_.submit(std::move(request)));
  running_ = true;
  return {};
}

std::optional<Letter> Ticket::take() {
  if (box_.letters.empty()) return std::nullopt;
  Letter letter = std::move(box_.letters.front());
  box_.letters.pop_front();
  if (letter.event.finish) running_ = false;
  if (letter.event.transfer) lease_ = letter.event.transfer;
  return letter;
}

void Ticket::drop() {
  if (std::exchange(running_, false)) room_.engine_.abort(id_);
}

}  // namespace baton::serve
