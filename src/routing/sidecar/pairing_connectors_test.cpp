// Connectors that tell both legs of each other before either runs: MoRI-IO and Mooncake, as edits.

#include <gmock/gmock.h>

#include <array>

#include "base/text/json.hpp"
#include "routing/sidecar/connector.hpp"
#include "routing/sidecar/mooncake_engines.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using text::json::Value;

Pairing pairing() {
  Pairing out;
  out.prefiller = {"10.0.0.7", 8000};
  out.id = "req-1";
  return out;
}

openai::BodyIndex index_of(std::string_view body, Api api = Api::kChat) {
  return *openai::BodyIndex::scan(body, api == Api::kGenerate ? "sampling_params" : "");
}
std::string prefill_of(const Connector& connector, std::string_view body, Api api = Api::kChat) {
  auto index = index_of(body, api);
  return index.splice(connector.prefill_edits(api, index, pairing())).join();
}
Value params_of(const std::string& body) {
  auto value = text::json::parse(body);
  EXPECT_TRUE(value) << body;
  const Value* params = value ? value->find("kv_transfer_params") : nullptr;
  return params == nullptr ? Value() : *params;
}
Value decode_params(const Connector& connector, std::string_view prefill_told) {
  Handover handover;
  handover.params = prefill_told;
  return params_of(index_of("{}").splice(connector.decode_edits(handover, pairing())).join());
}
Moriio ranks(int dp_size) {
  Moriio out;
  out.dp_size = dp_size;
  return out;
}
std::unique_ptr<Connector> moriio(Moriio it) {
  it.pod_address = "10.0.0.2";
  return make_connector("nixlv2", {{}, Pull::kNo, std::move(it)});
}

