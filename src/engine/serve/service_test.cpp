// The HTTP surface. Error texts: vllm-live §4.

#include "engine/serve/service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/runtime/testing/rig.hpp"
#include "engine/serve/testing/served.hpp"

namespace baton::serve {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

TEST(Service, AnswersHealthVersionAndModels) {
  Served s;
  EXPECT_EQ(s.call("GET", "/health").status, 200);
  EXPECT_EQ(s.call("GET", "/health").body, "");
  EXPECT_EQ(s.call("POST", "/ping").status, 200);
  EXPECT_EQ(s.call("GET", "/version").body, R"({"version":"0.22.0"})");
  const Value models = s.call("GET", "/v1/models").json();
  ASSERT_EQ(models.find("data")->if_array()->size(), 2u);
  const Value& first = models.find("data")->if_array()->front();
  EXPECT_EQ(first.string_at({"id"}), "tiny");
  EXPECT_EQ(first.string_at({"root"}), "./tiny");
  EXPECT_EQ(first.find("max_model_len")->if_int(), 512);
}

TEST(Service, RefusesUnknownPathsAndMethodsAsVllm) {
  Served s;
  EXPECT_EQ(s.call("GET", "/nope").body, R"({"detail":"Not Found"})");
  const Reply get = s.call("GET", "/v1/completions");
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.body, R"({"detail":"Method Not Allowed"})");
}

TEST(Service, RefusesWithTheWordsOfVllm) {
  Served s;
  const Reply unknown = s.post("/v1/chat/completions",
                               R"({"model":"nope","messages":[{"role":"user","content":"a"}]})");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(
      unknown.body,
      R"({"error":{"message":"The model `nope` does not exist. Valid aliases: tiny, alias.","type":"NotFoundError","param":"model","code":404}})");
  const Reply plain = s.call("POST", "/v1/completions", "{}", {{"content-type", "text/plain"}});
  EXPECT_EQ(plain.status, 400);
  EXPECT_EQ(plain.error(),
            "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed");
  const Reply coded =
      s.call("POST", "/v1/completions", "\x1f\x8b", {{"content-encoding", "identity, gzip"}});
  EXPECT_EQ(coded.status, 415);
  EXPECT_EQ(coded.error(),
            "Content-Encoding 'gzip' is not understood: send the body uncompressed, without that "
            "header");
  const Reply long_prompt =
      s.post("/v1/completions", R"({"prompt":")" + std::string(600, 'x') + R"("})");
  EXPECT_EQ(long_prompt.status, 400);
  EXPECT_EQ(long_prompt.error(),
            "This model's maximum context length is 512 tokens. However, your prompt contains 601 "
            "input tokens, which exceeds this limit even without "
            "any output tokens. Please reduce the length of the input prompt. "
            "(parameter=input_tokens, value=601)");
  EXPECT_EQ(s.complete(R"(,"max_tokens":4000)").error(),
            "max_tokens=4000 cannot be greater than max_model_len=512. Please request fewer output "
            "tokens. (parameter=max_tokens, value=4000)");
  EXPECT_THAT(s.complete(R"(,"max_tokens":500)").error(), HasSubstr("is too large: 500."));
  EXPECT_EQ(s.post("/v1/completions", R"({"prompt":[5,97]})").error(),
            "Token id 97 is out of vocabulary");
  EXPECT_EQ(s.post("/v1/completions", "{nope").status, 400);
  EXPECT_EQ(s.post("/v1/completions", std::string("{\"prompt\":\"\xFF\"}")).status, 400);
  EXPECT_EQ(s.complete(R"(,"temperature":-1)").status, 400);
}

TEST(Service, RefusesABodyOverTheLimit) {
  Served s([](ServiceConfig& c, runtime::EngineConfig&) { c.limits.body_bytes = 1000; });
  const Reply reply = s.post("/v1/completions", std::string(2000, ' '));
  EXPECT_EQ(reply.status, 413);
  EXPECT_EQ(reply.json().string_at({"error", "type"}), "PayloadTooLargeError");
}

