// Pulls whose connection breaks, and pulls out of another engine's memory.

#include <gtest/gtest.h>

#include "engine/runtime/kv_server.hpp"
#include "engine/runtime/testing/meddler.hpp"
#include "engine/runtime/testing/rig.hpp"
#include "formats/kv/kv_wire.hpp"

namespace baton::runtime {
namespace {

using namespace testing;

constexpr std::size_t kAnswer = 10;
constexpr std::size_t kRow = std::size_t{3} * 64;  // bytes of a token in FakeModel's layers
constexpr std::size_t kFrame = 2048;               // tokens: 128 KiB of a layer
constexpr std::size_t kPrompt = 3900;              // two frames a layer
constexpr std::size_t kInSecondFrames = kFrame * kRow + 20'000;  // a byte of the answer stream

EngineConfig config(LocalSocket local) {
  EngineConfig c = small_config();
  c.max_model_len = 4000;
  c.transfer->local_socket = local;
  return c;
}

class Broken : public ::testing::Test {
 protected:
  kv::TransferParams through(const Meddler& meddler) {
    kv::TransferParams out = params;
    out.remote_port = meddler.port();
    return out;
  }
  std::uint16_t port() const { return prefill.engine->config().transfer->port; }

  const std::vector<TokenId> prompt = prompt_of(kPrompt, 3);
  const std::vector<TokenId> expected =
      Rig(config(LocalSocket::kOff)).generate(prompt, greedy(kAnswer)).tokens;
  Rig prefill{config(LocalSocket::kOff), nullptr, 1};
  Rig decode{config(LocalSocket::kOff), nullptr, 2};
  const kv::TransferParams params =
      prefill.prefill(prompt, greedy(1)).transfer.value_or(kv::TransferParams{});
};

TEST_F(Broken, APullGoesOnFromWhereItsConnectionWasReset) {
  Meddler meddler(port(), Meddler::How::kCutOnce, kInSecondFrames);

  const Answer answer = decode.generate(prompt, greedy(kAnswer), through(meddler));

  EXPECT_TRUE(meddler.reached());
  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->remote, kPrompt - 1);
  EXPECT_EQ(answer.prompt->transfer_error, "");
  EXPECT_EQ(decode.engine->stats().transfers_ok, 1U);
  EXPECT_EQ(decode.engine->stats().transfers_resumed, 1U);
  // The first frames were not sent again.
  EXPECT_LT(prefill.at_rest().served_bytes, (kPrompt - 1) * kRow + kFrame * kRow);
  EXPECT_EQ(prefill.engine->stats().leases_released, 1U);
}

TEST_F(Broken, WhatHasArrivedIsUsedWhenTheOtherEngineIsGone) {
  Meddler meddler(port(), Meddler::How::kCutAndClose, kInSecondFrames);

  const Answer answer = decode.generate(prompt, greedy(kAnswer), through(meddler));

  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->remote, kFrame);
  EXPECT_EQ(answer.prompt->computed, kPrompt - kFrame);
  EXPECT_GE(answer.prompt->kv_bytes, kFrame * kRow);
  EXPECT_NE(answer.prompt->transfer_error.find("connecting to"), std::string::npos);
}

TEST_F(Broken, APullDoesNotGoOnForEver) {
  Meddler meddler(port(), Meddler::How::kCut, 100);

  const Answer answer = decode.generate(prompt, greedy(kAnswer), through(meddler));

  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, 0U);
  EXPECT_EQ(decode.engine->stats().transfers_resumed, 3U);
  EXPECT_EQ(decode.engine->stats().transfers_failed, 1U);
}

TEST(SeveralPods, PullFromOneEngineAtOnce) {
  for (const LocalSocket local : {LocalSocket::kOff, LocalSocket::kOn}) {
    Rig prefill(config(local));
    std::vector<std::unique_ptr<Rig>> pods;
    std::vector<std::string> ids;
    const auto prompt = [](std::size_t pod) { return prompt_of(600, pod); };
    for (std::size_t i = 0; i < 6; ++i) pods.push_back(std::make_unique<Rig>(config(local)));
    std::vector<kv::TransferParams> leases;
    for (std::size_t i = 0; i < pods.size(); ++i)
      leases.push_back(prefill.prefill(prompt(i), greedy(1)).transfer.value());

    for (std::size_t i = 0; i < pods.size(); ++i)
      ids.push_back(pods[i]->submit(prompt(i), greedy(kAnswer), leases[i]));

    for (std::size_t i = 0; i < pods.size(); ++i) {
      const Answer answer = pods[i]->sink.wait(ids[i]);
      EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, 599U);
      EXPECT_EQ(answer.tokens, Rig(config(local)).generate(prompt(i), greedy(kAnswer)).tokens);
    }
    EXPECT_EQ(prefill.at_rest().blocks_pinned, 0U);
    EXPECT_EQ(prefill.engine->stats().leases_released, pods.size());
  }
}

TEST(SharedMemory, IsWhereKvComesFromOnOneMachine) {
  Rig prefill(config(LocalSocket::kOn)), decode(config(LocalSocket::kOn));
  const auto prompt = prompt_of(100, 5);
  const Answer first = prefill.prefill(prompt, greedy(1));

  const Answer answer = decode.generate(prompt, greedy(kAnswer), first.transfer.value());

  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, 99U);
  EXPECT_EQ(decode.engine->stats().transfer_bytes_copied, 99 * kRow);
  EXPECT_EQ(prefill.at_rest().served_bytes, 99 * kRow);
}

