// What goes wrong between two engines ends in a right answer or a stated error, and nothing stays
// pinned.

#include <gtest/gtest.h>

#include "engine/runtime/kv_server.hpp"
#include "engine/runtime/testing/meddler.hpp"
#include "engine/runtime/testing/rig.hpp"
#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {
namespace {

using namespace testing;

constexpr std::size_t kPrompt = 100;
constexpr std::size_t kAnswer = 10;

EngineConfig tcp_config() {
  EngineConfig c = small_config();
  c.transfer->local_socket = LocalSocket::kOff;
  return c;
}

class Fault : public ::testing::Test {
 protected:
  kv::TransferParams prefilled() {
    const Answer first = prefill.prefill(prompt, greedy(1));
    EXPECT_TRUE(first.transfer);
    return first.transfer.value_or(kv::TransferParams{});
  }
  // The answer is right, and it says that and why it was computed here.
  void expect_recomputed(const Answer& answer, std::string_view why) {
    EXPECT_EQ(answer.tokens, expected);
    ASSERT_TRUE(answer.prompt);
    EXPECT_EQ(answer.prompt->remote, 0U);
    EXPECT_EQ(answer.prompt->computed + answer.prompt->cached, kPrompt);
    EXPECT_NE(answer.prompt->transfer_error.find(why), std::string::npos)
        << answer.prompt->transfer_error;
    const Stats s = decode.at_rest();
    EXPECT_EQ(s.transfers_failed, 1U);
    EXPECT_EQ(s.blocks_used, 0U);
  }
  void expect_nothing_pinned() {
    const Stats s = prefill.at_rest();
    EXPECT_EQ(s.blocks_pinned, 0U);
    EXPECT_EQ(s.blocks_leased, 0U);
    EXPECT_EQ(s.blocks_used, 0U);
  }
  void expect_next_pull_works() {
    const auto next = prompt_of(kPrompt, 77);
    const Answer first = prefill.prefill(next, greedy(1));
    const Answer answer = decode.generate(next, greedy(kAnswer), first.transfer.value());
    EXPECT_EQ(answer.prompt->remote, kPrompt - 1);
    EXPECT_EQ(answer.tokens, Rig(small_config()).generate(next, greedy(kAnswer)).tokens);
  }

  const std::vector<TokenId> prompt = prompt_of(kPrompt, 3);
  const std::vector<TokenId> expected =
      Rig(small_config()).generate(prompt, greedy(kAnswer)).tokens;
  Rig prefill{tcp_config(), nullptr, 1};
  Rig decode{tcp_config(), nullptr, 2};
};

TEST_F(Fault, ADeadPrefillEngineIsReplacedByComputing) {
  const auto params = prefilled();
  prefill.engine.reset();

  expect_recomputed(decode.generate(prompt, greedy(kAnswer), params), "connecting to 127.0.0.1");
}

TEST_F(Fault, WithPolicyFailTheRequestEndsWithAnError) {
  EngineConfig c = tcp_config();
  c.transfer->on_failure = LoadFailure::kFail;
  Rig strict(c);
  const auto params = prefilled();
  prefill.engine.reset();

  const Answer answer = strict.generate(prompt, greedy(kAnswer), params);

  EXPECT_EQ(answer.finish, Finish::kError);
  ASSERT_TRUE(answer.error);
  EXPECT_EQ(answer.error->code(), Code::kInternal);
  EXPECT_EQ(answer.error->message().find("KV transfer failed: connecting to"), 0U);
  EXPECT_TRUE(answer.tokens.empty());
  EXPECT_EQ(strict.at_rest().blocks_used, 0U);
  EXPECT_EQ(strict.generate(prompt, greedy(kAnswer)).tokens, expected);
}

TEST_F(Fault, AnExpiredLeaseGivesItsBlocksBackOnAnIdleEngineAndIsNotRead) {
  const auto params = prefilled();
  EXPECT_EQ(prefill.engine->stats().blocks_pinned, 7U);
  EXPECT_EQ(prefill.engine->stats().blocks_leased, 7U);

  prefill.clock.advance(std::chrono::seconds(31));
  expect_nothing_pinned();
  EXPECT_EQ(prefill.engine->stats().leases_expired, 1U);
  prefill.generate(prompt_of(1000, 50), greedy(1));  // reuses the memory

  expect_recomputed(decode.generate(prompt, greedy(kAnswer), params), "no such KV lease");
}

TEST_F(Fault, ALeaseIsGoodForOneUse) {
  const auto params = prefilled();
  EXPECT_EQ(decode.generate(prompt, greedy(kAnswer), params).prompt->remote, kPrompt - 1);
  prefill.at_rest();
  Rig other(tcp_config());

  const Answer again = other.generate(prompt, greedy(kAnswer), params);

  EXPECT_EQ(again.tokens, expected);
  EXPECT_NE(again.prompt->transfer_error, "");
}

// vllm-live §5: upstream answers these with wrong tokens, a hang or a dead engine.
TEST_F(Fault, InventedParamsNeverGiveForeignKv) {
  const auto good = prefilled();
  const auto with = [&](auto change) {
    kv::TransferParams params = good;
    change(params);
    Rig rig(tcp_config());
    const Answer answer = rig.generate(prompt, greedy(kAnswer), params);
    EXPECT_EQ(answer.tokens, expected);
    EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, 0U);
    return answer.prompt.value_or(PromptReport{}).transfer_error;
  };
  const std::string unknown = "no such KV lease: released, expired or never granted";