TEST(Service, TellsItsLoadWhenItIsAskedToCount) {
  const auto permits = std::make_shared<runtime::testing::Permits>(0);
  Served s([](ServiceConfig& c, runtime::EngineConfig&) { c.track_load = true; }, permits);
  const auto load = [&] { return s.call("GET", "/load").body; };
  EXPECT_EQ(load(), R"({"server_load":0})");

  {
    const std::jthread one([&] { EXPECT_EQ(s.complete(R"(,"max_tokens":1)").status, 200); });
    EXPECT_TRUE(eventually([&] { return load() == R"({"server_load":1})"; }));
    permits->release(runtime::testing::kAllThatIsLeft);
  }

  EXPECT_EQ(load(), R"({"server_load":0})");
}

TEST(Service, TellsNoLoadUnasked) {
  const auto permits = std::make_shared<runtime::testing::Permits>(1);
  Served s({}, permits);
  const std::jthread one([&] { EXPECT_EQ(s.complete(R"(,"max_tokens":2)").status, 200); });
  EXPECT_TRUE(eventually([&] { return s.stats().running == 1; }));

  EXPECT_EQ(s.call("GET", "/load").body, R"({"server_load":0})");
  permits->release(runtime::testing::kAllThatIsLeft);
}

TEST(Service, TakesAPriorityOnlyWhenItSchedulesByPriority) {
  Served by_arrival;
  const Reply refused = by_arrival.complete(R"(,"max_tokens":1,"priority":-2)");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json().string_at({"error", "param"}), "priority");
  EXPECT_THAT(refused.error(),
              StartsWith("Got priority -2 but Priority scheduling is not enabled"));
  EXPECT_EQ(by_arrival.complete(R"(,"max_tokens":1,"priority":0)").status, 200);

  Served by_priority(
      [](ServiceConfig& c, runtime::EngineConfig&) { c.scheduling = Scheduling::kPriority; });
  EXPECT_EQ(by_priority.complete(R"(,"max_tokens":1,"priority":-2)").status, 200);
}

// Of two that wait, the more urgent is answered first though it came later.
TEST(Service, TakesTheRanksThatItStandsForAndRefusesOthers) {
  const std::string body = R"({"prompt":"Hi","max_tokens":1})";
  const auto ask = [&](Served& s, std::string rank) {
    return s.call("POST", "/v1/completions", body,
                  {{"content-type", "application/json"}, {"X-data-parallel-rank", rank}});
  };
  Served alone, pair([](ServiceConfig& c, runtime::EngineConfig&) { c.data_parallel = 2; });

  EXPECT_EQ(ask(alone, "0").status, 200);
  EXPECT_EQ(ask(alone, "first").status, 200);
  EXPECT_EQ(ask(alone, "1").status, 400);
  EXPECT_EQ(ask(alone, "-1").error(), "data_parallel_rank -1 is out of range [0, 1).");
  EXPECT_EQ(ask(pair, "1").status, 200);
  EXPECT_EQ(ask(pair, "2").error(), "data_parallel_rank 2 is out of range [0, 2).");
}

TEST(Service, AnswersTheMoreUrgentFirst) {
  const auto permits = std::make_shared<runtime::testing::Permits>(1);
  Served s(
      [](ServiceConfig& c, runtime::EngineConfig& e) {
        c.scheduling = Scheduling::kPriority;
        e.max_num_seqs = 1;
      },
      permits);
  std::mutex mutex;  // guards order
  std::vector<int> order;
  const auto ask = [&](int priority) {
    const auto reply = s.complete(R"(,"max_tokens":2,"priority":)" + std::to_string(priority));
    EXPECT_EQ(reply.status, 200);
    const std::scoped_lock lock(mutex);
    order.push_back(priority);
  };
  const auto answered = [&] {
    const std::scoped_lock lock(mutex);
    return order.size();
  };
  {
    std::vector<std::jthread> clients;
    for (const int priority : {0, 5, -5}) {
      clients.emplace_back(ask, priority);
      EXPECT_TRUE(
          eventually([&] { return s.stats().running + s.stats().waiting == clients.size(); }));
    }
    for (const std::size_t count : {1U, 2U, 3U}) {
      permits->release(count == 1 ? 1 : 2);  // the tokens that it still lacks
      EXPECT_TRUE(eventually([&] { return answered() == count; }));
    }
  }
  EXPECT_THAT(order, ElementsAre(0, -5, 5));
}

