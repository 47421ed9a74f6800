// The pure parts: what a request asks, the connector's edits, the usage fix, the allowlist.

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "routing/sidecar/allowlist.hpp"
#include "routing/sidecar/connector.hpp"
#include "routing/sidecar/request.hpp"
#include "routing/sidecar/usage_fix.hpp"

namespace baton::sidecar {
namespace {

using Strings = std::vector<std::string>;

// Sidecar reference 26.2.
TEST(PrefillCandidates, ComeFromOneListOrSeveralFields) {
  std::string name(kPrefillerHeader);

  EXPECT_EQ(prefill_candidates({}), Strings());
  EXPECT_EQ(prefill_candidates({{name, ""}}), Strings());
  EXPECT_EQ(prefill_candidates({{name, " , ,"}}), Strings());
  EXPECT_EQ(prefill_candidates({{name, "a:1"}}), Strings({"a:1"}));
  EXPECT_EQ(prefill_candidates({{name, " a:1 ,b:2,a:1"}}), Strings({"a:1", "b:2", "a:1"}));
  EXPECT_EQ(prefill_candidates({{name, "a:1,b:2"}, {name, " c:3"}}), Strings({"a:1,b:2", "c:3"}));
  EXPECT_EQ(prefill_candidates({{name, "http://a:1"}}), Strings({"a:1"}));
  EXPECT_EQ(prefill_candidates({{"X-Prefiller-URL", "http://a:1"}}), Strings({"a:1"}));
}

TEST(Trial, TakesOtherHostsBeforeOtherPortsAndNothingTwice) {
  using Endpoints = std::vector<http::Endpoint>;
  EXPECT_EQ(in_order_of_trial({{"a", 1}, {"a", 2}, {"b", 1}, {"a", 1}, {"b", 2}}),
            (Endpoints{{"a", 1}, {"b", 1}, {"a", 2}, {"b", 2}}));
  Endpoints many;
  for (std::uint16_t port = 1; port < 100; ++port) many.push_back({"a", port});
  EXPECT_EQ(in_order_of_trial(many).size(), kMaxCandidates);
}

std::optional<Api> api_of(std::string_view method, std::string_view target) {
  const auto route = generating_route({std::string(method), std::string(target), {}});
  return route ? route->api : std::nullopt;
}

TEST(GeneratingRoute, IsKnownByMethodAndPath) {
  EXPECT_EQ(api_of("POST", "/v1/chat/completions?x"), Api::kChat);
  EXPECT_EQ(api_of("POST", "/v1/completions"), Api::kChat);
  EXPECT_EQ(api_of("POST", "/v1/messages"), Api::kChat);
  EXPECT_EQ(api_of("POST", "/v1/responses"), Api::kResponses);
  EXPECT_EQ(api_of("POST", "/inference/v1/generate"), Api::kGenerate);
  for (const char* method : {"GET", "PUT"}) {
    EXPECT_FALSE(generating_route({method, "/v1/completions", {}})) << method;
  }
  EXPECT_FALSE(generating_route({"POST", "/v1/embeddings", {}}));
}

// As engines' web servers route: escapes undone once, the query left out.
TEST(GeneratingRoute, IsKnownHoweverThePathIsSpelt) {
  EXPECT_EQ(api_of("POST", "/v1/chat/complet%69ons"), Api::kChat);
  EXPECT_EQ(api_of("POST", "%2Fv1%2fchat%2Fcompletions?x=%69"), Api::kChat);
  EXPECT_EQ(api_of("POST", "/inference/v1/generat%65"), Api::kGenerate);
  EXPECT_EQ(generating_route({"POST", "/%69nvocations?x", {}})->path, "/invocations");
  for (const char* other : {"/v1/chat/complet%2569ons", "/v1/completions%3Fx"}) {
    EXPECT_FALSE(generating_route({"POST", other, {}})) << other;
  }
}

// SGLang takes PUT as well as POST.
TEST(GeneratingRoute, HasNoApiWhereNobodySplits) {
  for (const char* path :
       {"/invocations", "/v1/chat/completions/batch?x", "/generate", "/vertex_generate"}) {
    for (const char* method : {"POST", "PUT"}) {
      const auto route = generating_route({method, path, {}});
      ASSERT_TRUE(route) << method << path;
      EXPECT_EQ(route->api, std::nullopt) << path;
    }
    EXPECT_FALSE(generating_route({"GET", path, {}})) << path;
  }
}

TEST(EncodingProblem, IsWhatPythonWouldNotReadAsUtf8) {
  using namespace std::string_view_literals;
  for (const std::string_view wide :
       {"\xff\xfe{\0"sv, "\xfe\xff\0{"sv, "{\0\"\0"sv, "\0{\0\""sv, "\xff\xfe\0\0{\0\0\0"sv,
        "\0\0\xfe\xff\0\0\0{"sv, "{\0\0\0"sv, "\0\0\0{"sv, "1\0"sv, " \0{\0"sv}) {
    EXPECT_TRUE(encoding_problem(wide)) << ::testing::PrintToString(wide);
  }
  for (const std::string_view utf8 : {""sv, "{}"sv, "\xef\xbb\xbf{}"sv, R"({"a":"\u0000"})"sv}) {
    EXPECT_FALSE(encoding_problem(utf8)) << utf8;
  }
}

TEST(MayHaveMember, LooksAtTheTopAndIntoParameters) {
  for (const std::string_view body :
       {R"({"room":1})", R"({"r\u006fom":1})", R"({"parameters":{"room":1}})", R"({"room":NaN})"}) {
    EXPECT_TRUE(may_have_member(body, "room")) << body;
  }
  for (const std::string_view body :
       {R"({})", R"({"a":"room"})", R"({"tools":[{"room":1}]})", R"({"rooms":1})", "NaN"}) {
    EXPECT_FALSE(may_have_member(body, "room")) << body;
  }
}

TEST(Forwarded, DropsHopByHopAndRoutingFields) {
  http::RequestHead head{"POST",
                         "/x?y",
                         {{"Host", "me"},
                          {"Connection", "keep-alive, X-Hop"},
                          {"X-Hop", "1"},
                          {"Authorization", "Bearer k"},
                          {"X-Forwarded-For", "9.9.9.9"},
                          {"x-prefiller-host-port", "a:1"},
                          {"x-encoder-hosts-ports", "b:1"},
                          {"x-kv-cache-source-host-port", "c:1"},
                          {"Content-Length", "3"}}};

  http::RequestHead out = forwarded(head, "1.2.3.4:5678");

  EXPECT_EQ(out.headers.size(), 3U);
  EXPECT_EQ(out.headers.get("Host"), "me");
  EXPECT_EQ(out.headers.get("Authorization"), "Bearer k");
  EXPECT_EQ(out.headers.get("X-Forwarded-For"), "9.9.9.9, 1.2.3.4");
}

TEST(Single, MeansOnePromptAndOneChoice) {
  for (std::string_view body :
       {R"({})", R"({"n":1})", R"({"n":null})", R"({"prompt":"a"})", R"({"prompt":[1,2,3]})",
        R"({"prompt":["a"]})", R"({"prompt":[[1]]})", R"({"prompt_logprobs":null})",
        R"({"echo":true})", R"({"echo":false,"logprobs":1})", R"({"sampling_params":{"n":1}})"}) {
    EXPECT_TRUE(single(*openai::BodyIndex::scan(body, "sampling_params"))) << body;
  }
  for (std::string_view body :
       {R"({"n":2})", R"({"best_of":3})", R"({"prompt":["a","b"]})", R"({"prompt":[ [1],[2]]})",
        R"({"prompt_logprobs":0})", R"({"echo":true,"logprobs":1})",
        R"({"sampling_params":{"n":2}})", R"({"sampling_params":{"prompt_logprobs":5}})"}) {
    EXPECT_FALSE(single(*openai::BodyIndex::scan(body, "sampling_params"))) << body;
  }
}

constexpr std::string_view kAsked =
    R"("kv_transfer_params":{"do_remote_decode":true,"do_remote_prefill":false,)"
    R"("remote_engine_id":null,"remote_block_ids":null,"remote_host":null,"remote_port":null})";

const std::unique_ptr<Connector> kNixl = make_nixlv2({});

std::string prefill_body(Api api, std::string_view body) {
  auto index = openai::BodyIndex::scan(body, kNixl->nested_member(api));
  return index->splice(kNixl->prefill_edits(api, *index, {})).join();
}

// sidecar:12 sidecar:13 sidecar:15 sidecar:16 sidecar:49 what the prefill leg is asked (reference
// 10.1); what the decode leg is: EditAnyBodyOfAnyApi.
TEST(Nixlv2, CapsThePrefillLegAndKeepsTheRest) {
  EXPECT_EQ(
      prefill_body(
          Api::kChat,
          R"({"model":"m","stream":true,"stream_options":{"include_usage":true},)"
          R"("max_tokens":50,"min_tokens":7,"seed":9007199254740993,"kv_transfer_params":{"x":1}})"),
      R"({"model":"m","stream":false,"max_tokens":1,"min_tokens":1,"seed":9007199254740993,)" +
          std::string(kAsked) + R"(,"max_completion_tokens":1})");
  EXPECT_EQ(prefill_body(Api::kChat, "{}"),
            "{" + std::string(kAsked) +
                R"(,"stream":false,"max_tokens":1,"max_completion_tokens":1,"min_tokens":1})");
  EXPECT_EQ(prefill_body(Api::kResponses, R"({"max_output_tokens":9,"stream":false})"),
            R"({"max_output_tokens":1,"stream":false,)" + std::string(kAsked) + "}");
  EXPECT_EQ(prefill_body(Api::kGenerate, R"({"sampling_params":{"max_tokens":9,"seed":1}})"),
            R"({"sampling_params":{"max_tokens":1,"seed":1,"min_tokens":1},)" +
                std::string(kAsked) + R"(,"stream":false})");
  EXPECT_EQ(prefill_body(Api::kGenerate, R"({})"),
            "{" + std::string(kAsked) +
                R"(,"stream":false,"sampling_params":{"max_tokens":1,"min_tokens":1}})");
}

std::string answer_with(std::string_view params) {
  return R"({"usage":{"prompt_tokens_details":{"cached_tokens":16}},"kv_transfer_params":)" +
         std::string(params) + "}";
}

TEST(Nixlv2, PassesTheParamsOnAsTheyCame) {
  std::string params =
      R"({ "do_remote_prefill":true,"remote_engine_id":"E","remote_block_ids":[4, 5],)"
      R"("remote_host":"10.0.0.7","remote_port":5600,"remote_request_id":"R",)"
      R"("baton_lease_token":"T","unknown":123456789012345678})";

  auto handover = kNixl->read_prefill_answer(answer_with(params));

  ASSERT_TRUE(handover) << handover.error().message();
  EXPECT_EQ(handover->params, params);
  EXPECT_EQ(handover->request_id, "R");
  EXPECT_EQ(handover->lease_token, "T");
  EXPECT_EQ(handover->cached_tokens, 16);
  auto index = openai::BodyIndex::scan(R"({"kv_transfer_params":0,"a":1})");
  EXPECT_EQ(index->splice(kNixl->decode_edits(*handover, {})).join(),
            R"({"kv_transfer_params":)" + params + R"(,"a":1})");
  EXPECT_EQ(index->splice(kNixl->local_edits({})).join(), R"({"a":1})");
}

// vllm-live 5: an engine that gets incomplete params hangs or dies.
TEST(Nixlv2, DropsParamsThatCannotBePulled) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"null", "no kv_transfer_params"},
      {"[]", "kv_transfer_params is no object"},
      {"{}", "remote_engine_id"},
      {R"({"remote_engine_id":"E"})", "remote_host"},
      {R"({"remote_engine_id":"E","remote_host":"h","remote_port":0})", "remote_port"},
      {R"({"remote_engine_id":"E","remote_host":"h","remote_port":1,"remote_block_ids":[]})",
       "remote_block_ids"},
      {R"({"remote_engine_id":"E","remote_host":"h","remote_port":1,"remote_block_ids":[1],)"
       R"("remote_request_id":null})",
       "remote_request_id"},
      {R"({"remote_engine_id":"E","remote_host":"h","remote_port":1,"remote_block_ids":[1],)"
       R"("do_remote_prefill":false})",
       "do_remote_prefill"},
  };
  for (auto [params, missing] : cases) {
    auto handover = kNixl->read_prefill_answer(answer_with(params));
    ASSERT_FALSE(handover) << params;
    EXPECT_EQ(handover.error().code(), Code::kNotFound);
    EXPECT_NE(handover.error().message().find(missing), std::string::npos) << params;
  }
  EXPECT_EQ(kNixl->read_prefill_answer("<html>").error().code(), Code::kInvalid);
}