  EXPECT_EQ(with([](auto& p) { p.lease_token[0] ^= 1; }), unknown);
  EXPECT_EQ(with([](auto& p) { p.generation += 1; }), unknown);
  EXPECT_EQ(with([](auto& p) { p.remote_engine_id = "other"; }), unknown);
  EXPECT_EQ(with([](auto& p) { p.remote_request_id = "other"; }), unknown);
  EXPECT_EQ(with([](auto& p) { p.remote_num_tokens -= 1; }), "the KV lease is of another prompt");
  EXPECT_NE(with([](auto& p) {
              p.remote_host = "example.invalid";
            }).find("'example.invalid' is not an IP address"),
            std::string::npos);
}

TEST_F(Fault, ParamsOfAnotherPromptOfEqualLengthAreRefusedAndNotCached) {
  const Answer other = prefill.prefill(prompt_of(kPrompt, 4), greedy(1));

  expect_recomputed(decode.generate(prompt, greedy(kAnswer), other.transfer.value()),
                    "of another prompt");
  EXPECT_EQ(decode.generate(prompt, greedy(kAnswer)).tokens, expected);
}

TEST_F(Fault, EnginesOfDifferentModelsDoNotExchangeKv) {
  EngineConfig c = tcp_config();
  c.model_fingerprint = {9, 9};
  Rig foreign(c);
  const auto params = prefilled();

  const Answer answer = foreign.generate(prompt, greedy(kAnswer), params);

  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt->transfer_error, "the KV is of another model");
}

class Spoiled : public Fault, public ::testing::WithParamInterface<std::size_t> {};

// Byte positions: in the first head, in kAccepted, in a rows head, in rows, in the last frames.
TEST_P(Spoiled, AFlippedByteIsNoticed) {
  auto params = prefilled();
  Meddler meddler(prefill.engine->config().transfer->port, Meddler::How::kFlip, GetParam());
  params.remote_port = meddler.port();

  const Answer answer = decode.generate(prompt, greedy(kAnswer), params);

  EXPECT_TRUE(meddler.reached());
  expect_recomputed(answer, "KV");
  expect_next_pull_works();
  prefill.clock.advance(std::chrono::seconds(31));
  expect_nothing_pinned();
}

TEST_P(Spoiled, AConnectionCutAnywhereIsReplacedByComputing) {
  auto params = prefilled();
  Meddler meddler(prefill.engine->config().transfer->port, Meddler::How::kCut, GetParam());
  params.remote_port = meddler.port();

  const Answer answer = decode.generate(prompt, greedy(kAnswer), params);

  expect_recomputed(answer, "the peer closed the connection");
  expect_next_pull_works();
  prefill.clock.advance(std::chrono::seconds(31));
  expect_nothing_pinned();
}

