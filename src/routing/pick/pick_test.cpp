#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "routing/pick/learner.hpp"
#include "routing/pick/service_pool.hpp"
#include "routing/pick/usage.hpp"

namespace baton::pick {
namespace {

using ::testing::HasSubstr;

Usage scan(std::string_view body, std::size_t step) {
  UsageScan scan;
  while (!body.empty()) {
    scan.feed(body.substr(0, step));
    body.remove_prefix(std::min(step, body.size()));
  }
  return scan.usage();
}

TEST(ServicePool, RefusesASaturationDetectorThatWouldChangeNothing) {
  watch::Service service;
  service.ns = "llm";
  service.name = "x";
  service.models = {"m"};
  service.picker_source = "test";
  const std::string plugins =
      "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n- type: ";
  service.picker = plugins + "utilization-detector\n";
  EXPECT_FALSE(ServicePool(service).broken());
  service.picker = plugins +
                   "concurrency-detector\nflowControl:\n  saturationDetector:\n"
                   "    pluginRef: concurrency-detector\n";
  const ServicePool pool(service);
  ASSERT_TRUE(pool.broken());
  EXPECT_NE(pool.broken()->message().find("saturationDetector"), std::string::npos)
      << pool.broken()->message();
}

TEST(UsageScan, ReadsAReportWhereverTheBodyIsCut) {
  constexpr std::string_view kEvents =
      "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{\"}}],\"usage\":null}\n\n"
      "data: {\"choices\":[],\"usage\": {\"prompt_tokens\":7,\"completion_tokens\":3,"
      "\"prompt_tokens_details\":{\"cached_tokens\":5}}}\n\ndata: [DONE]\n\n";
  for (std::size_t step = 1; step <= kEvents.size(); ++step) {
    const auto usage = scan(kEvents, step);
    EXPECT_EQ(usage.prompt, 7) << step;
    EXPECT_EQ(usage.completion, 3) << step;
    EXPECT_EQ(usage.cached, 5) << step;
  }
}

TEST(UsageScan, MergesReportsMemberByMember) {  // epp:X058
  const auto usage = scan(
      "event: message_start\ndata: {\"message\":{\"usage\":{\"input_tokens\":9,"
      "\"cache_read_input_tokens\":4,\"output_tokens\":1}}}\n\n"
      "event: message_delta\ndata: {\"usage\":{\"output_tokens\":12}}\n\n",
      40);
  EXPECT_EQ(usage.prompt, 9);
  EXPECT_EQ(usage.cached, 4);
  EXPECT_EQ(usage.completion, 12);
}

TEST(UsageScan, CoercesStringsAndPassesOverNonsense) {  // epp:X059
  const auto usage = scan(
      R"({"usage":{"prompt_tokens":"12","completion_tokens":[1],"prompt_tokens_details":7}})", 9);
  EXPECT_EQ(usage.prompt, 12);
  EXPECT_FALSE(usage.completion);
  EXPECT_FALSE(usage.cached);
  EXPECT_FALSE(scan(R"({"usage":{"prompt_tokens":-1}} "usage" "usage":{)", 3).prompt);
}

TEST(UsageScan, SkipsAReportOverItsBound) {
  const std::string padding(kMaxUsageBytes, 'x');
  const auto usage = scan("{\"usage\":{\"a\":\"" + padding + "\",\"prompt_tokens\":1}}", 100);
  EXPECT_FALSE(usage.prompt);
}

TEST(UsageScan, FindsAReportInsideALongOneWhereverTheBodyIsCut) {
  const std::string body = "{\"usage\":{\"a\":\"" + std::string(kMaxUsageBytes, 'x') +
                           "\",\"usage\":{\"prompt_tokens\":3}}}";
  for (const std::size_t step : {std::size_t{1}, std::size_t{100}, body.size()}) {
    EXPECT_EQ(scan(body, step).prompt, 3) << step;
  }
}

TEST(Learner, TellsBlocksAndTokensAsTheAnswerPasses) {
  index::PrefixChain chain("m", 8, 100);
  chain.append("0123456789");
  Learner learner(openai::Api::kChat, openai::AnswerForm::kEvents, &chain);
  const auto first = learner.feed(
      "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0123456789abcdef\"}}]}\n\n");
  EXPECT_EQ(first.tokens, 1);
  EXPECT_GE(first.blocks.size(), 2);
  const auto rest = learner.finish();
  EXPECT_EQ(rest.tokens, 0);
  EXPECT_TRUE(rest.blocks.empty());
  EXPECT_EQ(first.blocks.size() + 1, chain.blocks().size());
}

TEST(TransferParams, AreTakenOutOfABodyThatIsElseUntouched) {
  std::string body = R"({ "kv_transfer_params":{"a":1}, "prompt":"x"})";
  ASSERT_TRUE(remove_transfer_params(body));
  EXPECT_EQ(body.find("kv_transfer"), std::string::npos);
  EXPECT_NE(body.find(R"("prompt":"x")"), std::string::npos);
}

TEST(TransferParams, AreAlsoTakenOutOfWhatVllmReadsAsExtraArguments) {
  std::string body =
      R"({"token_ids":[1], "sampling_params":{"max_tokens": 7, "kv_transfer_params":{"a":1},)"
      R"( "extra_args":{"k\u0076_transfer_params":{}, "b":2}}, "vllm_xargs":{"kv_transfer_params":"c"}})";
  ASSERT_TRUE(remove_transfer_params(body));
  EXPECT_EQ(body,
            R"({"token_ids":[1], "sampling_params":{"max_tokens": 7, "extra_args":{ "b":2}}, )"
            R"("vllm_xargs":{}})");
}

TEST(TransferParams, AreTakenOutOfWhicheverOfEqualMembersTheyHideIn) {
  const auto cleaned = [](std::string body) {
    EXPECT_TRUE(remove_transfer_params(body)) << body;
    return body;
  };
  EXPECT_EQ(cleaned(R"({"kv_transfer_params":1,"a":2,"kv_transfer_params":3})"), R"({"a":2})");
  EXPECT_EQ(cleaned(R"({"sampling_params":{"kv_transfer_params":1},"sampling_params":{"n":1}})"),
            R"({"sampling_params":{"n":1}})");
  EXPECT_EQ(cleaned(R"({"vllm_xargs":{"kv_transfer_params":1},"vllm_xargs": null})"),
            R"({"vllm_xargs":null})");
  EXPECT_EQ(cleaned(R"({"vllm_xargs":{"extra_args":{},"extra_args":{"kv_transfer_params":1}}})"),
            R"({"vllm_xargs":{"extra_args":{}}})");
  EXPECT_EQ(cleaned(R"({"vllm_xargs":{"extra_args":{"kv_transfer_params":1},"extra_args":[]}})"),
            R"({"vllm_xargs":{"extra_args":[]}})");
}

TEST(TransferParams, OfABodyThatCannotBeEditedAreAnError) {
  std::string many;
  for (int i = 0; i < 1100; ++i) many += "\"m" + std::to_string(i) + "\":1,";
  const std::string deep = "\"deep\":" + std::string(200, '[') + std::string(200, ']') + ",";
  for (const std::string& filling : {many, deep}) {
    const auto object = "{" + filling + R"("kv_transfer_params":{}})";
    for (const std::string& body : {object, R"({"sampling_params":)" + object + "}",
                                    R"({"vllm_xargs":{"extra_args":)" + object + "}}"}) {
      auto edited = body;
      const auto removed = remove_transfer_params(edited);
      ASSERT_FALSE(removed) << body;
      EXPECT_EQ(removed.error().code(), Code::kInvalid);
      EXPECT_THAT(removed.error().message(), HasSubstr("kv_transfer_params cannot be taken out"));
    }
  }
}

}  // namespace
}  // namespace baton::pick
