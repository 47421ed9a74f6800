#pragma once
// Without a picker: the sidecar itself decides whether a conversation is new to its decode engine,
// and which prefill pod computes it then. Scheduling is routing/schedule's, with this pod as the
// only one that decodes.

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "formats/openai/prompt_text.hpp"
#include "net/http/message.hpp"
#include "routing/pick/service_pool.hpp"

namespace baton::sidecar {

// The ready endpoints of the pool, as somebody on another thread found them.
class PoolEndpoints {
 public:
  using Endpoints = std::vector<schedule::Endpoint>;
  void publish(Endpoints endpoints) {
    auto next = std::make_shared<const Endpoints>(std::move(endpoints));
    const std::lock_guard lock(mutex_);
    current_ = std::move(next);
  }
  // Null: nothing is known yet.
  std::shared_ptr<const Endpoints> current() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Endpoints> current_;  // guarded by mutex_
};

// The October 2025 picker's configuration, as the planner writes it for a service with prefill
// pods: prefill when more than 100 bytes of a prompt are new.
std::string_view own_picker();
// Whether SelfSchedule can follow this configuration. `source` names it in the error.
Status check_picker(const std::string& picker, const std::string& source);

// Confined to its loop.
class SelfSchedule {
 public:
  // `own`: how the pool names this pod. `picker`: EndpointPickerConfig; "": own_picker().
  SelfSchedule(http::Endpoint own, std::shared_ptr<const PoolEndpoints> pool,
               const std::string& picker);

  // Why nothing can be decided.
  const std::optional<Error>& broken() const { return pool_->broken(); }

  // Of one request, held while it runs: the places on its engines.
  struct Choice {
    openai::Api api;
    std::optional<http::Endpoint> prefiller;  // nullopt: the decode engine alone
    std::optional<index::PrefixChain> chain;
    pick::ServicePool::Picked picked;
  };
  // nullopt: nothing is known of the pool, or the body is none that can be read.
  std::optional<Choice> choose(std::string& body, openai::Api api, Mono now, Random& random);
  // The prompt was computed: its engines hold it now. `prefilled`: by the prefiller, too.
  void learn(const Choice& choice, bool prefilled);
  // Its answer has made these blocks of the chain whole, the last ones of it.
  void learn(const Choice& choice, std::span<const std::uint64_t> blocks);

 private:
  // Between two lines that say why nothing could be scheduled.
  static constexpr Nanos kBetween = std::chrono::seconds(1);

  void follow();
  void tell_failed(const Error& error, Mono now);

  http::Endpoint own_;
  std::shared_ptr<const PoolEndpoints> found_;
  std::shared_ptr<const PoolEndpoints::Endpoints> seen_;
  watch::Service service_;
  std::shared_ptr<pick::ServicePool> pool_;
  openai::PromptReader reader_;
  Mono tell_next_{};
  std::size_t untold_ = 0;  // failures since the last line
};

}  // namespace baton::sidecar