INSTANTIATE_TEST_SUITE_P(At, Spoiled, ::testing::Values(0, 5, 13, 25, 40, 100, 7000, 19000));

TEST_F(Fault, ASlowPrefillEngineIsGivenUpAtTheStallTimeout) {
  auto params = prefilled();
  Meddler meddler(prefill.engine->config().transfer->port, Meddler::How::kStall, 5000);
  params.remote_port = meddler.port();
  const auto id = decode.submit(prompt, greedy(kAnswer), params);
  ASSERT_TRUE(meddler.reached());
  EXPECT_EQ(decode.engine->stats().waiting_remote, 1U);

  // The batch goes on meanwhile.
  EXPECT_EQ(decode.generate(prompt_of(30, 8), greedy(5)).tokens.size(), 5U);
  decode.clock.advance(std::chrono::seconds(6));

  expect_recomputed(decode.sink.wait(id), "did not answer in time");
}

TEST_F(Fault, KillingThePrefillEngineDuringATransferIsNoticed) {
  auto params = prefilled();
  Meddler meddler(prefill.engine->config().transfer->port, Meddler::How::kStall, 5000);
  params.remote_port = meddler.port();
  const auto id = decode.submit(prompt, greedy(kAnswer), params);
  ASSERT_TRUE(meddler.reached());

  prefill.engine.reset();
  decode.clock.advance(std::chrono::seconds(6));

  expect_recomputed(decode.sink.wait(id), "");
}

TEST_F(Fault, AbortingWhilePullingKeepsTheBlocksUntilThePullHasEnded) {
  auto params = prefilled();
  auto meddler = std::make_unique<Meddler>(prefill.engine->config().transfer->port,
                                           Meddler::How::kStall, 5000);
  params.remote_port = meddler->port();
  const auto id = decode.submit(prompt, greedy(kAnswer), params);
  ASSERT_TRUE(meddler->reached());

  decode.engine->abort(id);

  EXPECT_EQ(decode.sink.wait(id).finish, Finish::kAbort);
  const Stats s = decode.at_rest();
  EXPECT_EQ(s.blocks_used, 0U);
  EXPECT_EQ(s.transfers_failed, 0U);
  EXPECT_EQ(s.transfers_given_up, 1U);
  meddler.reset();
  prefill.clock.advance(std::chrono::seconds(31));
  expect_nothing_pinned();
}

// A decode engine whose only place is taken, so that the next request waits.
class FullEngine {
 public:
  FullEngine() { EXPECT_TRUE(rig.sink.wait_for_tokens(running, 1)); }
  ~FullEngine() { permits->release(kAllThatIsLeft); }

  std::shared_ptr<Permits> permits = std::make_shared<Permits>(1);
  Rig rig{[] {
            EngineConfig c = tcp_config();
            c.max_num_seqs = 1;
            return c;
          }(),
          std::make_unique<FakeModel>(permits)};
  std::string running = rig.submit(prompt_of(5, 1), greedy(1000));
};

TEST_F(Fault, AnAbortBeforeThePullReleasesTheRemoteLease) {
  FullEngine full;
  const auto waiting = full.rig.submit(prompt, greedy(kAnswer), prefilled());

  full.rig.engine->abort(waiting);
  full.permits->release(2);  // the step under way, and the one that tells

  EXPECT_EQ(full.rig.sink.wait(waiting).finish, Finish::kAbort);
  EXPECT_EQ(prefill.at_rest().leases_released, 1U);
}

TEST_F(Fault, ADeadlineBeforeThePullReleasesTheRemoteLease) {
  FullEngine full;
  const auto waiting =
      full.rig.submit(prompt, greedy(kAnswer), prefilled(), std::chrono::seconds(1));

  full.rig.clock.advance(std::chrono::seconds(1));
  full.permits->release(2);  // the step under way, and the one that tells

  EXPECT_EQ(full.rig.sink.wait(waiting).error.value().code(), Code::kTimeout);
  EXPECT_EQ(prefill.at_rest().leases_released, 1U);
}

