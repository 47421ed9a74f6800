// Token-exactness: whatever way the prompt's KV came about, the answer is the same.

#include <gtest/gtest.h>

#include <poll.h>

#include "engine/runtime/socket.hpp"
#include "engine/runtime/testing/rig.hpp"
#include "net/tls/testing/credentials.hpp"

namespace baton::runtime {
namespace {

using namespace testing;

constexpr std::size_t kMaxLen = 1024;
constexpr std::size_t kAnswer = 20;

EngineConfig config(std::size_t block_size, std::size_t chunk = 128) {
  EngineConfig c = small_config();
  c.block_size = block_size;
  c.blocks = 4096 / block_size;
  c.max_num_batched_tokens = chunk;
  return c;
}

std::vector<std::size_t> lengths() { return {1, 15, 16, 17, 100, 1000, kMaxLen - 1}; }

std::vector<SamplingParams> samplings() {
  return {greedy(kAnswer), seeded(kAnswer, 42), shaped(kAnswer, 43)};
}

// One engine without cache, one request at a time.
std::vector<TokenId> alone(const std::vector<TokenId>& prompt, const SamplingParams& sampling) {
  EngineConfig c = config(16, 512);
  c.prefix_caching = false;
  c.transfer.reset();
  Rig rig(c);
  return rig.generate(prompt, sampling).tokens;
}

void expect_same(Rig& prefill, Rig& decode, std::size_t length, const SamplingParams& sampling) {
  SCOPED_TRACE("prompt of " + std::to_string(length));
  const auto prompt = prompt_of(length, 1000 + length + sampling.seed.value_or(0));
  const auto expected = alone(prompt, sampling);

  const Answer first = prefill.prefill(prompt, sampling);
  ASSERT_TRUE(first.transfer);
  EXPECT_EQ(first.finish, Finish::kLength);
  ASSERT_EQ(first.tokens.size(), 1U);
  EXPECT_EQ(first.tokens[0], expected[0]);
  const Answer answer = decode.generate(prompt, sampling, *first.transfer);

  EXPECT_EQ(answer.tokens, expected);
  ASSERT_TRUE(answer.prompt);
  EXPECT_EQ(answer.prompt->remote, length - 1);
  EXPECT_EQ(answer.prompt->cached, 0U);
  EXPECT_EQ(answer.prompt->computed, 1U);
  EXPECT_EQ(answer.prompt->kv_bytes, (length - 1) * 3 * 64U);
  EXPECT_EQ(answer.prompt->transfer_error, "");

  const Answer again = decode.generate(prompt, sampling);
  EXPECT_EQ(again.tokens, expected);
}

class BlockSizes : public ::testing::TestWithParam<std::pair<std::size_t, std::size_t>> {};

TEST_P(BlockSizes, PrefillAndDecodeGiveTheSameTokensAsOneEngine) {
  Rig prefill(config(GetParam().first, 100));
  Rig decode(config(GetParam().second, 48));

  for (const SamplingParams& sampling : samplings())
    for (const std::size_t length : lengths()) expect_same(prefill, decode, length, sampling);

  const Stats p = prefill.at_rest();
  EXPECT_EQ(p.blocks_pinned, 0U);
  EXPECT_EQ(p.blocks_leased, 0U);
  EXPECT_EQ(p.leases_released, p.leases_granted);
  EXPECT_EQ(p.leases_expired, 0U);
  EXPECT_EQ(decode.at_rest().transfers_failed, 0U);
}

INSTANTIATE_TEST_SUITE_P(OnEitherSide, BlockSizes,
                         ::testing::Values(std::pair{16, 16}, std::pair{16, 32}, std::pair{16, 64},
                                           std::pair{32, 16}, std::pair{32, 32}, std::pair{32, 64},
                                           std::pair{64, 16}, std::pair{64, 32},
                                           std::pair{64, 64}));

TEST(Transfer, GoesOverTcpWhenThereIsNoLocalSocket) {
  EngineConfig c = config(16);
  c.transfer->local_socket = LocalSocket::kOff;
  Rig prefill(c), decode(c);

  expect_same(prefill, decode, 100, greedy(kAnswer));

  EXPECT_EQ(decode.engine->stats().transfers_ok, 1U);
}

// Certificates of two authorities for 127.0.0.1.
struct Secured {
  SystemClock clock;
  tls::testing::Credentials ours = tls::testing::Credentials::make("ours", clock);
  tls::testing::Credentials theirs = tls::testing::Credentials::make("theirs", clock);