// sidecar:19 sidecar:20 sidecar:27 (reference 10.4)
TEST(UsageFix, SetsTheCachedTokensOfABody) {
  EXPECT_EQ(with_cached_tokens(R"({"usage":{"prompt_tokens_details":{"cached_tokens":49}}})", 7),
            R"({"usage":{"prompt_tokens_details":{"cached_tokens":7}}})");
  EXPECT_EQ(with_cached_tokens(R"({"usage":{"prompt_tokens_details":{"audio":1}},"id":1e99})", 0),
            R"({"usage":{"prompt_tokens_details":{"audio":1,"cached_tokens":0}},"id":1e99})");
  EXPECT_EQ(with_cached_tokens(R"({"usage":{"prompt_tokens_details":null}})", 7),
            R"({"usage":{"prompt_tokens_details":{"cached_tokens":7}}})");
  EXPECT_EQ(with_cached_tokens(R"({"usage":{"a":1}})", 7),
            R"({"usage":{"a":1,"prompt_tokens_details":{"cached_tokens":7}}})");
  EXPECT_EQ(with_cached_tokens(R"({"usage":null})", 7), std::nullopt);
  EXPECT_EQ(with_cached_tokens(R"({"id":1})", 7), std::nullopt);
  EXPECT_EQ(with_cached_tokens("nonsense", 7), std::nullopt);
}