TEST_F(Fault, AWaitingRequestRenewsItsLease) {
  FullEngine full;
  const Listener peer = *listen_tcp("127.0.0.1", 0);
  auto params = prefilled();
  params.remote_port = peer.port;
  full.rig.submit(prompt, greedy(kAnswer), params);

  full.rig.clock.advance(std::chrono::seconds(5));
  full.permits->release(2);

  const Signal never_stop;
  const std::atomic<bool> never = false;
  const SystemClock real;
  const auto connection = accept_any(std::span(&peer.socket, 1), never_stop);
  ASSERT_TRUE(connection);
  SocketReader from(*connection);
  const auto request = receive_control(from, {real, Deadline::in(real, kPatience), never});
  ASSERT_TRUE(request);
  ASSERT_TRUE(std::holds_alternative<kv::Renew>(*request));
  EXPECT_EQ(std::get<kv::Renew>(*request).key.token, params.lease_token);
}

// Takes connections and answers nothing; the clock stands still, so nobody gives it up.
TEST_F(Fault, PullsFromAnEngineThatDoesNotAnswerLeaveThreadsForOthers) {
  const Listener deaf = *listen_tcp("127.0.0.1", 0);
  EngineConfig c = tcp_config();
  c.max_num_seqs = 32;
  Rig wide(c);
  auto params = prefilled();
  params.remote_port = deaf.port;
  for (int i = 0; i < 17; ++i) wide.submit(prompt, greedy(kAnswer), params);
  const auto all_pull = [](const Stats& s) { return s.waiting_remote == 17; };
  ASSERT_EQ(wide.stats_when(all_pull).waiting_remote, 17U);

  const Answer answer = wide.generate(prompt, greedy(kAnswer), prefilled());

  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, kPrompt - 1);
}

TEST_F(Fault, APullThatIsGivenUpInTheQueueFreesItsBlocksAtOnce) {
  const Listener deaf = *listen_tcp("127.0.0.1", 0);
  EngineConfig c = tcp_config();
  c.max_num_seqs = 32;
  Rig wide(c);
  auto params = prefilled();
  params.remote_port = deaf.port;
  std::vector<std::string> ids;
  for (int i = 0; i < 17; ++i) ids.push_back(wide.submit(prompt, greedy(kAnswer), params));
  const auto all_pull = [](const Stats& s) { return s.waiting_remote == 17; };
  ASSERT_EQ(wide.stats_when(all_pull).waiting_remote, 17U);

  wide.engine->abort(ids.back());

  const auto one_is_gone = [](const Stats& s) { return s.waiting_remote == 16; };
  EXPECT_EQ(wide.stats_when(one_is_gone).blocks_used, 16U * 7U);
}

TEST_F(Fault, RenewalsAtAnEngineThatDoesNotAnswerDelayNoPullAndAreDropped) {
  FullEngine full;
  const Listener deaf = *listen_tcp("127.0.0.1", 0);
  auto params = prefilled();
  params.remote_port = deaf.port;
  for (int i = 0; i < 40; ++i) full.rig.submit(prompt, greedy(kAnswer), params);

  full.rig.clock.advance(std::chrono::seconds(5));
  full.permits->release();
  const Signal never_stop;
  const std::atomic<bool> never = false;
  const SystemClock real;
  const auto connection = accept_any(std::span(&deaf.socket, 1), never_stop);
  ASSERT_TRUE(connection);
  SocketReader from(*connection);
  ASSERT_TRUE(receive_control(from, {real, Deadline::in(real, kPatience), never}));
  ASSERT_TRUE(full.rig.engine->submit({.id = "urgent",
                                       .prompt = prompt,
                                       .sampling = greedy(kAnswer),
                                       .transfer = prefilled(),
                                       .deadline = {},
                                       .priority = -1}));
  full.rig.engine->abort(full.running);
  full.permits->release(kAllThatIsLeft);

  const Answer answer = full.rig.sink.wait("urgent");
  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, kPrompt - 1);

  full.rig.clock.advance(std::chrono::seconds(2));
  const auto dropped = [](const Stats& s) { return s.settlements_dropped >= 39; };
  EXPECT_EQ(full.rig.stats_when(dropped).settlements_dropped, 39U);
}

