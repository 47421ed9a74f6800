#pragma once
// The edge: carries out on sockets what Transaction and Connector say. Internal to the folder.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/all_or_none.hpp"
#include "base/async/task_group.hpp"
#include "base/core/random.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"
#include "routing/sidecar/allowlist.hpp"
#include "routing/sidecar/breaker.hpp"
#include "routing/sidecar/connector.hpp"
#include "routing/sidecar/decoder_health.hpp"
#include "routing/sidecar/fallback_budget.hpp"
#include "routing/sidecar/lease_clock.hpp"
#include "routing/sidecar/leg_log.hpp"
#include "routing/sidecar/mooncake_engines.hpp"
#include "routing/sidecar/probe.hpp"
#include "routing/sidecar/self_schedule.hpp"
#include "routing/sidecar/side_channels.hpp"
#include "routing/sidecar/sidecar.hpp"
#include "routing/sidecar/transaction.hpp"
#include "routing/sidecar/transfer_ledger.hpp"
#include "routing/sidecar/warm_up.hpp"
#include "routing/ticket/verifier.hpp"

namespace baton::sidecar {

// Confined to its loop.
class Proxy {
 public:
  struct Deps {
    async::Loop& loop;
    const Clock& clock;
    Random& random;
    Probe& probe;
    observe::Tracer* tracer = nullptr;
  };
  Proxy(const Deps& deps, Config config);

  Task<void> handle(http::Exchange& exchange, int rank);
  // Where rank 0 listens. Before the first request.
  void set_base_port(std::uint16_t port);
  // Until every release on its way has ended; each has a short deadline. Prefills that run beside
  // their decode are cancelled.
  Task<void> join_releases() {
    aside_.cancel();
    beside_.cancel();
    co_await aside_.join();
    co_await channels_.stop();
    co_await beside_.join();
    co_await releases_.join();
    for (http::Client* each : {&prefill_client_, &decode_client_, &encode_client_}) {
      each->close_idle();
    }
  }

 private:
  struct Call;        // one generation request
  struct Asked;       // what its head asks beside a decode
  struct Closing;     // what is due however it ends
  struct TicketUse;   // of a signed route
  struct Attempt;     // of one prefill, which its breaker is told of
  struct Beside;      // a prefill that nobody waits for
  struct EncodeItem;  // of the encode stage