// sidecar:28 however the stream is cut.
TEST(UsageFix, SetsTheCachedTokensOfAStreamWhereverItIsCut) {
  std::string stream =
      "data: {\"choices\":[]}\n\n: \"usage\" comment\n\ndata: {\"usage\":{\"a\":1}}\r\n\r\n"
      "data: [DONE]\n\ndata: {\"usage\":{}}";
  std::string fixed =
      "data: {\"choices\":[]}\n\n: \"usage\" comment\n\n"
      "data: {\"usage\":{\"a\":1,\"prompt_tokens_details\":{\"cached_tokens\":7}}}\r\n\r\n"
      "data: [DONE]\n\ndata: {\"usage\":{\"prompt_tokens_details\":{\"cached_tokens\":7}}}";
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    StreamUsageFix fix(7);
    std::string out;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      out += *fix.feed(std::string_view(stream).substr(at, step));
    }
    out += fix.finish();
    ASSERT_EQ(out, fixed) << step;
  }
}

class AllowlistTest : public ::testing::Test {
 protected:
  AllowlistTest()
      : path_(std::filesystem::temp_directory_path() /
              ("baton-allowlist-" + std::to_string(::getpid()))) {}
  ~AllowlistTest() override { std::filesystem::remove(path_); }
  void write(std::string_view text) { std::ofstream(path_) << text; }
  std::filesystem::path path_;
};

