#pragma once
// Lookups of names that are under way in this process. Internal to net.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/core/result.hpp"
#include "net/http/resolve.hpp"

namespace baton::http {

using Addresses = std::vector<Address>;  // at least one
// Finds the addresses of a name; may hang, for it has a thread of its own.
using LookUp = std::function<Result<Addresses>(const std::string& host)>;

// One name's, on a thread that nobody waits for: the system's resolver knows no deadline and cannot
// be stopped. Shared by that thread and all who ask for the name meanwhile, so that a name that
// hangs takes one thread; the last one frees it. When kMaxLookups others are under way it begins
// once one of them is over, if somebody still waits for it then. Thread-safe.
class Lookup : public std::enable_shared_from_this<Lookup> {
 public:
  explicit Lookup(std::string host) : host_(std::move(host)) {}
  Lookup(const Lookup&) = delete;
  Lookup& operator=(const Lookup&) = delete;

  // The one of the name that is under way or waits, or a new one. kExhausted: no thread for it.
  static Result<std::shared_ptr<Lookup>> join(const std::string& host);

  // With that port. nullopt: not yet.
  std::optional<Result<Addresses>> answer(std::uint16_t port) const;
  // kTimeout: why whoever waited in vain did.
  Error late() const;

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
  // The one that begins next; null when none waits.
  std::shared_ptr<Lookup> settle(Result<Addresses> answer);

  const std::string host_;
  bool begun_ = false;        // the lock of all lookups guards it
  mutable std::mutex mutex_;  // guards answer_, watches_
  std::optional<Result<Addresses>> answer_;
  std::list<const Watch*> watches_;
};

// For tests: takes the place of the system's resolver; nullptr: that again.
void look_up_by(LookUp look_up);
std::size_t lookups_under_way();  // without those that wait to begin

}  // namespace baton::http
