// Every connector's edits, as pure functions: by example, and on random bodies of all five
// generation endpoints.

#include <gmock/gmock.h>

#include <set>

#include "base/text/json.hpp"
#include "routing/sidecar/connector.hpp"
#include "routing/sidecar/store_answer.hpp"
#include "routing/sidecar/usage_fix.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using text::json::Value;

const EnginePorts kPorts{.p2p = 7777, .serving = 8000, .ranks = 4};

Pairing pairing() {
  Pairing out;
  out.prefiller = {"10.0.0.7", 8000};
  out.id = "U";
  out.room = 42;
  return out;
}

struct Bodies {
  std::string prefill, decode, local;
};
Bodies edited(const Connector& connector, Api api, std::string_view body, const Pairing& with) {
  auto index = openai::BodyIndex::scan(body, connector.nested_member(api));
  Handover handover;
  handover.params = R"({"from":"prefill"})";
  return {index->splice(connector.prefill_edits(api, *index, with)).join(),
          index->splice(connector.decode_edits(handover, with)).join(),
          index->splice(connector.local_edits(with)).join()};
}

// Reference 13; sidecar:30 both legs get the three bootstrap members.
TEST(Sglang, TellsBothLegsWhereToMeet) {
  auto connector = make_sglang(kPorts);
  Bodies got = edited(*connector, Api::kChat, R"({"max_tokens":9})", pairing());
  std::string both =
      R"({"max_tokens":9,"bootstrap_host":"10.0.0.7","bootstrap_port":8998,"bootstrap_room":42})";
  EXPECT_EQ(connector->order(), Order::kParallel);
  EXPECT_EQ(got.prefill, both);
  EXPECT_EQ(got.decode, both);
  EXPECT_EQ(edited(*connector, Api::kChat, both, pairing()).local, R"({"max_tokens":9})");
}

TEST(Sglang, ALegForItsEngineMeetsThereAndNowhereElse) {
  const auto connector = make_sglang(kPorts);
  const std::string leg = edited(*connector, Api::kChat, R"({"prompt":"p"})", pairing()).prefill;
  EXPECT_TRUE(connector->is_leg(leg, "10.0.0.7"));
  EXPECT_FALSE(connector->is_leg(leg, "10.0.0.8"));
  EXPECT_FALSE(connector->is_leg(leg, ""));
  const auto meets = [&](std::string_view members) {
    return connector->is_leg("{" + std::string(members) + "}", "10.0.0.7");
  };
  const std::string where = R"("bootstrap_host":"10.0.0.7","bootstrap_port":8998)";
  const std::string other = R"("bootstrap_host":"10.6.6.6")";
  const std::string room = R"("bootstrap_room":1)";
  const std::string keep = R"("kv_transfer_params":{"do_remote_decode":true})";
  EXPECT_TRUE(meets(where + "," + room));
  for (const std::string& members :
       {where, room, keep, where + R"(,"bootstrap_room":"1")", where + "," + room + "," + other,
        other + "," + where + "," + room, keep + "," + where + "," + room,
        keep + "," + other + R"(,"bootstrap_port":8998,)" + room,
        R"("bootstrap_host":"10.0.0.7","bootstrap_port":80,)" + room}) {
    EXPECT_FALSE(meets(members)) << members;
  }
}

// Reference 15.1; sidecar:32
TEST(Offloading, NamesTheRequestOnBothLegs) {
  auto connector = make_offloading(kPorts);
  Bodies got = edited(*connector, Api::kChat, R"({"max_tokens":9,"stream":true})", pairing());
  EXPECT_EQ(
      got.prefill,
      R"({"max_tokens":1,"stream":false,"kv_transfer_params":{"remote_decoder":{"kv_request_id":"U"}}})");
  EXPECT_EQ(got.decode, R"({"max_tokens":9,"stream":true,"kv_transfer_params":{"remote_prefiller":)"
                        R"({"kv_request_id":"U","remote_host":"10.0.0.7","remote_port":7777}}})");
  EXPECT_EQ(got.local, R"({"max_tokens":9,"stream":true})");
}

// sidecar:32
TEST(Offloading, FindsTheP2pPortOfARank) {
  auto port = [](EnginePorts ports, std::uint16_t serving) { return ports.p2p_of({"h", serving}); };
  EXPECT_EQ(port({.ranks = 1}, 8000), 7777);
  EXPECT_EQ(port(kPorts, 8000), 7777);
  EXPECT_EQ(port(kPorts, 8002), 7779);
  EXPECT_EQ(port(kPorts, 8003), 7780);
  EXPECT_EQ(port(kPorts, 8004), 7777);  // beyond
  EXPECT_EQ(port(kPorts, 7999), 7777);  // below
  EXPECT_EQ(port(kPorts, 0), 7777);
  EXPECT_EQ(port({.serving = 0, .ranks = 4}, 8002), 7777);
}

