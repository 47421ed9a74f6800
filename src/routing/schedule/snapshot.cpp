#include "routing/schedule/snapshot.hpp"

#include <algorithm>
#include <functional>

namespace baton::schedule {

std::optional<double> Attributes::find(std::string_view name) const {
  for (const auto& [key, value] : values) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Endpoint::id() const { return rank ? name + "-rank-" + std::to_string(*rank) : name; }

std::string_view Endpoint::role() const {
  const auto it = labels.find(std::string(kRoleLabel));
  return it == labels.end() ? std::string_view() : std::string_view(it->second);
}

std::string_view Endpoint::label(std::string_view key) const {
  const auto it = labels.find(std::string(key));
  return it == labels.end() ? std::string_view() : std::string_view(it->second);
}

std::uint64_t identity_of(std::string_view qualified_id) {
  return std::hash<std::string_view>()(qualified_id);
}

// Picker reference 4.5, the role filters.
Stages stages_of(std::string_view role) {
  if (role.empty()) return kUnlabelled;
  if (role == "decode") return kDecodes;
  if (role == "prefill") return kPrefills;
  if (role == "encode") return kEncodes;
  if (role == "both" || role == "prefill-decode") return kDecodes | kPrefills;
  if (role == "encode-prefill") return kEncodes | kPrefills;
  if (role == "encode-prefill-decode") return kEncodes | kPrefills | kDecodes;
  return 0;
}

std::shared_ptr<const Columns> columns_of(const std::vector<Endpoint>& endpoints) {
  auto made = std::make_shared<Columns>();
  std::map<std::string_view, std::uint32_t> revisions;
  for (const auto& endpoint : endpoints) {
    made->slots.push_back(endpoint.slot);
    made->stages.push_back(stages_of(endpoint.role()));
    made->identities.push_back(identity_of(endpoint.qualified_id()));
    const auto revision = endpoint.label(kRevisionLabel);
    const auto next = static_cast<std::uint32_t>(revisions.size() + 1);
    made->revisions.push_back(
        revision.empty() ? 0 : revisions.try_emplace(revision, next).first->second);
  }
  return made;
}

void Snapshot::set_endpoints(std::shared_ptr<const std::vector<Endpoint>> to) {
  columns = columns_of(*to);
  endpoints = std::move(to);
}

Reservation::Reservation(std::shared_ptr<Reservations> board, Slot slot, std::int64_t tokens,
                         std::int64_t later)
    : board_(std::move(board)), slot_(slot), tokens_(tokens), later_(later) {
  board_->add(slot_, 1);
  board_->add_tokens(slot_, tokens_ + later_);
}

Reservation::Reservation(Reservation&& other) noexcept
    : board_(std::move(other.board_)),
      slot_(other.slot_),
      tokens_(other.tokens_),
      later_(other.later_) {}

Reservation& Reservation::operator=(Reservation&& other) noexcept {
  if (this != &other) {
    release();
    board_ = std::move(other.board_);
    slot_ = other.slot_;
    tokens_ = other.tokens_;
    later_ = other.later_;
  }
  return *this;
}

void Reservation::release() {
  release_tokens();
  if (board_ != nullptr) {
    board_->add(slot_, -1);
    board_->add_tokens(slot_, -later_);
  }
  board_.reset();
  later_ = 0;
}

void Reservation::release_tokens() {
  if (board_ != nullptr) board_->add_tokens(slot_, -tokens_);
  tokens_ = 0;
}

float Snapshot::queue(std::size_t endpoint) const {
  const auto& load = loads[endpoint];
  const auto unseen = static_cast<float>(reserved(endpoint)) - load.waiting - load.running;
  return load.waiting + std::max(unseen, 0.0F);
}

}  // namespace baton::schedule
