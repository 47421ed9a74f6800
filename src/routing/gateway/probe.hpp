#pragma once
// The gateway's metrics as verbs.

#include <string_view>

#include "base/core/clock.hpp"
#include "base/observe/metrics.hpp"

namespace baton::gateway {

// Updates from the loop; the registry may be read from any thread.
class Probe {
 public:
  explicit Probe(observe::Registry& registry);

  // RAII: a request being answered.
  class InFlight {
   public:
    explicit InFlight(Probe& probe) : gauge_(probe.in_flight_) { gauge_.add(1); }
    ~InFlight() { gauge_.add(-1); }
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;

   private:
    observe::Gauge& gauge_;
  };

  void answered(int status, Nanos duration);
  void picked(Nanos duration);
  // "prefill-decode" or "decode-only" (picker reference D013).
  void decided(bool prefill);
  void first_byte(Nanos since_arrival) { first_byte_.observe(seconds(since_arrival)); }
  void client_gone() { gone_.add(); }
  void broken() { broken_.add(); }
  void retried() { retries_.add(); }
  void headers_removed(std::size_t count) { removed_headers_.add(static_cast<double>(count)); }
  void transfer_params_removed() { removed_params_.add(); }
  void scraped() { scrapes_.add(); }

 private:
  observe::Registry& registry_;
  observe::Gauge& in_flight_;
  observe::Histogram &duration_, &first_byte_, &pick_;
  observe::Counter &gone_, &broken_, &retries_, &removed_headers_, &removed_params_, &scrapes_;
  observe::Counter &prefill_decode_, &decode_only_;
};

}  // namespace baton::gateway