TEST(Service, SharesCachedKvWithinASaltOnly) {
  Served s;
  const auto cached = [&](std::string_view salt) {
    return s.complete(R"(,"max_tokens":1,"cache_salt":")" + std::string(salt) + '"')
        .number("x-baton-cached-tokens");
  };
  EXPECT_EQ(cached("a"), 0u);
  EXPECT_EQ(cached("b"), 0u);
  EXPECT_EQ(cached("a"), 16u);
  EXPECT_EQ(s.complete(R"(,"max_tokens":1)").number("x-baton-cached-tokens"), 0u);
}

TEST(Service, AnswersACompletionWithProof) {
  Served s;
  const Reply reply = s.complete(R"(,"max_tokens":7)");
  ASSERT_EQ(reply.status, 200) << reply.body;
  const Value choice = reply.json().find("choices")->if_array()->front();
  EXPECT_EQ(choice.string_at({"text"}).size(), 7u);
  EXPECT_EQ(choice.string_at({"finish_reason"}), "length");
  EXPECT_EQ(reply.json().find_path({"usage", "prompt_tokens"})->if_int(),
            30);  // <bos> and 29 characters
  EXPECT_EQ(reply.json().find_path({"usage", "completion_tokens"})->if_int(), 7);
  EXPECT_EQ(reply.number("x-baton-prompt-tokens"), 30u);
  EXPECT_EQ(reply.number("x-baton-computed-tokens"), 30u);
  EXPECT_EQ(reply.number("x-baton-remote-tokens") + reply.number("x-baton-cached-tokens") +
                reply.number("x-baton-kv-bytes"),
            0u);
  EXPECT_THAT(std::string(*reply.headers.get("server-timing")),
              MatchesRegex("queue;dur=.*, compute;dur=[0-9.]*, first-token;dur=[0-9.]*"));
  const Reply again = s.complete(R"(,"max_tokens":7)");
  EXPECT_EQ(again.json().find("choices")->if_array()->front().string_at({"text"}),
            choice.string_at({"text"}));
  EXPECT_EQ(again.number("x-baton-cached-tokens"), 16u);
}

TEST(Service, StreamsTheSameTextAsItAnswersWhole) {
  Served s;
  const std::string whole(s.complete(R"(,"max_tokens":20)")
                              .json()
                              .find("choices")
                              ->if_array()
                              ->front()
                              .string_at({"text"}));
  const Reply reply =
      s.complete(R"(,"max_tokens":20,"stream":true,"stream_options":{"include_usage":true})");
  EXPECT_EQ(reply.headers.get("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_TRUE(reply.headers.has("x-baton-prompt-tokens"));
  std::string text;
  std::size_t at = 0;
  for (std::size_t end = reply.body.find("\n\n"); end != std::string::npos;
       end = reply.body.find("\n\n", at)) {
    const auto event = text::json::parse(reply.body.substr(at + 6, end - at - 6));
    at = end + 2;
    if (event && !event->find("choices")->if_array()->empty())
      text += event->find("choices")->if_array()->front().string_at({"text"});
  }
  EXPECT_EQ(text, whole);
  EXPECT_THAT(
      reply.body,
      HasSubstr(
          R"("choices":[],"usage":{"prompt_tokens":30,"total_tokens":50,"completion_tokens":20}})"));
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n"));
}

TEST(Service, StreamsAChatWithTheRoleFirst) {
  Served s;
  const Reply reply = s.post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":3,"temperature":0,"ignore_eos":true,"stream":true})");
  EXPECT_THAT(reply.body, StartsWith("data: {\"id\":\"chatcmpl-"));
  EXPECT_THAT(
      reply.body.substr(0, reply.body.find("\n\n")),
      HasSubstr(
          R"("choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}])"));
  EXPECT_THAT(reply.body, HasSubstr(R"("finish_reason":"length","stop_reason":null)"));
  EXPECT_EQ(reply.number("x-baton-prompt-tokens"), 10u);  // <bos>[user]Hi>
}