// sidecar:31 the parameters of both legs, and the rank whose engine decode is told.
TEST(Mooncake, NamesOneTransferAndTheEngineThatPrefills) {
  auto connector = make_connector("mooncake", {{.mooncake_bootstrap = 8990}});
  Pairing with = pairing();
  with.engine_id = "E2";
  with.rank = 2;
  auto index = index_of(R"({"max_tokens":9,"min_tokens":3,"stream":true})");

  EXPECT_EQ(connector->order(), Order::kParallel);
  EXPECT_EQ(connector->bootstrap_port(), 8990);
  EXPECT_EQ(connector->prefill_rank(with), 2);
  EXPECT_EQ(connector->decode_rank(with), std::nullopt);
  EXPECT_EQ(index.splice(connector->prefill_edits(Api::kChat, index, with)).join(),
            R"({"max_tokens":1,"min_tokens":1,"stream":false,"kv_transfer_params":)"
            R"({"do_remote_prefill":false,"do_remote_decode":true,"transfer_id":"xfer-req-1"}})");
  EXPECT_EQ(index.splice(connector->decode_edits({}, with)).join(),
            R"({"max_tokens":9,"min_tokens":3,"stream":true,"kv_transfer_params":)"
            R"({"do_remote_prefill":true,"do_remote_decode":false,"transfer_id":"xfer-req-1",)"
            R"("remote_bootstrap_addr":"http://10.0.0.7:8990","remote_engine_id":"E2"}})");
}

TEST(Mooncake, ReadsTheEnginesOfAHost) {
  auto two = parse_engines(R"({"0":{"engine_id":"A","x":1},"3":{"engine_id":"B"}})");
  ASSERT_TRUE(two);
  EXPECT_EQ(*two, (std::vector<MooncakeEngine>{{0, "A"}, {3, "B"}}));
  for (std::string_view none : {"", "[]", "{}", R"({"x":{"engine_id":"A"}})", R"({"0":{}})",
                                R"({"-1":{"engine_id":"A"}})", R"({"0":{"engine_id":""}})"}) {
    EXPECT_FALSE(parse_engines(none)) << none;
  }
}

// sidecar:44 the hash by which llm-d spreads requests over ranks.
TEST(Moriio, SpreadsRequestsOverRanks) {
  const Moriio eight = ranks(8);
  EXPECT_EQ(eight.rank_of("req-1"), 5);
  EXPECT_EQ(eight.rank_of("abc"), 2);
  EXPECT_EQ(eight.rank_of("0f8fad5b-d9cb-469f-a165-70867728950e"), 0);
  std::array<int, 8> counts{};
  for (int i = 0; i < 8000; ++i) {
    const int rank = eight.rank_of("request " + std::to_string(i));
    ASSERT_TRUE(rank >= 0 && rank < 8);
    ++counts.at(static_cast<std::size_t>(rank));
  }
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

// sidecar:44 a rank that prefill returns is kept when it is one, else the hash decides.
TEST(Moriio, ChecksTheRankThatPrefillReturns) {
  auto rank_after = [](std::string_view told) {
    auto connector = moriio(ranks(8));
    std::string params = R"({"remote_dp_rank":)" + std::string(told) + "}";
    return decode_params(*connector, params).find("remote_dp_rank")->if_int();
  };
  EXPECT_EQ(rank_after("0"), 0);
  EXPECT_EQ(rank_after("7"), 7);
  EXPECT_EQ(rank_after("7.0"), 7);
  for (std::string_view none : {"8", "-1", "null", R"("3")", "2.5", "true", "[]", "1e30"}) {
    EXPECT_EQ(rank_after(none), 5) << none;
  }
}

// sidecar:24 without write mode nothing of it is on the wire, whatever the sizes say.
TEST(Moriio, LeavesTheWireAloneWhenItIsOff) {
  auto connector = make_connector("nixlv2", {});
  const std::string prefill = prefill_of(*connector, "{}");
  EXPECT_EQ(connector->prefill_rank(pairing()), std::nullopt);
  EXPECT_EQ(connector->decode_rank(pairing()), std::nullopt);
  EXPECT_THAT(prefill, HasSubstr(R"("kv_transfer_params":{"do_remote_decode":true,)"
                                 R"("do_remote_prefill":false,"remote_engine_id":null,)"
                                 R"("remote_block_ids":null,"remote_host":null,)"
                                 R"("remote_port":null})"));
}

// sidecar:25 one prefill pod and one decode pod, eight ranks.
TEST(Moriio, TellsEachSideOfTheOther) {
  Moriio it = ranks(8);
  it.decode_notify_port = 1;
  it.decode_handshake_port = 2;
  it.prefill_notify_port = 3;
  it.prefill_handshake_port = 4;
  it.tp_size = 2;
  auto connector = moriio(it);

  Value prefill = params_of(prefill_of(*connector, R"({"min_tokens":4})"));
  Value decode = decode_params(*connector, R"({"remote_block_ids":[1],"transfer_id":"theirs"})");

  EXPECT_EQ(connector->order(), Order::kSerial);
  EXPECT_EQ(connector->prefill_rank(pairing()), 5);
  EXPECT_EQ(connector->decode_rank(pairing()), 5);
  EXPECT_EQ(dump(prefill),
            R"({"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,)"
            R"("remote_block_ids":null,"remote_port":null,"remote_host":"10.0.0.2",)"
            R"("remote_notify_port":1,"remote_handshake_port":2,"remote_dp_rank":5,)"
            R"("transfer_id":"txreq-1","tp_size":2,"remote_dp_size":8,)"
            R"("remote_dp_rank_override":true})");
  EXPECT_EQ(dump(decode),
            R"({"remote_block_ids":[1],"transfer_id":"theirs","remote_host":"10.0.0.7",)"
            R"("remote_notify_port":3,"remote_handshake_port":4,"remote_dp_rank":5,"tp_size":2,)"
            R"("remote_dp_size":8})");
}

// sidecar:25 two pods each side, each told the other's addresses.
TEST(Moriio, TellsTheAddressesOfTheOtherSidesPods) {
  Moriio two = ranks(16);
  two.dp_size_local = 8;
  two.remote_hosts = {"10.1.0.1", "10.1.0.2"};
  two.decode_hosts = {"10.2.0.1", "10.2.0.2"};
  auto connector = moriio(two);

  Value prefill = params_of(prefill_of(*connector, "{}"));
  Value decode = decode_params(*connector, "{}");

  EXPECT_EQ(dump(*prefill.find("remote_hosts")), R"(["10.2.0.1","10.2.0.2"])");
  EXPECT_EQ(dump(*decode.find("remote_hosts")), R"(["10.1.0.1","10.1.0.2"])");
  EXPECT_EQ(prefill.find("remote_dp_size_local")->if_int(), 8);
}

// sidecar:25 both legs at once, min_tokens capped for prefill only.
TEST(Moriio, InventsTheParamsOfAParallelDecode) {
  Moriio it;
  it.dispatch = Dispatch::kParallel;
  auto connector = moriio(it);

  Value decode = decode_params(*connector, "");

  EXPECT_EQ(connector->order(), Order::kHeld);
  EXPECT_EQ(dump(decode),
            R"({"do_remote_prefill":true,"do_remote_decode":false,)"
            R"("remote_engine_id":"10.0.0.7:6301","remote_block_ids":[],"remote_host":"10.0.0.7",)"
            R"("remote_notify_port":61005,"remote_handshake_port":6301,"remote_dp_rank":0,)"
            R"("transfer_id":"txreq-1","tp_size":1,"remote_dp_size":1})");
  EXPECT_THAT(prefill_of(*connector, R"({"min_tokens":4})"), HasSubstr(R"("min_tokens":1)"));
  EXPECT_THAT(index_of(R"({"min_tokens":4})").splice(connector->decode_edits({}, pairing())).join(),
              HasSubstr(R"({"min_tokens":4,)"));
  EXPECT_THAT(prefill_of(*connector, R"({"sampling_params":{"min_tokens":4}})", Api::kGenerate),
              HasSubstr(R"({"min_tokens":1,"max_tokens":1})"));
}

}  // namespace
}  // namespace baton::sidecar
