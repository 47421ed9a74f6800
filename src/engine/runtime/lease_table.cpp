#include "engine/runtime/lease_table.hpp"

#include <algorithm>
#include <utility>

#include "base/core/assert.hpp"
#include "net/tls/hmac.hpp"

namespace baton::runtime {
namespace {

constexpr std::size_t kTokenBytes = 16;

Error unknown_lease() { return not_found("no such KV lease: released, expired or never granted"); }

}  // namespace

LeaseTable::LeaseTable(std::string engine_id, Nanos duration, const Clock& clock, Random& random,
                       std::function<void()> on_release)
    : engine_id_(std::move(engine_id)),
      duration_(duration),
      clock_(clock),
      random_(random),
      on_release_(std::move(on_release)),
      // Not from 1, so that a restarted engine does not repeat generations. 48 bits stay exact in
      // every JSON reader on the way.
      last_generation_(random.next() >> 16) {}

LeaseTable::Grant LeaseTable::publish(LeasedPrompt prompt) {
  const std::size_t all = prompt.tokens;
  return announce(std::move(prompt), all);
}

LeaseTable::Grant LeaseTable::announce(LeasedPrompt prompt, std::size_t there) {
  const std::scoped_lock lock(mutex_);
  Grant grant{++last_generation_, random_hex(random_, kTokenBytes)};
  blocks_ += prompt.blocks.size();
  leases_.emplace(grant.generation,
                  Lease{.prompt = std::move(prompt),
                        .token = grant.token,
                        .expires = clock_.now() + duration_,
                        .there = kv::Extent::whole(static_cast<std::uint32_t>(there))});
  return grant;
}

void LeaseTable::advance(std::uint64_t generation, const kv::Extent& there) {
  {
    const std::scoped_lock lock(mutex_);
    const auto it = leases_.find(generation);
    if (it == leases_.end()) return;
    it->second.there = there;
    it->second.expires = clock_.now() + duration_;
  }
  moved_.notify_all();
}

void LeaseTable::withdraw(std::uint64_t generation) {
  {
    const std::scoped_lock lock(mutex_);
    const auto it = leases_.find(generation);
    if (it == leases_.end() || it->second.ended) return;
    it->second.ended = End::kWithdrawn;
  }
  moved_.notify_all();
}

std::vector<LeaseTable::Reclaimed> LeaseTable::reclaim() {
  const std::scoped_lock lock(mutex_);
  const Mono now = clock_.now();
  std::vector<Reclaimed> out;
  for (auto it = leases_.begin(); it != leases_.end();) {
    Lease& lease = it->second;
    if (lease.readers > 0 || (!lease.ended && !lease.expired(now))) {
      ++it;
      continue;
    }
    blocks_ -= lease.prompt.blocks.size();
    out.push_back({std::move(lease.prompt.blocks), lease.ended.value_or(End::kExpired)});
    it = leases_.erase(it);
  }
  return out;
}

Status LeaseTable::check(const kv::LeaseKey& key, const kv::Digest& prompt,
                         std::size_t tokens) const {
  const std::scoped_lock lock(mutex_);
  const Lease* lease = find(key);
  if (!lease) return unknown_lease();
  if (lease->prompt.prompt != prompt || lease->prompt.tokens != tokens)
    return conflict("the KV lease is of another prompt");
  return {};
}

Result<LeaseTable::Read> LeaseTable::begin_read(const kv::LeaseKey& key) {
  const std::scoped_lock lock(mutex_);
  Lease* lease = find(key);
  if (!lease) return unknown_lease();
  prolong(*lease);
  ++lease->readers;
  return Read{lease->prompt.blocks, lease->complete()};
}

void LeaseTable::end_read(std::uint64_t generation) {
  const std::scoped_lock lock(mutex_);
  const auto it = leases_.find(generation);
  BATON_ASSERT(it != leases_.end() && it->second.readers > 0);
  --it->second.readers;
}

Result<LeaseTable::Progress> LeaseTable::await(const kv::LeaseKey& key, const kv::Extent& known,
                                               Nanos most) {
  std::unique_lock lock(mutex_);
  const Lease* lease = nullptr;
  moved_.wait_for(lock, most, [&] {
    lease = find(key);
    return !lease || lease->there.exceeds(known);
  });
  if (!lease) return unknown_lease();
  return Progress{lease->there, lease->complete()};
}

Status LeaseTable::renew(const kv::LeaseKey& key) {
  const std::scoped_lock lock(mutex_);
  Lease* lease = find(key);
  if (!lease) return unknown_lease();
  prolong(*lease);
  return {};
}

Status LeaseTable::release(const kv::LeaseKey& key) {
  {
    const std::scoped_lock lock(mutex_);
    Lease* lease = find(key);
    if (!lease) return unknown_lease();
    lease->ended = End::kReleased;
  }
  moved_.notify_all();
  on_release_();
  return {};
}

Status LeaseTable::release(std::string_view request_id, std::string_view token) {
  std::optional<std::uint64_t> generation;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [number, lease] : leases_)
      if (lease.prompt.request_id == request_id && tls::equal_in_constant_time(lease.token, token))
        generation = number;
  }
  if (!generation) return unknown_lease();
  return release({engine_id_, std::string(request_id), std::string(token), *generation});
}

std::size_t LeaseTable::leases() const {
  const std::scoped_lock lock(mutex_);
  return leases_.size();
}

std::size_t LeaseTable::blocks() const {
  const std::scoped_lock lock(mutex_);
  return blocks_;
}

std::optional<Mono> LeaseTable::next_expiry() const {
  const std::scoped_lock lock(mutex_);
  std::optional<Mono> next;
  for (const auto& [number, lease] : leases_)
    if (!next || lease.expires < *next) next = lease.expires;
  return next;
}

const LeaseTable::Lease* LeaseTable::find(const kv::LeaseKey& key) const {
  const auto it = leases_.find(key.generation);
  if (it == leases_.end() || key.engine_id != engine_id_) return nullptr;
  const Lease& lease = it->second;
  const bool over = lease.ended || lease.expired(clock_.now());
  if (over || lease.prompt.request_id != key.request_id ||
      !tls::equal_in_constant_time(lease.token, key.token))
    return nullptr;
  return &lease;
}

// vLLM's rule (vllm-wire §15): each sign of life extends by two thirds of a lease.
void LeaseTable::prolong(Lease& lease) const {
  lease.expires = std::max(lease.expires, clock_.now() + duration_ * 2 / 3);
}

}  // namespace baton::runtime