TEST(Service, StopsAtAStopStringAndFreesTheRequest) {
  Served s;
  const std::string free(s.complete(R"(,"max_tokens":30)")
                             .json()
                             .find("choices")
                             ->if_array()
                             ->front()
                             .string_at({"text"}));
  std::string stop;
  text::json::append_quoted(stop, free.substr(10, 3));
  const Reply reply = s.complete(R"(,"max_tokens":30,"stop":[)" + stop + "]");
  const Value choice = reply.json().find("choices")->if_array()->front();
  EXPECT_EQ(choice.string_at({"text"}), free.substr(0, free.find(free.substr(10, 3))));
  EXPECT_EQ(choice.string_at({"finish_reason"}), "stop");
  EXPECT_EQ(choice.string_at({"stop_reason"}), free.substr(10, 3));
  EXPECT_TRUE(eventually([&] { return s.stats().running == 0; }));
}

TEST(Service, GivesLogprobsOfEachToken) {
  Served s;
  const Reply reply = s.complete(R"(,"max_tokens":3,"logprobs":2)");
  const Value body = reply.json();
  const Value& logprobs = *body.find("choices")->if_array()->front().find("logprobs");
  EXPECT_EQ(logprobs.find("tokens")->if_array()->size(), 3u);
  EXPECT_EQ(logprobs.find("top_logprobs")->if_array()->front().if_object()->size(), 2u);
  const Reply ids = s.complete(R"(,"max_tokens":1,"logprobs":0,"return_tokens_as_token_ids":true)");
  EXPECT_THAT(ids.body, HasSubstr(R"("tokens":["token_id:)"));
}

TEST(Service, MovesThePromptFromAPrefillToADecodeService) {
  Served prefill;
  Served decode;
  const Reply alone =
      decode.complete(R"(,"max_tokens":5,"prompt":"Another prompt of some length")");
  const Reply first =
      prefill.complete(R"(,"max_tokens":1,"kv_transfer_params":{"do_remote_decode":true})");
  ASSERT_EQ(first.status, 200) << first.body;
  const Value params = *first.json().find("kv_transfer_params");
  ASSERT_TRUE(params.is_object()) << first.body;
  const Reply here = prefill.complete(R"(,"max_tokens":9)");

  const Reply second =
      decode.complete(R"(,"max_tokens":9,"kv_transfer_params":)" + text::json::dump(params));

  EXPECT_EQ(second.number("x-baton-remote-tokens") + second.number("x-baton-cached-tokens") +
                second.number("x-baton-computed-tokens"),
            30u);
  EXPECT_GT(second.number("x-baton-remote-tokens"), 0u);
  EXPECT_GT(second.number("x-baton-kv-bytes"), 0u);
  EXPECT_EQ(second.json().find("choices")->if_array()->front().string_at({"text"}),
            here.json().find("choices")->if_array()->front().string_at({"text"}));
  EXPECT_TRUE(eventually([&] { return prefill.stats().leases == 0; }));
}

TEST(Service, CountsWhatItAskedOfAnEngineThatIsGone) {
  Served decode;
  std::string params;
  {
    Served prefill;
    const Reply first =
        prefill.complete(R"(,"max_tokens":1,"kv_transfer_params":{"do_remote_decode":true})");
    params = text::json::dump(*first.json().find("kv_transfer_params"));
  }

  const Reply second = decode.complete(R"(,"max_tokens":1,"kv_transfer_params":)" + params);

  EXPECT_EQ(second.number("x-baton-remote-tokens"), 0u);
  const std::string text = decode.call("GET", "/metrics").body;
  for (const std::string_view line :
       {R"(vllm:external_prefix_cache_queries_total{engine="0",model_name="tiny"} 29)",
        R"(vllm:external_prefix_cache_hits_total{engine="0",model_name="tiny"} 0)"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Service, AnnouncesALongPromptAndMovesItWhileItIsComputed) {
  const auto permits = std::make_shared<runtime::testing::Permits>(0);
  Served prefill({}, permits), decode;
  const std::string ask = R"({"temperature":0,"max_tokens":1,"prompt":")" + std::string(400, 'x') +
                          R"(","kv_transfer_params":)";
  Reply first, second;

  {
    std::promise<http::Headers> begun;
    const std::jthread leg([&] {
      first = prefill.call("POST", "/v1/completions", ask + R"({"do_remote_decode":true}})",
                           {{"content-type", "application/json"}, {"x-baton-announce-kv", "1"}},
                           [&](const http::Headers& headers) { begun.set_value(headers); });
    });
    auto head = begun.get_future();
    const bool came = head.wait_for(std::chrono::seconds(30)) == std::future_status::ready;
    if (!came) permits->release(runtime::testing::kAllThatIsLeft);
    ASSERT_TRUE(came);
    const http::Headers told = head.get();
    EXPECT_EQ(told.get("x-baton-computed-tokens"), "401");
    const Value announced = *text::json::parse(told.get("x-baton-announced-kv").value_or("{}"));
    const std::jthread other([&] {
      second = decode.post("/v1/completions",
                           ask + text::json::dump(*announced.find("kv_transfer_params")) + "}");
    });
    permits->release(2);
    EXPECT_TRUE(eventually([&] { return prefill.stats().served_bytes_early > 0; }));
    permits->release(runtime::testing::kAllThatIsLeft);
  }

  EXPECT_EQ(first.status, 200);
  EXPECT_TRUE(first.json().find("kv_transfer_params")->is_object()) << first.body;
  EXPECT_EQ(second.number("x-baton-remote-tokens"), 400U);
  EXPECT_EQ(second.number("x-baton-computed-tokens"), 1U);
  EXPECT_EQ(second.json().find("choices")->if_array()->front().string_at({"text"}),
            first.json().find("choices")->if_array()->front().string_at({"text"}));
  EXPECT_TRUE(eventually([&] { return prefill.stats().blocks_used == 0; }));
}

TEST(Service, AnnouncesNothingInAStream) {
  Served s;
  const Reply reply = s.call("POST", "/v1/completions",
                             R"({"stream":true,"max_tokens":1,"prompt":")" + std::string(400, 'x') +
                                 R"(","kv_transfer_params":{"do_remote_decode":true}})",
                             {{"content-type", "application/json"}, {"x-baton-announce-kv", "1"}});
  EXPECT_FALSE(reply.headers.has("x-baton-announced-kv"));
  EXPECT_TRUE(reply.body.ends_with("data: [DONE]\n\n")) << reply.body;
  EXPECT_TRUE(eventually([&] { return s.stats().leases == 0; }));
}