TEST_F(Fault, TheServeLayerCanReleaseALease) {
  const auto params = prefilled();

  EXPECT_EQ(prefill.engine->release_lease(params.remote_request_id, "guess").error().code(),
            Code::kNotFound);
  EXPECT_TRUE(prefill.engine->release_lease(params.remote_request_id, params.lease_token));
  expect_nothing_pinned();
}

TEST_F(Fault, ARequestThatIsAbortedOnThePrefillEngineLeavesNoLease) {
  kv::TransferParams leg;
  leg.do_remote_decode = true;
  const auto id = prefill.submit(prompt_of(1000, 9), greedy(1), leg);
  prefill.engine->abort(id);
  const Answer answer = prefill.sink.wait(id);

  if (answer.transfer)  // it was faster
    EXPECT_TRUE(prefill.engine->release_lease(id, answer.transfer->lease_token));
  expect_nothing_pinned();
}

TEST_F(Fault, GarbageOnTheKvPortDisturbsNobody) {
  const std::uint16_t port = prefill.engine->config().transfer->port;
  const std::atomic<bool> never = false;
  const SystemClock real;
  const Patience patience{real, Deadline::in(real, kPatience), never};
  for (const std::string& garbage :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(4096, '\xff'),
        std::string("BKV2\x01\0\0\0\xff\xff\xff\x7f", 12),
        std::string("BKV2\x05\0\0\0\x20\0\0\0", 12), kv::encode(kv::Accepted{1}),
        kv::encode(kv::Renew{})}) {
    auto peer = connect_tcp("127.0.0.1", port, patience);
    ASSERT_TRUE(peer);
    ASSERT_TRUE(peer->send(garbage, patience));
  }

  expect_next_pull_works();
}

// As many as there are threads; the clock stands still, so none of them stalls.
TEST_F(Fault, ReadersThatWereRefusedAndStayHoldNoThread) {
  const std::atomic<bool> never = false;
  const SystemClock real;
  const Patience patience{real, Deadline::in(real, kPatience), never};
  std::vector<Socket> strangers;
  for (int i = 0; i < 16; ++i) {
    auto peer = connect_tcp("127.0.0.1", prefill.engine->config().transfer->port, patience);
    ASSERT_TRUE(peer);
    ASSERT_TRUE(peer->send(kv::encode(kv::Renew{{"guess", "guess", "guess", 1}}), patience));
    SocketReader from(*peer);
    const auto answer = receive_control(from, patience);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(std::holds_alternative<kv::Failed>(*answer));
    strangers.push_back(*std::move(peer));
  }

  expect_next_pull_works();
  EXPECT_EQ(prefill.engine->stats().readers_refused, 16U);
}

TEST_F(Fault, AReaderThatNeverReadsIsCutAndItsLeaseEnds) {
  EngineConfig c = small_config();
  c.max_model_len = 4000;
  Rig slow(c);
  const auto long_prompt = prompt_of(3900, 5);
  const auto params = slow.prefill(long_prompt, greedy(1)).transfer.value();
  auto peer = connect_local(params.remote_host, params.remote_port);
  ASSERT_TRUE(peer);
  const std::atomic<bool> never = false;
  const SystemClock real;
  const Patience patience{real, Deadline::in(real, kPatience), never};
  const kv::Pull pull{
      {params.remote_engine_id, params.remote_request_id, params.lease_token, params.generation},
      {3, 2, 4, 4},
      {1, 2},
      kv::digest(std::span(long_prompt)),
      3900,
      0,
      3900};
  ASSERT_TRUE(peer->send(kv::encode(pull), patience));  // 750 kB come back, and nobody reads

  slow.stats_when([&](const Stats& s) {
    slow.clock.advance(std::chrono::seconds(1));
    return s.leases == 0;
  });

  EXPECT_EQ(slow.at_rest().blocks_pinned, 0U);
  EXPECT_LT(slow.engine->stats().served_bytes, 3900U * 3 * 64);
}

}  // namespace
}  // namespace baton::runtime