// A client of the KV protocol that the test drives.
struct Reader {
  SystemClock clock;
  std::atomic<bool> never = false;
  Patience patience() const { return {clock, Deadline::in(clock, kPatience), never}; }
};

kv::Pull shared_pull(const kv::TransferParams& p, const std::vector<TokenId>& prompt) {
  const auto tokens = static_cast<std::uint32_t>(prompt.size());
  return {{p.remote_engine_id, p.remote_request_id, p.lease_token, p.generation},
          {3, 2, 4, 4},
          {1, 2},
          kv::digest(std::span(prompt)),
          tokens,
          0,
          tokens,
          true};
}

// A reader that has been told where the memory is.
struct Mapping : ::testing::Test {
  Mapping() {
    EXPECT_TRUE(peer);
    EXPECT_TRUE(peer->send(kv::encode(pull), reader.patience()));
    SocketReader from(*peer);
    const auto where = receive_control(from, reader.patience());
    EXPECT_TRUE(where && std::holds_alternative<kv::Shared>(*where));
    if (where) EXPECT_EQ(std::get<kv::Shared>(*where).table.size(), 7U);
    EXPECT_TRUE(peer->receive_descriptor(reader.patience()));
  }
  Rig prefill{config(LocalSocket::kOn)};
  const std::vector<TokenId> prompt = prompt_of(100, 5);
  const kv::TransferParams params = prefill.prefill(prompt, greedy(1)).transfer.value();
  const kv::Pull pull = shared_pull(params, prompt);
  const Reader reader;
  const Result<Socket> peer = connect_local(params.remote_host, params.remote_port);
};

TEST_F(Mapping, OfAReaderThatFallsSilentEndsWithItsLease) {
  EXPECT_EQ(prefill.engine->stats().blocks_pinned, 7U);

  prefill.stats_when([&](const Stats& s) {
    prefill.clock.advance(std::chrono::seconds(1));
    return s.leases == 0;
  });

  EXPECT_EQ(prefill.at_rest().blocks_pinned, 0U);
  EXPECT_EQ(prefill.engine->stats().served_bytes, 0U);
  char byte = 0;  // the connection is over, so that the reader knows
  EXPECT_FALSE(peer->receive(std::span(&byte, 1), reader.patience()));
}

TEST_F(Mapping, StaysTheLeasesWhileItIsRead) {
  EXPECT_TRUE(prefill.engine->release_lease(params.remote_request_id, params.lease_token));
  prefill.generate(prompt_of(50, 6), greedy(1));  // steps, which reclaim

  EXPECT_EQ(prefill.engine->stats().blocks_pinned, 7U);
  ASSERT_TRUE(peer->send(kv::encode(kv::Release{pull.key}), reader.patience()));
  EXPECT_EQ(prefill.at_rest().blocks_pinned, 0U);
}

TEST_F(Mapping, EndsWithAReleaseAndNothingElse) {
  ASSERT_TRUE(peer->send(kv::encode(pull), reader.patience()));

  char byte = 0;
  EXPECT_FALSE(peer->receive(std::span(&byte, 1), reader.patience()));
}

// A prefill engine on a unix socket that shares memory, and then goes without a word.
TEST(SharedMemory, WhatWasCopiedIsGoodOnlyByTheOthersWord) {
  const Listener tcp = *listen_tcp("127.0.0.1", 0);
  const Socket local = *listen_local("127.0.0.1", tcp.port);
  Signal stop;
  const Reader reader;
  const auto memory = tensor::Pages::to_share(std::size_t{1} << 20);
  std::atomic<int> shared = 0;
  std::jthread silent([&] {
    while (auto peer = accept_any(std::span(&local, 1), stop)) {
      SocketReader from(*peer);
      const auto request = receive_control(from, reader.patience());
      if (!request || !std::holds_alternative<kv::Pull>(*request)) continue;
      const kv::Shared where{7, 7, 16, 0, {0, 1, 2, 3, 4, 5, 6}};
      EXPECT_TRUE(std::get<kv::Pull>(*request).shared);
      EXPECT_TRUE(peer->send(kv::encode(where), reader.patience()));
      EXPECT_TRUE(peer->send_descriptor(memory.descriptor(), reader.patience()));
      const auto release = receive_control(from, reader.patience());
      EXPECT_TRUE(release && std::holds_alternative<kv::Release>(*release));
      ++shared;
    }
  });
  Rig decode(config(LocalSocket::kOn));
  const auto prompt = prompt_of(100, 5);
  kv::TransferParams params;
  params.do_remote_prefill = true;
  params.remote_engine_id = "silent";
  params.remote_request_id = "r";
  params.remote_host = "127.0.0.1";
  params.remote_port = tcp.port;
  params.remote_num_tokens = 100;
  params.generation = 7;
  params.lease_token = "t";

  const Answer answer = decode.generate(prompt, greedy(kAnswer), params);
  stop.raise();

  EXPECT_GT(shared, 0);
  EXPECT_EQ(answer.prompt.value_or(PromptReport{}).remote, 0U);
  EXPECT_NE(answer.prompt->transfer_error, "");
  EXPECT_EQ(answer.tokens, Rig(config(LocalSocket::kOn)).generate(prompt, greedy(kAnswer)).tokens);
}

}  // namespace
}  // namespace baton::runtime
