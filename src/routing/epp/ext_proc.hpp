#pragma once
// One ext_proc stream, which is one HTTP request (picker reference 2). Pure: ProcessingRequests in,
// ProcessingResponses out.
//
//   headers ──> request body ──(keying, predicting, waiting)──> placed ──> response headers ──>
//   body ──> done
//      │ no body: any endpoint ─────────────────────^             │ no body ────────────────^
//      └ refused at any of these, or evicted until it is done: an ImmediateResponse, and nothing
//      more
//
// Keying: the prompt's tokens are being made, off the loop, on our owner's account (Next::kKey),
// who asks another server first where there is one.
// Predicting: the owner asks what the request would take at each endpoint (Next::kPredict).
// Waiting: for the gate of flow control, which the owner asks on our behalf (Next::kWait).
//
// How bodies are answered depends on the mode that the proxy tells (protocol_config):
//   FULL_DUPLEX_STREAMED  (also when it tells none) nothing until the request's body is whole; then
//                         headers and the body in pieces. Answers pass piece by piece when they
//                         are streams, else whole, up to kHeldAnswer.
//   BUFFERED              headers are answered at once; the route comes with the whole body.
//   STREAMED              the route is chosen before the body, by load alone; the body is held back
//                         (each piece cleared) and passed on whole, so that what must not reach an
//                         engine is removed all the same.
//   others                a request with a body is refused: it could not be inspected.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/observe/span.hpp"
#include "routing/epp/desk.hpp"
#include "routing/epp/flow_metrics.hpp"
#include "routing/epp/grpc_usage.hpp"
#include "routing/epp/messages.hpp"
#include "routing/pick/learner.hpp"
#include "routing/pick/usage.hpp"

namespace baton::epp {

inline constexpr std::size_t kPieceBytes = 62'000;  // of a body sent back, as llm-d cuts it
inline constexpr std::size_t kHeldAnswer = std::size_t{4} << 20;  // more passes as it comes

// Confined to one loop. Destroying it before the answer is whole counts as a client that left.
class ExtProc {
 public:
  explicit ExtProc(Desk& desk);
  ~ExtProc();
  ExtProc(const ExtProc&) = delete;
  ExtProc& operator=(const ExtProc&) = delete;

  enum class Next : std::uint8_t {
    kGoOn,
    kEnd,      // close the stream, the proxy goes on without us
    kPredict,  // no further message until rows() are predicted, or are not: then predicted()
    kKey,      // no further message until key() has run, on any thread: then keyed()
    kWait,     // no further message until admission() is settled: then admitted()
  };
  // Appends what is to be sent; views in it are valid until the next call, or as long as `bytes`.
  // kInvalid: broken protobuf.
  Result<Next> on_message(std::string_view bytes, std::vector<Reply>& replies);

  // After kKey, before key(): what a server is asked for the prompt's tokens, and its answer.
  // nullopt: nothing is.
  std::optional<RenderAsk> render() const;
  void rendered(std::string answer) { placed_->rendered = std::move(answer); }
  // After kKey. nullopt: the prompt is compared by its bytes.
  std::optional<pick::KeyedPrompt> key() const;
  Next keyed(std::optional<pick::KeyedPrompt> prompt, std::vector<Reply>& replies);
  // After kPredict; valid until predicted().
  std::span<const schedule::LatencyRow> rows() const { return rows_; }
  Next predicted(const std::optional<std::vector<schedule::Latencies>>& made,
                 std::vector<Reply>& replies);
  // What waits, after kWait.
  schedule::FlowControl::Item admission() const;
  RequestLabels labels() const;
  Next admitted(schedule::Outcome outcome, std::vector<Reply>& replies);
  // A better request takes its place: it ends, unless it is over.
  void evict(const schedule::Demand& demand, std::vector<Reply>& replies);
  // Refused, answered whole or evicted.
  bool over() const { return phase_ == Phase::kDone; }
  // Contract: it was admitted.
  std::int32_t priority() const { return placed_->priority; }

 private:
  enum class Phase : std::uint8_t {
    kHeaders,
    kRequestBody,
    kKeying,
    kPredicting,
    kWaiting,
    kPlaced,
    kAnswer,
    kDone
  };
  using Replies = std::vector<Reply>;

  void on_request_headers(const Message& message, Replies& replies);
  void on_request_body(const Message& message, Replies& replies);
  void on_request_end(bool trailers, Replies& replies);
  void on_response_headers(const Message& message, Replies& replies);
  void on_response_body(const Message& message, Replies& replies);
  void on_trailers(Side side, Replies& replies);

  enum class Body : bool { kUnknown, kKnown };
  void read(Body body, Replies& replies);
  void ready(Replies& replies);
  void enter(Replies& replies);
  void pick(Replies& replies);
  void placed(Replies& replies);
  Asked asked() const;
  Next next() const;
  bool waits_for_owner() const { return next() != Next::kGoOn && next() != Next::kEnd; }
  void send_placed(Replies& replies);
  void send_streamed_body(Replies& replies);
  Changes changes(bool with_length) const;
  void refuse(const Refusal& refusal, Replies& replies);
  void inspect(std::string_view piece);
  std::string_view restored(std::string_view piece);
  void release_answer(bool end_of_stream, Replies& replies);
  void report(Reply& last) const;
  enum class Whole : bool { kNo, kYes };
  void finish(Whole whole);

  Desk& desk_;
  Message message_;  // scratch
  Phase phase_ = Phase::kHeaders;
  BodyMode request_mode_ = BodyMode::kFullDuplex;
  BodyMode response_mode_ = BodyMode::kFullDuplex;
  Mono received_ = {};

  observe::Span span_;           // ends with the stream, or before
  observe::Span orchestration_;  // from the whole request to its endpoints, the queue included

  // Of the request.
  std::string head_;                       // its first message
  std::vector<schedule::Header> headers_;  // views into it, as the next ones
  std::string_view path_, rewrite_, objective_, fairness_ = "default-flow";
  std::string request_id_;
  std::optional<Nanos> slo_ttft_, slo_tpot_;
  std::span<const schedule::LatencyRow> rows_;  // of placed_
  bool only_if_cached_ = false;
  bool new_request_id_ = false;
  Body body_known_ = Body::kKnown;         // when the route is chosen
  bool trailers_ = false;                  // the body ended with them, or they follow it
  bool sends_trailers_ = false;            // they wait for their answer
  std::vector<std::string_view> removed_;  // routing headers that the client sent
  std::optional<SharedPool::Subset> subset_;
  std::string body_;
  bool cleared_ = false;  // pieces of the body were held back from the proxy
  std::optional<Placed> placed_;
  std::size_t request_bytes_ = 0;

  // Of the response.
  bool event_stream_ = false;
  bool model_error_ = false;
  bool holding_ = false;  // the answer is kept until it is whole
  std::string held_;
  std::string rewritten_;
  std::optional<pick::Learner> learner_;
  pick::UsageScan usage_;
  std::optional<GrpcUsage> grpc_usage_;  // in its place
  std::size_t response_bytes_ = 0;
  std::optional<Mono> first_piece_, last_piece_;
  bool running_ = false;
};

}  // namespace baton::epp