// sidecar:32
TEST(Offloading, KnowsAnEndpointBySchemeIpv6AndPort) {
  auto told = [](std::string_view text) {
    Pairing with = pairing();
    auto endpoint = http::parse_endpoint(without_scheme(text));
    if (!endpoint) return std::string("none");
    with.prefiller = *endpoint;
    auto body = text::json::parse(edited(*make_offloading(kPorts), Api::kChat, "{}", with).decode);
    return text::json::dump(*body->find_path({"kv_transfer_params", "remote_prefiller"}));
  };
  EXPECT_EQ(told("http://10.0.0.7:8001"),
            R"({"kv_request_id":"U","remote_host":"10.0.0.7","remote_port":7778})");
  EXPECT_EQ(told(" [fd00::7]:8000 "),
            R"({"kv_request_id":"U","remote_host":"fd00::7","remote_port":7777})");
  for (std::string_view none : {"10.0.0.7", "10.0.0.7:", "10.0.0.7:x", "https://10.0.0.7:1", ""}) {
    EXPECT_EQ(told(none), "none") << none;
  }
}

// Reference 15.2, 15.3; sidecar:33
TEST(KvSource, IsPulledFromByWhoeverComputesThePrompt) {
  Pairing with = pairing();
  with.source = KvSource{{"10.0.0.9", 8002}, "V"};
  const std::string source =
      R"("remote_kv_source":{"kv_request_id":"V","remote_host":"10.0.0.9","remote_port":7779})";

  for (const auto& connector : {make_offloading(kPorts), make_nixlv2({kPorts, Pull::kYes})}) {
    Bodies got = edited(*connector, Api::kChat, R"({"kv_transfer_params":{"mine":1}})", with);
    EXPECT_THAT(got.prefill, HasSubstr(source));
    EXPECT_THAT(got.prefill, Not(HasSubstr("mine")));
    EXPECT_EQ(got.local, R"({"kv_transfer_params":{)" + source + "}}");
    with.source->at = with.prefiller;
    EXPECT_THAT(edited(*connector, Api::kChat, "{}", with).prefill,
                Not(HasSubstr("remote_kv_source")));
    with.source->at = {"10.0.0.9", 8002};
  }
  Bodies gated = edited(*make_nixlv2({kPorts}), Api::kChat, "{}", with);
  EXPECT_THAT(gated.prefill, Not(HasSubstr("remote_kv_source")));
  EXPECT_EQ(gated.local, "{}");
}

// Reference 12.
TEST(SharedStorage, SetsTheThresholdToNoughtOnceItIsPrefilled) {
  auto connector = make_shared_storage();
  Bodies got =
      edited(*connector, Api::kChat, R"({"cache_hit_threshold":0.8,"max_tokens":9})", pairing());
  EXPECT_EQ(connector->order(), Order::kDecodeFirst);
  EXPECT_EQ(got.prefill,
            R"({"cache_hit_threshold":0,"max_tokens":1,"stream":false,"max_completion_tokens":1})");
  EXPECT_EQ(got.decode, R"({"cache_hit_threshold":0,"max_tokens":9})");
  EXPECT_EQ(edited(*connector, Api::kChat, "{}", pairing()).decode, R"({"cache_hit_threshold":0})");
}

TEST(StoreAnswer, IsDecidedByTheBodyOrTwoEvents) {
  http::ResponseHead json{200, {{"Content-Type", "application/json"}}};
  http::ResponseHead stream{200, {{"Content-Type", "text/event-stream"}}};
  auto missed = [](const http::ResponseHead& head, std::string_view text) {
    StoreAnswer answer;
    EXPECT_TRUE(answer.add(text));
    return answer.missed(head);
  };
  EXPECT_TRUE(missed(json, R"({"choices":[{"finish_reason":"cache_threshold"}]})"));
  EXPECT_FALSE(missed(json, R"({"choices":[{"finish_reason":"stop"}]})"));
  EXPECT_FALSE(missed(json, "nonsense"));
  EXPECT_TRUE(missed(stream,
                     "data: {}\n\ndata: "
                     "{\"choices\":[{\"finish_reason\":\"cache_threshold\"}]}\n\n"));
  EXPECT_FALSE(missed(stream, "data: {\"choices\":[{\"text\":\"cache_threshold\"}]}\n\n"));

  const std::string two = "data: 1\n\ndata: 2\r\n\r\ndata: 3";
  for (std::size_t cut = 0; cut <= two.size(); ++cut) {
    StoreAnswer answer;
    (void)answer.add(std::string_view(two).substr(0, cut));
    EXPECT_EQ(answer.settled(stream), cut >= 20) << cut;
    EXPECT_FALSE(answer.settled(json));
  }
}

