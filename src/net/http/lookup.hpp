#pragma once
// Lookups of names that are under way in this process. Internal to net/http.

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/core/result.hpp"
#include "net/http/resolve.hpp"

namespace baton::http {

using Addresses = std::vector<Address>;  // at least one
// Finds the addresses of a name; may hang, for it has a thread of its own.
using LookUp = std::function<Result<Addresses>(const Endpoint&)>;

// One name's, on a thread that nobody waits for: the system's resolver knows no deadline and cannot
// be stopped. Shared by that thread and all who ask for the name meanwhile, so that a name that
// hangs takes one thread; the last one frees it. Thread-safe.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  explicit Lookup(Endpoint at) : at_(std::move(at)) {}
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  // The one of `at` that is under way, or a new one. kExhausted: kMaxLookups others are.
  static Result<std::shared_ptr<Lookup>> join(const Endpoint& at);

  // nullopt: not yet.
  std::optional<Result<Addresses>> answer() const;

  // Calls `wake` when there is an answer, at once if there is one: under a lock, from any thread,
  // but not after this has ended.
  class Watch {
   public:
    Watch(Lookup& of, std::function<void()> wake);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Lookup& of_;
    const std::function<void()> wake_;
    std::list<const Watch*>::iterator place_;
    friend class Lookup;
  };

 private:
  void start(const LookUp& look_up);
  void settle(Result<Addresses> answer);

  const Endpoint at_;
  mutable std::mutex mutex_;  // guards answer_, watches_
  std::optional<Result<Addresses>> answer_;
  std::list<const Watch*> watches_;
};

// For tests: takes the place of the system's resolver; nullptr: that again.
void look_up_by(LookUp look_up);
std::size_t lookups_under_way();

}  // namespace baton::http