TEST_F(AllowlistTest, FollowsItsFileAndChecksThePort) {
  FileAllowlist list(path_.string());
  EXPECT_FALSE(list.allows({"10.0.0.1", 8000}));  // no file

  write("# pods\n10.0.0.1:8000\r\nnonsense\n\nlocalhost:8000\n10.0.0.2:8000");
  EXPECT_TRUE(list.allows({"10.0.0.1", 8000}));
  EXPECT_TRUE(list.allows({"10.0.0.2", 8000}));
  EXPECT_FALSE(list.allows({"10.0.0.1", 8001}));
  EXPECT_TRUE(list.allows({"::ffff:10.0.0.1", 8000}));
  EXPECT_FALSE(list.allows({"localhost", 8000}));  // what a name means changes

  std::filesystem::remove(path_);
  write("10.0.0.3:8000\n");
  EXPECT_FALSE(list.allows({"10.0.0.1", 8000}));
  EXPECT_TRUE(list.allows({"10.0.0.3", 8000}));

  std::filesystem::remove(path_);
  EXPECT_FALSE(list.allows({"10.0.0.3", 8000}));
}

TEST_F(AllowlistTest, ReadsAFileAgainThatCouldNotBeOpenedOnce) {
  write("10.0.0.1:8000\n");
  FileAllowlist list(path_.string());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};

  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool without = list.allows({"10.0.0.1", 8000});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);

  EXPECT_FALSE(without);
  EXPECT_TRUE(list.allows({"10.0.0.1", 8000}));
}

}  // namespace
}  // namespace baton::sidecar