  static Task<void> answer_health(http::Exchange& exchange);
  Task<void> pass_through(http::Exchange& exchange, http::Endpoint decoder);
  Task<void> pass_guarded(http::Exchange& exchange, http::Endpoint decoder);
  Task<void> pass_back(http::Exchange& exchange, http::Sent<http::Response> answer,
                       Deadline deadline);
  Task<std::optional<std::string>> read_generation(http::Exchange& exchange);
  static Task<void> refuse_body(http::Exchange& exchange, const Error& error);
  Task<void> generate(http::Exchange& exchange, Route route, int rank);
  struct TimeLimits {
    Nanos budget;  // that requests get here
    Nanos client;  // this one; at most as much
  };
  Result<TimeLimits> time_limits(const http::Headers& asked) const;
  Task<void> refuse_generation(http::Exchange& exchange, const http::Endpoint* decoder,
                               const Result<TimeLimits>& limits);
  http::Endpoint decoder_of(int rank) const;
  std::optional<http::Endpoint> named_decoder(const http::RequestHead& head, int rank) const;
  bool allowed(const http::Endpoint& endpoint);
  Asked read_head(Call& call);
  Task<bool> admit(Call& call, Asked asked);
  ticket::Verdict check_ticket(Call& call);
  ticket::Verdict verify(Call& call, std::string_view text, std::string_view endpoints);
  bool from_peer(Call& call);
  void add_ticket(http::Headers& headers);
  void schedule_alone(Call& call, std::vector<std::string>& candidates);
  std::vector<http::Endpoint> read_encoders(const Call& call);
  std::vector<http::Endpoint> prefill_targets(const std::vector<std::string>& candidates);
  Task<void> refuse_targets(Call& call, std::string first);
  std::string_view kv_member(std::string_view body) const;
  std::string_view kv_member(const Call& call) const;
  Task<void> refuse_params(http::Exchange& exchange, std::string_view member);
  Task<bool> read_body(Call& call);
  bool unproved(const http::Endpoint& prefiller);
  void note_proof(TransferLedger& ledger);
  Task<bool> encode(Call& call, std::vector<http::Endpoint> encoders);
  Task<async::Went> encode_item(Call& call, EncodeItem& item);
  Task<void> run_parallel(Call& call);
  Task<void> run_decode_first(Call& call);
  Task<void> run_legs(Call& call, Action action);
  Task<bool> answered_by_decode(Call& call);
  Task<bool> find_engine(Call& call);
  void forget_engine(const Call& call);
  Action without_engine(Call& call);
  Action start_beside(Call& call);
  Task<void> prefill_beside(Beside it);
  void read_source(Call& call);
  http::RequestHead head_of_prefill(const Call& call, const observe::Span& leg);
  Task<Action> prefill_leg(Call& call);
  Task<Leg> attempt_prefill(Call& call, Attempt& attempt);
  Task<Leg> finish_prefill(Call& call, Attempt& attempt, http::Response& answer, Deadline deadline);
  static Leg end_prefill(Call& call, Attempt& attempt, const Leg& leg);
  bool is_announced(Call& call, const http::ResponseHead& head);
  Task<Leg> attempt_overlapped(Call& call, Attempt& attempt, http::Response& answer,
                               Deadline deadline);
  Task<async::Went> overlapped_prefill(Call& call, Attempt& attempt, http::Response& answer,
                                       Deadline deadline, Leg& into);
  Task<Leg> attempt_held(Call& call, Attempt& attempt);
  Task<async::Went> held_prefill(Call& call, Attempt& attempt, Leg& into);
  Task<async::Went> held_decode(Call& call);
  Action budgeted(Call& call, Action action);
  Task<Action> decode_leg(Call& call, Action action);
  enum class With : bool { kNothing, kHandover };
  Task<http::Sent<http::Response>> send_decode(Call& call, With with);
  Task<void> relay_prefill(Call& call);
  Task<void> stream(Call& call);
  Task<void> stream_chunks(Call& call, http::ResponseHead head);
  Task<void> stream_whole(Call& call);
  Task<http::Sent<std::string>> ask_chunk(Call& call);
  Task<http::Sent<std::string>> next_chunk(Call& call);
  Task<void> end_chunks(Call& call, std::string body, std::string reason);
  Task<void> fail(Call& call);
  Leg read_prefill(Call& call);
  Task<bool> reachable(http::Endpoint prefiller, http::Endpoint channel, std::string& error);
  Task<bool> engine_lives(http::Endpoint decoder, Nanos timeout);
  Task<void> answer_ready(http::Exchange& exchange, http::Endpoint decoder);
  void tell_alive(const http::Endpoint& decoder, bool lives) const;
  Task<void> watch_decoder(http::Endpoint decoder);
  void keep_warm(Call& call);
  Task<void> warm_up(http::Endpoint prefiller, http::Endpoint decoder, std::string model);
  Task<Result<std::string>> warm_pair(http::Endpoint prefiller, http::Endpoint decoder,
                                      std::string model);
  Task<std::optional<CachedTokens>> read_counters(http::Endpoint decoder);
  Task<void> begin_proof(Call& call);
  Task<void> take_proof(Call& call);
  Task<void> end_proof(http::Endpoint decoder);
  void add_proof(const Call& call, http::Headers& into) const;
  void give_back(Call& call);
  void release_lease(const Call& call);
  void end_span(Call& call) const;
  Task<void> release(http::Endpoint to, std::string body);

  Deps deps_;
  Config config_;
  std::unique_ptr<Connector> connector_;
  std::vector<std::unique_ptr<Allowlist>> allowlists_;  // none: everything is allowed
  std::optional<SelfSchedule> self_;
  ticket::Verifier tickets_;
  Breakers breakers_;
  FallbackBudget budget_;
  http::Client prefill_client_;
  http::Client decode_client_;
  http::Client encode_client_;
  MooncakeEngines engines_;
  LegLog legs_;
  SideChannels channels_;

  async::TaskGroup releases_;
  async::TaskGroup beside_;
  std::map<http::Endpoint, DecoderHealth> health_;  // of this pod's engines
  WarmUps warm_ups_;
  std::string warm_model_;  // JSON text: that of the last good answer; "": none yet
  LeaseClock lease_clock_;
  std::map<http::Endpoint, TransferLedger> ledgers_;  // by this pod's engines
  std::map<http::Endpoint, Mono> withdrawn_;          // until when
  async::TaskGroup aside_;                            // probes and warm-ups
};

}  // namespace baton::sidecar