  EngineConfig engine(const tls::testing::Credentials& shown,
                      const tls::testing::Credentials& trusted) const {
    EngineConfig c = config(16);
    c.transfer->local_socket = LocalSocket::kOff;
    c.transfer->serve_tls = tls::testing::open_server(shown.server(), clock);
    c.transfer->dial_tls = tls::testing::open_client(trusted.client(), clock);
    return c;
  }
  EngineConfig plain() const {
    EngineConfig c = config(16);
    c.transfer->local_socket = LocalSocket::kOff;
    return c;
  }
};

TEST(Transfer, GoesOverTlsWithTheSameTokensAndGivesTheLeaseBack) {
  const Secured secured;
  Rig prefill(secured.engine(secured.ours, secured.ours));
  Rig decode(secured.engine(secured.ours, secured.ours));

  for (const std::size_t length : lengths()) expect_same(prefill, decode, length, greedy(kAnswer));

  EXPECT_EQ(decode.engine->stats().transfers_ok, lengths().size() - 1);  // one token needs none
  EXPECT_EQ(prefill.at_rest().leases_expired, 0U);
}

TEST(Transfer, TakesNoKvFromAnEngineThatItsAuthorityDidNotSignOrThatSpeaksInTheClear) {
  const Secured secured;
  Rig other(secured.engine(secured.theirs, secured.theirs)), plain(secured.plain());
  const auto prompt = prompt_of(100, 8);
  const auto reason_from = [&](Rig& prefill) {
    Rig decode(secured.engine(secured.ours, secured.ours));
    const Answer first = prefill.prefill(prompt, greedy(kAnswer));
    const Answer answer = decode.generate(prompt, greedy(kAnswer), *first.transfer);
    EXPECT_EQ(answer.tokens, alone(prompt, greedy(kAnswer)));
    EXPECT_EQ(answer.prompt->remote, 0U);
    EXPECT_EQ(prefill.engine->stats().served_bytes, 0U);
    return answer.prompt->transfer_error;
  };

  EXPECT_NE(reason_from(other).find("certificate"), std::string::npos) << reason_from(other);
  EXPECT_NE(reason_from(plain).find("TLS"), std::string::npos) << reason_from(plain);
}

// The kernel takes the connection; nobody answers the handshake.
TEST(Transfer, AnAnnouncedPullWithoutADeadlineGivesUpOnAPortThatDoesNotAnswer) {
  const Secured secured;
  Rig decode(secured.engine(secured.ours, secured.ours));
  const Listener deaf = *listen_tcp("127.0.0.1", 0);
  const auto prompt = prompt_of(100, 8);
  kv::TransferParams params;
  params.do_remote_prefill = params.announced = true;
  params.remote_host = "127.0.0.1";
  params.remote_port = deaf.port;
  params.remote_num_tokens = prompt.size();
  ASSERT_TRUE(decode.engine->submit({.id = "no deadline",
                                     .prompt = prompt,
                                     .sampling = greedy(kAnswer),
                                     .transfer = params,
                                     .deadline = {}}));
  pollfd connected{deaf.socket.fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&connected, 1, 60'000), 1);

  decode.clock.advance(std::chrono::seconds(6));

  const Answer answer = decode.sink.wait("no deadline");
  EXPECT_EQ(answer.tokens, alone(prompt, greedy(kAnswer)));
  const std::string why = answer.prompt.value_or(PromptReport{}).transfer_error;
  EXPECT_NE(why.find("connecting to 127.0.0.1"), std::string::npos) << why;
  EXPECT_NE(why.find("did not answer in time"), std::string::npos) << why;
}

TEST(Transfer, GivesNoKvToAReaderInTheClear) {
  const Secured secured;
  Rig prefill(secured.engine(secured.ours, secured.ours)), plain(secured.plain());
  const auto prompt = prompt_of(100, 9);
  const Answer first = prefill.prefill(prompt, greedy(kAnswer));

  const Answer answer = plain.generate(prompt, greedy(kAnswer), *first.transfer);

  EXPECT_EQ(answer.tokens, alone(prompt, greedy(kAnswer)));
  EXPECT_EQ(answer.prompt->remote, 0U);
  EXPECT_NE(answer.prompt->transfer_error, "");
  EXPECT_EQ(prefill.engine->stats().served_bytes, 0U);
}

TEST(Transfer, PullsOnlyWhatTheOwnPrefixCacheLacks) {
  Rig prefill(config(16)), decode(config(16));
  auto prompt = prompt_of(100, 5);
  decode.generate(std::vector(prompt.begin(), prompt.begin() + 50), greedy(1));

  const Answer first = prefill.prefill(prompt, greedy(kAnswer));
  const Answer answer = decode.generate(prompt, greedy(kAnswer), *first.transfer);

  EXPECT_EQ(answer.prompt->cached, 48U);
  EXPECT_EQ(answer.prompt->remote, 51U);
  EXPECT_EQ(answer.prompt->computed, 1U);
  EXPECT_EQ(answer.tokens, alone(prompt, greedy(kAnswer)));
}

TEST(Transfer, AFullHitReleasesTheLeaseWithoutReading) {
  Rig prefill(config(16)), decode(config(16));
  const auto prompt = prompt_of(65, 6);
  const auto expected = decode.generate(prompt, greedy(kAnswer)).tokens;

  const Answer first = prefill.prefill(prompt, greedy(kAnswer));
  const Answer answer = decode.generate(prompt, greedy(kAnswer), *first.transfer);

  EXPECT_EQ(answer.tokens, expected);
  EXPECT_EQ(answer.prompt->cached, 64U);
  EXPECT_EQ(answer.prompt->remote, 0U);
  EXPECT_EQ(prefill.at_rest().leases_released, 1U);
  EXPECT_EQ(prefill.engine->stats().served_bytes, 0U);
}

TEST(Transfer, AFirstTokenThatIsEosStillLeavesALease) {
  Rig prefill(config(16)), decode(config(16));
  const auto prompt = prompt_of(40, 7);
  SamplingParams sampling = greedy(kAnswer);
  sampling.stop_token_ids = {alone(prompt, sampling)[0]};

  const Answer first = prefill.prefill(prompt, sampling);

  EXPECT_EQ(first.finish, Finish::kStop);
  ASSERT_TRUE(first.transfer);
  EXPECT_EQ(decode.generate(prompt, sampling, *first.transfer).tokens, first.tokens);
  EXPECT_EQ(prefill.at_rest().leases_released, 1U);
}

TEST(Transfer, ManyAtOnceOnSmallPoolsGiveTheSameTokens) {
  EngineConfig small = config(16, 64);
  small.blocks = 70;
  Rig prefill(small), decode(small);
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::string> firsts, seconds;
  for (std::size_t i = 0; i < 24; ++i) prompts.push_back(prompt_of(1 + i * 13, 100 + i % 7));

  kv::TransferParams leg;
  leg.do_remote_decode = true;
  for (const auto& prompt : prompts) firsts.push_back(prefill.submit(prompt, greedy(1), leg));
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Answer first = prefill.sink.wait(firsts[i]);
    ASSERT_TRUE(first.transfer);
    seconds.push_back(decode.submit(prompts[i], seeded(60, i), *first.transfer));
  }

  for (std::size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(decode.sink.wait(seconds[i]).tokens, alone(prompts[i], seeded(60, i))) << i;
  EXPECT_EQ(prefill.at_rest().blocks_pinned, 0U);
  EXPECT_EQ(decode.at_rest().blocks_used, 0U);
}

}  // namespace
}  // namespace baton::runtime
