// What plugins tell of an answer, and what requests carry beside text.

#include <string>
#include <utility>
#include <vector>

#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using ::testing::ElementsAre;
using testing::ExtProcTest;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::kCompletion;
using testing::Kind;
using testing::kThree;

constexpr std::string_view kHead = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";

std::string reporting(std::string_view expression, std::string_view more = "") {
  return std::string(kHead) +
         "plugins: [{type: queue-scorer}, {type: request-attribute-reporter, parameters: "
         "{attributes: [{key: {name: cost}, expression: \"" +
         std::string(expression) + "\"" + std::string(more) + "}]}}]";
}

// {ns: {key: number}} of a reply's dynamic metadata; "" without.
std::string told(const testing::Answer& answer) {
  std::string out;
  const auto entry = [](std::string_view bytes) {
    std::pair<std::string, std::string> read;
    testing::detail::each(bytes, [&](const proto::Field& f) {
      if (f.number == 1) read.first = f.bytes;
      if (f.number == 2) read.second = f.bytes;
    });
    return read;
  };
  testing::detail::each(answer.metadata, [&](const proto::Field& ns_field) {
    const auto [ns, value] = entry(ns_field.bytes);
    testing::detail::each(value, [&, &name = ns](const proto::Field& fields) {
      testing::detail::each(fields.bytes, [&](const proto::Field& field) {
        const auto [key, number] = entry(field.bytes);
        testing::detail::each(number, [&, &member = key](const proto::Field& real) {
          out += name + "." + member + "=" + std::to_string(static_cast<int>(real.real())) + " ";
        });
      });
    });
  });
  return out;
}

class Reports : public ExtProcTest {
 protected:
  // Of an answer in one piece.
  std::string report(std::string_view usage) {
    begin();
    ask(kCompletion);
    send(testing::headers(Side::kResponse, {{":status", "200"}}));
    const auto answers = send(testing::body(Side::kResponse, usage, true));
    EXPECT_EQ(answers.size(), 1U);
    return answers.empty() ? "" : told(answers.back());
  }
};

constexpr std::string_view kUsage =
    R"({"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13}})";

TEST_F(Reports, AValueOfTheUsageGoesWithTheLastPieceAlone) {  // epp:X063
  serve(kThree, reporting("usage.prompt_tokens + 2 * usage.completion_tokens"));
  EXPECT_EQ(report(kUsage), "envoy.lb.cost=17 ");

  begin();
  ask(R"({"model":"m","prompt":"x","stream":true})");
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  const auto first =
      send(testing::body(Side::kResponse, "data: " + std::string(kUsage) + "\n\n", false));
  const auto last = send(testing::body(Side::kResponse, "data: [DONE]\n\n", true));
  ASSERT_EQ(first.size(), 1U);
  ASSERT_EQ(last.size(), 1U);
  EXPECT_EQ(told(first[0]), "");
  EXPECT_EQ(told(last[0]), "envoy.lb.cost=17 ");
  EXPECT_EQ(last[0].streamed, "data: [DONE]\n\n");

  begin();
  ask(kCompletion);
  send(testing::headers(Side::kResponse, {{":status", "200"}}));
  send(testing::body(Side::kResponse, kUsage, false));
  const auto ended = send(testing::trailers(Side::kResponse));
  ASSERT_EQ(ended.size(), 2U);
  EXPECT_EQ(told(ended[0]), "envoy.lb.cost=17 ");
  EXPECT_EQ(told(ended[1]), "");
}

TEST_F(Reports, NothingIsToldOfWhatIsNotKnownOrZero) {  // epp:X063
  serve(kThree, reporting("usage.completion_tokens", ", condition: usage.prompt_tokens > 5"));
  EXPECT_EQ(report(kUsage), "envoy.lb.cost=4 ");
  EXPECT_EQ(report(R"({"usage":{"prompt_tokens":5,"completion_tokens":4}})"), "");
  EXPECT_EQ(report(R"({"usage":{"completion_tokens":4}})"), "");
  EXPECT_EQ(report(R"({"usage":{"prompt_tokens":9}})"), "");
  EXPECT_EQ(report(R"({"usage":{"prompt_tokens":9,"completion_tokens":0}})"), "");
  EXPECT_EQ(report(R"({"text":"none"})"), "");
  serve(kThree, reporting("usage.total_tokens / 2"));
  EXPECT_EQ(report(kUsage), "envoy.lb.cost=6 ");
  EXPECT_EQ(report(R"({"usage":{"input_tokens":9,"output_tokens":2}})"), "envoy.lb.cost=5 ");
}