TEST(Service, ReleasesALeaseOnRequest) {
  Served s;
  const Reply first =
      s.complete(R"(,"max_tokens":1,"kv_transfer_params":{"do_remote_decode":true})");
  const Value params = *first.json().find("kv_transfer_params");
  EXPECT_EQ(s.stats().leases, 1u);
  const std::string id(params.string_at({"remote_request_id"}));
  std::string token;
  for (const auto& [key, value] : *params.if_object()) {
    if (key.find("token") != std::string::npos && value.is_string()) token = *value.if_string();
  }
  EXPECT_EQ(s.post("/baton/v1/kv/release",
                   text::json::dump(Object{{"remote_request_id", id}, {"lease_token", "guess"}}))
                .status,
            404);
  EXPECT_EQ(s.post("/baton/v1/kv/release",
                   text::json::dump(Object{{"remote_request_id", id}, {"lease_token", token}}))
                .status,
            200);
  EXPECT_TRUE(eventually([&] { return s.stats().leases == 0; }));
}

TEST(Service, StopsTheRequestOfAClientThatLeft) {
  Served s;
  s.leave_early("/v1/completions",
                R"({"prompt":"a","max_tokens":500,"ignore_eos":true,"stream":true})");
  EXPECT_TRUE(eventually([&] { return s.stats().running == 0 && s.stats().waiting == 0; }));
  EXPECT_TRUE(eventually([&] {
    return s.call("GET", "/metrics").body.find("finished_reason=\"abort\"") != std::string::npos;
  }));
}