// Random JSON, deterministic: members with odd spaces, escapes, huge numbers, nesting.
class Writer {
 public:
  explicit Writer(std::uint64_t seed) : random_(seed) {}

  std::string body() {
    static const std::vector<std::string> kKeys = {"max_tokens",
                                                   "max_completion_tokens",
                                                   "min_tokens",
                                                   "max_output_tokens",
                                                   "stream",
                                                   "stream_options",
                                                   "sampling_params",
                                                   "kv_transfer_params",
                                                   "cache_hit_threshold",
                                                   "bootstrap_room",
                                                   "model",
                                                   "seed",
                                                   "messages",
                                                   "x\\u0041",
                                                   "\\u006dax_tokens",
                                                   "z"};
    std::set<std::string> used;
    std::string out = "{" + space();
    for (std::uint64_t i = random_.below(8); i > 0; --i) {
      const std::string& key = kKeys[random_.below(kKeys.size())];
      bool alias = key == "\\u006dax_tokens" && used.contains("max_tokens");
      if (alias || !used.insert(key == "\\u006dax_tokens" ? "max_tokens" : key).second) continue;
      if (out.ends_with('"') || out.find(':') != std::string::npos) out += "," + space();
      out += "\"" + key + "\"" + space() + ":" + space() + value(0) + space();
    }
    return out + "}";
  }

 private:
  std::string space() { return std::string(random_.below(2), ' '); }
  std::string value(int depth) {
    switch (random_.below(depth > 2 ? 5 : 7)) {
      case 0:
        return "null";
      case 1:
        return "true";
      case 2:
        return std::to_string(random_.next());
      case 3:
        return "1e" + std::to_string(random_.below(300));
      case 4:
        return R"("\u00e9\n\"{")";
      case 5:
        return "[" + value(depth + 1) + "," + space() + value(depth + 1) + "]";
      default:
        return "{\"max_tokens\":" + value(depth + 1) + ",\"q\":" + value(depth + 1) + "}";
    }
  }
  SeededRandom random_;
};

const Value* limit_of(const Value& body, Api api) {
  switch (api) {
    case Api::kChat:
      return body.find("max_tokens");
    case Api::kResponses:
      return body.find("max_output_tokens");
    case Api::kGenerate:
      return body.find_path({"sampling_params", "max_tokens"});
  }
  return nullptr;
}

// sidecar:12 sidecar:13 sidecar:14 sidecar:15 sidecar:16 sidecar:18 what is asked of the prefill
// leg for every API; what the client wrote is back, byte by byte, on the decode leg.
TEST(Connectors, EditAnyBodyOfAnyApi) {
  const std::set<std::string_view> touched = {"max_tokens",
                                              "max_completion_tokens",
                                              "min_tokens",
                                              "max_output_tokens",
                                              "stream",
                                              "stream_options",
                                              "sampling_params",
                                              "kv_transfer_params",
                                              "cache_hit_threshold",
                                              "bootstrap_host",
                                              "bootstrap_port",
                                              "bootstrap_room"};
  const std::set<std::string_view> on_decode = {"kv_transfer_params", "cache_hit_threshold",
                                                "bootstrap_host", "bootstrap_port",
                                                "bootstrap_room"};
  for (std::string_view name :
       {"nixlv2", "moriio", "shared-storage", "sglang", "mooncake", "offloading"}) {
    const bool moriio = name == "moriio";
    auto connector =
        make_connector(moriio ? "nixlv2" : name,
                       {kPorts, Pull::kYes, moriio ? std::optional<Moriio>({}) : std::nullopt});
    for (Api api : {Api::kChat, Api::kResponses, Api::kGenerate}) {
      for (std::uint64_t seed = 0; seed < 400; ++seed) {
        const std::string body = Writer(seed).body();
        auto before = text::json::parse(body);
        ASSERT_TRUE(before) << body;
        Bodies after = edited(*connector, api, body, pairing());
        auto prefill = text::json::parse(after.prefill);
        auto decode = text::json::parse(after.decode);
        ASSERT_TRUE(prefill && decode) << after.prefill << after.decode;
        if (name != "sglang") {
          const Value* limit = limit_of(*prefill, api);
          ASSERT_NE(limit, nullptr) << after.prefill;
          EXPECT_EQ(limit->if_int(), 1) << after.prefill;
          EXPECT_EQ(*prefill->find("stream")->if_bool(), false);
          EXPECT_EQ(prefill->find("stream_options"), nullptr);
        }
        if (name == "nixlv2" && api == Api::kChat) {
          EXPECT_EQ(prefill->find("max_completion_tokens")->if_int(), 1);
          EXPECT_EQ(prefill->find("min_tokens")->if_int(), 1);
        }
        auto index = openai::BodyIndex::scan(body);
        for (const auto& [key, value] : *before->if_object()) {
          std::string_view raw = *index->find(key);
          if (!touched.contains(key)) {
            EXPECT_EQ(openai::BodyIndex::scan(after.prefill)->find(key), raw) << body;
          }
          if (!on_decode.contains(key)) {
            EXPECT_EQ(openai::BodyIndex::scan(after.decode)->find(key), raw) << body;
          }
        }
        for (const auto& [key, value] : *decode->if_object()) {
          EXPECT_TRUE(on_decode.contains(key) || before->find(key) != nullptr) << after.decode;
        }
      }
    }
  }
}