TEST_F(Reports, SeveralAreToldTogether) {  // epp:X063
  serve(kThree, std::string(kHead) + R"(
plugins:
- {type: queue-scorer}
- {name: a, type: request-attribute-reporter, parameters: {attributes: [{key: {name: in}, expression: usage.prompt_tokens}]}}
- {name: b, type: request-attribute-reporter, parameters: {attributes: [{key: {namespace: mine, name: all}, expression: usage.total_tokens}]}}
- {name: c, type: request-attribute-reporter, parameters: {attributes: [{key: {name: out}, expression: usage.completion_tokens}]}}
)");
  EXPECT_EQ(report(kUsage), "envoy.lb.in=9 envoy.lb.out=4 mine.all=13 ");
}

TEST(ReportParameters, AreCheckedAtTheStart) {  // epp:X063
  const auto problem = [](const std::string& config) {
    const SharedPool pool(pick::testing::service(config));
    return pool.broken() ? pool.broken()->message() : "";
  };
  EXPECT_THAT(problem(reporting("usage.prompt_tokens +")), HasSubstr("/expression: at character"));
  EXPECT_THAT(problem(reporting("1", ", condition: usage.prompt_tokens")),
              HasSubstr("/condition: at character 20: it must come to true or false"));
  EXPECT_THAT(problem(std::string(kHead) + "plugins: [{type: request-attribute-reporter}]"),
              HasSubstr("/attributes: one entry is expected, there are 0"));
  EXPECT_THAT(problem(std::string(kHead) +
                      "plugins: [{type: request-attribute-reporter, parameters: {attributes: "
                      "[{expression: '1'}]}}]"),
              HasSubstr("/key/name: the name under which the value is told is missing"));
}

TEST_F(ExtProcTest, AnAnswerTellsATestWhichEndpointTheProxySaysHasServed) {  // epp:X064
  constexpr std::string_view kServed = "x-conformance-test-served-endpoint";
  serve(kThree,
        std::string(kHead) +
            "plugins: [{type: queue-scorer}, {type: destination-endpoint-served-verifier}]");
  const auto served = [&](const testing::Extra& extra) {
    begin();
    ask(kCompletion);
    return send(testing::headers(Side::kResponse, {{":status", "200"}}, false, extra))
        .at(0)
        .header(kServed);
  };
  std::string value;
  proto::Writer(value).bytes(3, "10.0.0.2:8000");
  const auto metadata =
      testing::metadata("envoy.lb", "x-gateway-destination-endpoint-served", value);
  EXPECT_EQ(served({.metadata = metadata, .request = {}, .response = {}}), "10.0.0.2:8000");
  EXPECT_THAT(served({}).value_or(""), HasSubstr("fail: "));
  serve(kThree);
  EXPECT_EQ(served({.metadata = metadata, .request = {}, .response = {}}), std::nullopt);
}

TEST_F(ExtProcTest, PicturesLeadToTheEndpointThatHasSeenThem) {  // epp:K011
  serve({{"a", "10.0.0.1"}, {"b", "10.0.0.2"}, {"c", "10.0.0.3"}},
        std::string(kHead) + "plugins: [{type: mm-embeddings-cache-scorer}]");
  const auto chat = [](std::string_view parts) {
    return R"({"model":"m","messages":[{"role":"user","content":[)" + std::string(parts) + "]}]}";
  };
  const auto picture = [](std::string_view url) {
    return R"({"type":"image_url","image_url":{"url":")" + std::string(url) + "\"}}";
  };
  const auto to = [&](const std::string& body) {
    begin();
    return destination(ask(body, head("/v1/chat/completions")));
  };
  const auto cat = to(chat(picture("https://x/cat.png")));
  for (int i = 0; i < 12; ++i) {
    EXPECT_EQ(to(chat(R"({"type":"text","text":"again"},)" + picture("https://x/cat.png"))), cat);
  }
  const std::string plugin =
      R"(plugin_type="mm-embeddings-cache-producer",plugin_name="mm-embeddings-cache-producer")";
  const std::string kind = plugin + R"(,modality="image")";
  const std::string pod(1, static_cast<char>('a' + (cat[7] - '1')));  // "10.0.0.1:8000" is a
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_queries_total{" + kind + "}"), 13);
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_hits_total{" + kind + ",pod=\"" + pod + "\"}"), 12);
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_hit_ratio_sum{" + plugin + "}"), 12);
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_hit_ratio_count{" + plugin + "}"), 13);
  std::vector<std::string> texts;
  for (int i = 0; i < 32; ++i) texts.push_back(to(chat(R"({"type":"text","text":"no picture"})")));
  EXPECT_THAT(texts, ::testing::Contains(::testing::Ne(cat)));
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_queries_total{" + kind + "}"), 13);
  EXPECT_EQ(metric("llm_d_epp_encoder_cache_hit_ratio_count{" + plugin + "}"), 13);
}

}  // namespace
}  // namespace baton::epp
