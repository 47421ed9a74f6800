#include "routing/schedule/snapshot.hpp"

#include <algorithm>

namespace baton::schedule {

std::string_view Endpoint::role() const {
  const auto it = labels.find(std::string(kRoleLabel));
  return it == labels.end() ? std::string_view() : std::string_view(it->second);
}

Reservation::Reservation(std::shared_ptr<Reservations> board, Slot slot)
    : board_(std::move(board)), slot_(slot) {
  board_->add(slot_, 1);
}

Reservation::Reservation(Reservation&& other) noexcept
    : board_(std::move(other.board_)), slot_(other.slot_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    release();
    board_ = std::move(other.board_);
    slot_ = other.slot_;
  }
  return *this;
}

void Reservation::release() {
  if (board_ != nullptr) board_->add(slot_, -1);
  board_.reset();
}

std::int32_t Snapshot::reserved(std::size_t endpoint) const {
  return reservations == nullptr ? 0 : reservations->count((*endpoints)[endpoint].slot);
}

float Snapshot::queue(std::size_t endpoint) const {
  const auto& load = loads[endpoint];
  const auto unseen = static_cast<float>(reserved(endpoint)) - load.waiting - load.running;
  return load.waiting + std::max(unseen, 0.0F);
}

}  // namespace baton::schedule