// sidecar:20
TEST(UsageFix, SetsNoughtWhenPrefillReportedNone) {
  EXPECT_EQ(with_cached_tokens(R"({"usage":{"prompt_tokens_details":{"cached_tokens":49}}})", 0),
            R"({"usage":{"prompt_tokens_details":{"cached_tokens":0}}})");
}

// sidecar:19 sidecar:27 what the prefill engine reports, and where it goes.
TEST(UsageFix, PutsThePrefillEnginesNumberWhereverItBelongs) {
  auto reported = [](std::string_view usage) {
    auto nixl = make_nixlv2({kPorts});
    auto handover = nixl->read_prefill_answer(
        "{" + std::string(usage) +
        R"("kv_transfer_params":{"do_remote_prefill":true,"remote_engine_id":"E",)"
        R"("remote_block_ids":[1],"remote_host":"h","remote_port":1}})");
    EXPECT_TRUE(handover);
    return handover ? handover->cached_tokens : -1;
  };
  EXPECT_EQ(reported(R"("usage":{"prompt_tokens_details":{"cached_tokens":7}},)"), 7);
  EXPECT_EQ(reported(R"("usage":{"prompt_tokens_details":{"cached_tokens":0}},)"), 0);
  for (std::string_view none :
       {"", R"("usage":null,)", R"("usage":{},)", R"("usage":{"prompt_tokens_details":null},)",
        R"("usage":{"prompt_tokens_details":{}},)"}) {
    EXPECT_EQ(reported(none), 0) << none;
  }
  for (std::int64_t cached : {7, 0}) {
    const std::string fixed =
        R"({"usage":{"prompt_tokens_details":{"cached_tokens":)" + std::to_string(cached) + "}}}";
    for (std::string_view usage : {R"({"usage":{}})", R"({"usage":{"prompt_tokens_details":null}})",
                                   R"({"usage":{"prompt_tokens_details":{}}})",
                                   R"({"usage":{"prompt_tokens_details":{"cached_tokens":49}}})"}) {
      EXPECT_EQ(with_cached_tokens(usage, cached), fixed);
      // sidecar:21 the same in a chunk of a stream
      StreamUsageFix stream(cached);
      EXPECT_EQ(*stream.feed("data: " + std::string(usage) + "\n\n"), "data: " + fixed + "\n\n");
    }
  }
  EXPECT_EQ(with_cached_tokens(R"({"choices":[]})", 7), std::nullopt);
}

TEST(UsageFix, KnowsTheUsageOfResponses) {
  EXPECT_EQ(with_cached_tokens(
                R"({"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":49},)"
                R"("total_tokens":60}})",
                7),
            R"({"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":7},)"
            R"("total_tokens":60}})");
  EXPECT_EQ(
      with_cached_tokens(R"({"type":"response.completed","response":{"usage":{"input_tokens":5,)"
                         R"("total_tokens":6}}})",
                         3),
      R"({"type":"response.completed","response":{"usage":{"input_tokens":5,)"
      R"("total_tokens":6,"input_tokens_details":{"cached_tokens":3}}}})");
}

TEST(UsageFix, KnowsTheUsageOfMessagesWhoseInputLeavesOutWhatIsCached) {
  EXPECT_EQ(
      with_cached_tokens(
          R"({"usage":{"input_tokens":1,"cache_read_input_tokens":49,"output_tokens":3}})", 7),
      R"({"usage":{"input_tokens":43,"cache_read_input_tokens":7,"output_tokens":3}})");
  EXPECT_EQ(
      with_cached_tokens(
          R"({"type":"message_start","message":{"usage":{"input_tokens":1,"cache_read_input_tokens":9}}})",
          0),
      R"({"type":"message_start","message":{"usage":{"input_tokens":10,"cache_read_input_tokens":0}}})");
  EXPECT_EQ(with_cached_tokens(R"({"usage":{"input_tokens":5,"output_tokens":3}})", 7),
            std::nullopt);
}

}  // namespace
}  // namespace baton::sidecar