TEST(Service, TokenizesAndBack) {
  Served s;
  EXPECT_EQ(s.post("/tokenize", R"({"prompt":"AB"})").body,
            R"({"count":3,"max_model_len":512,"tokens":[0,35,36],"token_strs":null})");
  EXPECT_EQ(
      s.post("/tokenize", R"({"prompt":"AB","add_special_tokens":false,"return_token_strs":true})")
          .body,
      R"({"count":2,"max_model_len":512,"tokens":[35,36],"token_strs":["A","B"]})");
  EXPECT_EQ(s.post("/tokenize", R"({"messages":[{"role":"user","content":"Hi"}]})")
                .json()
                .find("count")
                ->if_int(),
            10);
  EXPECT_EQ(s.post("/detokenize", R"({"tokens":[0,35,36]})").body, R"({"prompt":"<bos>AB"})");
}

TEST(Service, CountsUnderTheNamesOfVllm) {
  Served s;
  s.complete(R"(,"max_tokens":4)");
  const std::string text = s.call("GET", "/metrics").body;
  for (const std::string_view line :
       {R"(vllm:num_requests_running{engine="0",model_name="tiny"} 0)",
        R"(vllm:num_requests_waiting{engine="0",model_name="tiny"} 0)",
        R"(vllm:prompt_tokens_total{engine="0",model_name="tiny"} 30)",
        R"(vllm:generation_tokens_total{engine="0",model_name="tiny"} 4)",
        R"(vllm:request_success_total{engine="0",model_name="tiny",finished_reason="length"} 1)",
        R"(num_gpu_blocks="64")", R"(block_size="16")", "vllm:kv_cache_usage_perc",
        R"(vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="capacity"} 0)",
        R"(vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="awake"} 1)",
        R"(vllm:prompt_tokens_recomputed_total{engine="0",model_name="tiny"} 0)",
        R"(vllm:request_max_num_generation_tokens_sum{engine="0",model_name="tiny"} 4)",
        R"(vllm:iteration_tokens_total_bucket{engine="0",model_name="tiny",le="1"} 3)",
        R"(vllm:iteration_tokens_total_sum{engine="0",model_name="tiny"} 33)",
        "vllm:time_to_first_token_seconds_bucket", "baton_kv_blocks_pinned"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Service, AsksForAnApiKeyUnderV1Only) {
  Served s([](ServiceConfig& c, runtime::EngineConfig&) { c.api_keys = {"secret"}; });
  EXPECT_EQ(s.call("GET", "/v1/models").status, 401);
  EXPECT_EQ(s.call("GET", "/v1/models").body, R"({"error":"Unauthorized"})");
  EXPECT_EQ(s.call("GET", "/v1/models", "", {{"authorization", "Bearer secret"}}).status, 200);
  EXPECT_EQ(s.call("GET", "/health").status, 200);
}

TEST(Service, KeepsTheRequestId) {
  Served s([](ServiceConfig& c, runtime::EngineConfig&) {
    c.request_id_headers = c.prompt_tokens_details = true;
  });
  const Reply reply = s.call("POST", "/v1/completions", R"({"prompt":"a","max_tokens":1})",
                             {{"content-type", "application/json"}, {"x-request-id", "r-7"}});
  EXPECT_EQ(reply.json().string_at({"id"}), "cmpl-r-7");
  EXPECT_EQ(reply.headers.get("x-request-id"), "r-7");
  EXPECT_EQ(reply.json().find_path({"usage", "prompt_tokens_details", "cached_tokens"})->if_int(),
            0);
}

}  // namespace
}  // namespace baton::serve
