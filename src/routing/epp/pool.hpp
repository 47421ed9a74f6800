#pragma once
// The one pool of an endpoint picker, shared by its loops: a pick::ServicePool behind a mutex. What
// is held under it is a pick or the recording of blocks; bodies are read and hashed outside.

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "routing/pick/service_pool.hpp"
#include "routing/schedule/flow/saturation.hpp"

namespace baton::epp {

// Thread-safe.
class SharedPool {
 public:
  explicit SharedPool(const watch::Service& service)
      : pool_(service, pick::ServicePool::Owner::kPicker) {}

  const std::optional<Error>& broken() const { return pool_.broken(); }
  // Contract: not broken().
  const schedule::Setup& setup() const { return pool_.setup(); }
  // Whether the endpoints have been told once.
  bool synced() const { return synced_; }

  watch::Pool::Change update(const std::vector<schedule::Endpoint>& endpoints);
  // The pool object is gone: nothing is known until the next update.
  watch::Pool::Change clear();

  std::optional<index::PrefixChain> chain(std::string_view model, std::string_view salt) const {
    return pool_.chain(model, salt);
  }

  // What follows the engines, when the configuration asks for it; before the first request.
  void follow(pick::PrecisePrefix& precise);
  // Null: nobody does.
  pick::PrecisePrefix* precise() const { return precise_; }

  // Addresses ("ip:port") of which a proxy wants one; only the part before the last ':' counts.
  using Subset = std::vector<std::string>;
  // kNotFound: no endpoint at all, or none of the subset (null: no restriction). kUnavailable: the
  // picker's filters left none.
  Result<pick::ServicePool::Picked> pick(pick::ServicePool::Ask ask, const Subset* subset, Mono now,
                                         Random& random);
  pick::ServicePool::Survey survey(const pick::ServicePool::Ask& ask);
  bool admits(const pick::ServicePool::Ask& ask, const schedule::Slo& slo);
  void remember(const schedule::Endpoint& endpoint, std::span<const std::uint64_t> chain,
                std::size_t first = 0, const schedule::Endpoint* other = nullptr);
  void loaded(const schedule::Endpoint& endpoint, const watch::Scraped& scraped, Mono now);

  void serves(const schedule::Endpoint& endpoint, std::vector<std::string> models);

  std::vector<std::size_t> remembered() const;  // blocks of prompts, by Setup::views

  // How full the pool is; 1 when it is broken.
  schedule::Saturation saturation(Mono now) const;
  // Whether every admitter of the configuration lets the request through.
  bool admits(std::int32_t priority, Mono now, Random& random) const;
  // A copy: endpoints and what they last told.
  schedule::Snapshot snapshot() const;

 private:
  mutable std::mutex mutex_;  // guards pool_, but for what its constructor settled
  pick::ServicePool pool_;
  pick::PrecisePrefix* precise_ = nullptr;
  std::atomic<bool> synced_ = false;
  std::vector<schedule::Index> among_;  // scratch
};

}  // namespace baton::epp
