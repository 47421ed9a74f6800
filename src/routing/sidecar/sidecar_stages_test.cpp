// On sockets: the encode stage, legs that are held or paired beforehand, answers in chunks.

#include "base/text/json.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class SidecarStages : public SidecarTest {
 protected:
  SidecarStages() : encoder_(loop_), second_(loop_) {}
  ~SidecarStages() override {
    if (sidecar_) sidecar_->stop({Mono()});
    encoder_.stop();
    second_.stop();
  }

  static std::string text_of(const ScriptedEngine& engine) {
    return http::to_string(engine.endpoint());
  }
  http::RequestHead head_with(const std::string& encoders, bool prefill = false) const {
    http::RequestHead head = chat_head();
    if (!prefill) head.headers.remove("x-prefiller-host-port");
    head.headers.add("x-encoder-hosts-ports", encoders);
    return head;
  }
  static std::string images(int count) {
    std::string parts;
    for (int i = 0; i < count; ++i) {
      parts += (i > 0 ? "," : "") + (R"({"type":"image_url","image_url":{"url":"http://i/)" +
                                     std::to_string(i) + R"("}})");
    }
    return R"({"messages":[{"role":"user","content":[)" + parts + "]}]}";
  }

  ScriptedEngine encoder_;
  ScriptedEngine second_;
};

// sidecar:8 one or several encoders, item by item; sidecar:38 without a prefiller decode gets what
// they hand over.
TEST_F(SidecarStages, EveryItemGoesToAnEncoderInTurn) {
  encoder_.script({.body = R"({"ec_transfer_params":{"a":1}})"});
  second_.script({.body = R"({"ec_transfer_params":{"b":2}})"});
  decode_.script(decoded());
  start({.ec_connector = EcConnector::kNixl});

  EXPECT_EQ(get(head_with(text_of(encoder_)), images(1)).status, 200);
  EXPECT_EQ(encoder_.calls(), 1U);
  EXPECT_EQ(get(head_with(text_of(encoder_) + " , http://" + text_of(second_)), images(3)).status,
            200);

  EXPECT_EQ(encoder_.calls(), 3U);
  EXPECT_EQ(second_.calls(), 1U);
  auto asked = encoder_.request(0);
  EXPECT_EQ(asked.head.target, "/v1/chat/completions");
  EXPECT_THAT(std::string(*asked.head.headers.get("x-request-id")), ::testing::EndsWith("-enc-0"));
  EXPECT_FALSE(asked.head.headers.has("X-Forwarded-For"));
  EXPECT_THAT(asked.body, HasSubstr(R"("max_tokens":1)"));
  EXPECT_THAT(std::string(*second_.request(0).head.headers.get("x-request-id")),
              ::testing::EndsWith("-enc-1"));
  EXPECT_THAT(
      decode_.request(1).body,
      ::testing::EndsWith(R"(,"cache_hit_threshold":0,"ec_transfer_params":{"a":1,"b":2}})"));
  EXPECT_FALSE(decode_.request(1).head.headers.has("x-encoder-hosts-ports"));
  EXPECT_TRUE(decode_.request(1).head.headers.has("x-request-id"));
}

// sidecar:10 sidecar:38 prefill gets what the encoders handed over; none of it when they hand
// nothing over; part of it when some do.
TEST_F(SidecarStages, EncodeComesBeforePrefillAndDecode) {
  encoder_.replace({{.body = "{}"}, {.body = "{}"}, {.body = R"({"ec_transfer_params":{"b":2}})"}});
  prefill_.script(prefilled());
  decode_.script(decoded());
  start({.ec_connector = EcConnector::kNixl});
  http::RequestHead head = head_with(text_of(encoder_), true);

  Got got = get(head, images(1));
  EXPECT_EQ(header(got, "x-baton-prefill"), text_of(prefill_));
  EXPECT_THAT(prefill_.request(0).body, Not(HasSubstr("ec_transfer_params")));
  EXPECT_EQ(get(head, images(2)).status, 200);
  EXPECT_THAT(prefill_.request(1).body, HasSubstr(R"("ec_transfer_params":{"b":2})"));

  std::size_t before = encoder_.calls();
  EXPECT_EQ(get(head, R"({"messages":[{"role":"user","content":"only text"}]})").status, 200);
  EXPECT_EQ(encoder_.calls(), before);
  EXPECT_EQ(prefill_.calls(), 3U);
}

TEST_F(SidecarStages, EncodersGetNoTransferParametersOfAClient) {
  encoder_.script({.body = R"({"ec_transfer_params":{"a":1}})"});
  decode_.script(decoded());
  start({.ec_connector = EcConnector::kNixl});
  std::string body = images(1);
  body.insert(1, R"("kv_transfer_params":{"mine":1},)");

  EXPECT_EQ(get(head_with(text_of(encoder_)), body).status, 200);

  EXPECT_THAT(encoder_.request(0).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_THAT(decode_.request(0).body, Not(HasSubstr("kv_transfer_params")));
}

// sidecar:9 sidecar:11 refused encoders are passed over; without the connector all are.
TEST_F(SidecarStages, OnlyAllowedEncodersAreAskedAndOnlyWithAConnector) {
  auto published = std::make_shared<Published>();
  published->publish({encoder_.endpoint(), prefill_.endpoint()});
  encoder_.script({.body = "{}"});
  prefill_.script(prefilled());
  decode_.script(decoded());
  Config guarded;
  guarded.ec_connector = EcConnector::kExample;
  guarded.pool = published;
  start(guarded);

  EXPECT_EQ(get(head_with(text_of(second_)), images(2)).status, 200);
  EXPECT_EQ(decode_.request(0).body, images(2));
  EXPECT_EQ(get(head_with(text_of(second_), true), images(2)).status, 200);
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_EQ(encoder_.calls(), 0U);
  EXPECT_EQ(get(head_with(text_of(second_) + "," + text_of(encoder_)), images(2)).status, 200);
  EXPECT_EQ(encoder_.calls(), 2U);
  EXPECT_EQ(second_.calls(), 0U);
  EXPECT_EQ(get(head_with(" , "), images(2)).status, 200);  // an empty list is none

  sidecar_.reset();
  start({});
  EXPECT_EQ(get(head_with(text_of(encoder_)), images(2)).status, 200);
  EXPECT_EQ(get(head_with(text_of(encoder_), true), images(2)).status, 200);
  EXPECT_EQ(prefill_.calls(), 2U);
  EXPECT_EQ(encoder_.calls(), 2U);
}

// sidecar:37 the first failure ends the others; the client gets a 502; it may leave.
TEST_F(SidecarStages, AFailedEncoderFailsTheRequest) {
  encoder_.script({.status = 500, .body = "no"});
  second_.script({.manner = Manner::kHang});
  start({.ec_connector = EcConnector::kNixl});
  const std::string both = text_of(second_) + "," + text_of(encoder_);

  Got got = get(head_with(both), images(2));

  EXPECT_EQ(got.status, 502);
  EXPECT_THAT(got.body, HasSubstr("the encoder at " + text_of(encoder_) + " answered 500"));
  EXPECT_EQ(header(got, "x-baton-error-hop"), "encode");
  EXPECT_TRUE(eventually([&] { return second_.cancelled == 1; }));
  EXPECT_EQ(decode_.calls(), 0U);
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_encodes_total{result="failed"})"));

  encoder_.stop();
  EXPECT_EQ(get(head_with(text_of(encoder_)), images(2)).status, 502);
  {
    Raw raw(at_);
    std::string body = images(1);
    raw.send("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nx-encoder-hosts-ports: " +
             text_of(second_) + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
             body);
    EXPECT_TRUE(eventually([&] { return second_.calls() == 2; }));
  }
  EXPECT_TRUE(eventually([&] { return second_.cancelled == 2; }));
}

// sidecar:31 the engine is looked up once, decode is told its id and prefill its rank; a slow
// prefill disturbs nobody; a failed leg makes the sidecar ask again.
TEST_F(SidecarStages, MooncakeMeetsTheEngineThatItsHostTells) {
  encoder_.script({.body = R"({"3":{"engine_id":"E3"}})"});  // plays the bootstrap service
  prefill_.script({.manner = Manner::kHang});
  decode_.replace({decoded(), decoded(), {.status = 500, .body = "gone"}, decoded()});
  start({.connector = "mooncake", .ports = {.mooncake_bootstrap = encoder_.endpoint().port}});

  EXPECT_EQ(chat(R"({"max_tokens":5})").status, 200);
  EXPECT_EQ(chat(R"({"max_tokens":5})").status, 200);
  EXPECT_EQ(encoder_.calls(), 1U);
  EXPECT_EQ(encoder_.request(0).head.target, "/query");
  ASSERT_TRUE(eventually([&] { return prefill_.calls() == 2; }));
  EXPECT_EQ(prefill_.request(0).head.headers.get("x-data-parallel-rank"), "3");
  EXPECT_FALSE(decode_.request(0).head.headers.has("x-data-parallel-rank"));
  EXPECT_THAT(decode_.request(0).body, HasSubstr(R"("remote_engine_id":"E3")"));

  EXPECT_EQ(chat("{}").status, 500);
  EXPECT_EQ(chat("{}").status, 200);
  EXPECT_EQ(encoder_.calls(), 2U);

  encoder_.replace({{.status = 404, .body = "?"}});
  decode_.replace({{.status = 500, .body = "gone"}});
  EXPECT_EQ(chat("{}").status, 500);
  Got unknown = chat("{}");
  EXPECT_EQ(unknown.status, 502);
  EXPECT_THAT(unknown.body, HasSubstr("bootstrap service"));
}

Config held(Nanos wait = std::chrono::seconds(30)) {
  Config config;
  config.moriio.emplace();
  config.moriio->pod_address = "10.0.0.2";
  config.moriio->dispatch = Dispatch::kParallel;
  config.moriio->decode_wait = wait;
  return config;
}

// sidecar:26 decode's answer waits for the prefill, and goes down with it. sidecar:33 (with
// AKvSourceIsNamedToWhoeverComputesThePrompt) parallel legs name a KV source too, when told to.
TEST_F(SidecarStages, ADecodeBesideItsPrefillIsHeldBack) {
  const std::string events = "data: {\"a\":1}\n\ndata: [DONE]\n\n";
  decode_.script({.body = events, .headers = {{"Content-Type", "text/event-stream"}}});
  prefill_.script({.body = "{}"});
  start(held());
  EXPECT_EQ(chat(R"({"stream":true})").body, events);
  EXPECT_THAT(decode_.request(0).body, HasSubstr(R"("remote_engine_id":"127.0.0.1:6301")"));

  prefill_.replace({{.status = 422, .body = "prefill says no"}});
  Got failed = chat();
  EXPECT_EQ(failed.status, 422);
  EXPECT_EQ(failed.body, "prefill says no");

  prefill_.replace({{.body = "{}"}});
  http::RequestHead source = chat_head();
  source.headers.add("x-kv-cache-source-host-port", "10.0.0.9:8000");
  EXPECT_EQ(get(source, "{}").status, 200);
  EXPECT_THAT(prefill_.request(2).body, Not(HasSubstr("remote_kv_source")));
  sidecar_.reset();

  Config pulling = held();
  pulling.pull = Pull::kYes;
  start(pulling);
  EXPECT_EQ(get(source, "{}").status, 200);
  EXPECT_THAT(prefill_.request(3).body, HasSubstr(R"("remote_kv_source":{"kv_request_id":)"));
  EXPECT_THAT(decode_.request(decode_.calls() - 1).body, Not(HasSubstr("remote_kv_source")));
}

// sidecar:25 whether decode waits for its prefill or runs beside it.
TEST_F(SidecarStages, BothLegsAreTiedToOneRank) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  for (const Dispatch dispatch : {Dispatch::kSerial, Dispatch::kParallel}) {
    sidecar_.reset();
    Config config = held();
    config.moriio->dispatch = dispatch;
    config.moriio->dp_size = 8;
    start(config);
    const std::size_t call = decode_.calls();

    EXPECT_EQ(chat().status, 200);

    const auto prefill = prefill_.request(call);
    const auto decode = decode_.request(call);
    const std::string rank(prefill.head.headers.get("x-data-parallel-rank").value_or("none"));
    EXPECT_EQ(decode.head.headers.get("x-data-parallel-rank"), rank);
    EXPECT_THAT(prefill.body, HasSubstr("\"remote_dp_rank\":" + rank + ","));
    EXPECT_THAT(decode.body, HasSubstr("\"remote_dp_rank\":" + rank + ","));
  }
}

TEST_F(SidecarStages, APrefillBesideAHeldDecodeIsJudgedWhenItIsDone) {
  decode_.script({.manner = Manner::kHang});
  prefill_.script({.body = "{}"});
  tracer_ = spans_.tracer();
  start(held());
  Raw client(at_);
  client.send(raw_chat("{}"));
  ASSERT_TRUE(eventually([&] { return decode_.calls() == 1; }));

  EXPECT_TRUE(eventually([&] {
    return metrics().contains("baton_sidecar_prefill_seconds_count 1") &&
           spans_.only("prefill").context.valid();
  }));
  EXPECT_EQ(decode_.cancelled, 0);
}

// sidecar:26 both hang.
TEST_F(SidecarStages, AHeldDecodeIsNotHeldForever) {
  decode_.script({.manner = Manner::kHang});
  prefill_.script({.manner = Manner::kHang});
  start(held(Millis(50)));

  Got got = chat();

  EXPECT_EQ(got.status, 504);
  EXPECT_TRUE(eventually([&] { return prefill_.cancelled == 1 && decode_.cancelled == 1; }));
}

Answer chunk(std::string_view text, std::string_view reason) {
  return {.body = R"({"id":"c","choices":[{"message":{"role":"assistant","content":")" +
                  std::string(text) + R"("},"finish_reason":")" + std::string(reason) +
                  R"("}],"usage":{"prompt_tokens":10,"completion_tokens":4}})"};
}

// sidecar:39 sidecar:40 with a prefill before the first chunk only; an engine's error is passed on.
TEST_F(SidecarStages, AnAnswerIsDecodedInChunks) {
  prefill_.script(prefilled());
  decode_.replace({chunk("one", "length"), chunk(" two", "stop")});
  start({.decode_chunk_size = 4});
  const std::string body = R"({"messages":[{"role":"user","content":"q"}],"max_tokens":50})";

  Got got = chat(body);

  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(got.body, HasSubstr(R"("content":"one two"},"finish_reason":"stop")"));
  EXPECT_THAT(got.body, HasSubstr(R"("cached_tokens":7)"));
  EXPECT_EQ(header(got, "x-baton-prefill"), text_of(prefill_));
  EXPECT_EQ(prefill_.calls(), 1U);
  EXPECT_THAT(decode_.request(0).body, HasSubstr("remote_engine_id"));
  EXPECT_THAT(decode_.request(1).body, Not(HasSubstr("kv_transfer_params")));
  EXPECT_THAT(decode_.request(1).body, HasSubstr(R"("continue_final_message":true)"));

  decode_.replace({chunk("one", "length"), chunk(" two", "stop")});
  http::RequestHead alone{"POST", "/v1/chat/completions", {}};
  Got stream = get(alone, R"({"messages":[{"role":"user","content":"q"}],"stream":true})");
  EXPECT_EQ(header(stream, "Content-Type"), "text/event-stream");
  EXPECT_THAT(stream.body, StartsWith("data: {"));
  EXPECT_THAT(stream.body, HasSubstr(R"("content":"one"},"finish_reason":null)"));
  EXPECT_THAT(stream.body, HasSubstr(R"("content":" two"},"finish_reason":"stop")"));
  EXPECT_THAT(stream.body, HasSubstr(R"("completion_tokens":8)"));
  EXPECT_THAT(stream.body, ::testing::EndsWith("data: [DONE]\n\n"));

  decode_.replace({chunk("one", "length"), chunk(" two", "stop")});
  const http::RequestHead escaped{"POST", "/v1/chat/complet%69ons", {}};
  EXPECT_THAT(get(escaped, body).body, HasSubstr(R"("content":"one two")"));

  decode_.replace({{.status = 418, .body = "tea"}});
  EXPECT_EQ(get(alone, body).body, "tea");
  decode_.replace({chunk("one", "length"), {.status = 418, .body = "tea"}});
  EXPECT_EQ(get(alone, body).status, 418);
  Got broken = get(alone, R"({"messages":[{"role":"user","content":"q"}],"stream":true})");
  EXPECT_EQ(broken.status, 418);  // nothing was sent yet: the second chunk's script is the last one

  decode_.replace({chunk("one", "length"), {.status = 418, .body = "tea"}});
  Got midway = get(alone, R"({"messages":[{"role":"user","content":"q"}],"stream":true})");
  EXPECT_EQ(midway.status, 200);
  EXPECT_THAT(midway.body, HasSubstr(R"(data: {"error":)"));
  decode_.replace({{.body = "<html>"}});
  EXPECT_EQ(get(alone, body).status, 502);

  std::size_t before = decode_.calls();
  decode_.replace({decoded()});
  EXPECT_EQ(get({"POST", "/v1/completions", {}}, R"({"prompt":"q","max_tokens":50})").status, 200);
  EXPECT_EQ(decode_.calls(), before + 1);
}

Answer thinking(std::string_view reason) {
  return {.body = R"({"id":"c","choices":[{"message":{"role":"assistant","content":null,)"
                  R"("reasoning_content":"hm"},"finish_reason":")" +
                  std::string(reason) + R"("}]})"};
}

TEST_F(SidecarStages, AnAnswerThatBeginsWithReasoningIsDecodedInOnePiece) {
  prefill_.script(prefilled());
  start({.decode_chunk_size = 4});
  const std::string body = R"({"messages":[{"role":"user","content":"q"}]})";

  decode_.replace({thinking("length"), chunk("whole", "stop")});
  const Got got = chat(body);
  EXPECT_EQ(got.status, 200);
  EXPECT_THAT(got.body, HasSubstr(R"("content":"whole"},"finish_reason":"stop")"));
  EXPECT_EQ(decode_.calls(), 2U);
  EXPECT_THAT(decode_.request(0).body, HasSubstr(R"("max_tokens":4)"));
  EXPECT_EQ(decode_.request(1).body, body);

  const http::RequestHead alone{"POST", "/v1/chat/completions", {}};
  decode_.replace({thinking("length"), {.status = 418, .body = "tea"}});
  EXPECT_EQ(get(alone, body).body, "tea");
  EXPECT_TRUE(eventually(
      [&] { return metrics().contains(R"(requests_total{outcome="decode_failed"} 1)"); }));

  // Streamed, one chunk that is the whole answer.
  decode_.replace({thinking("stop")});
  const Got stream = get(alone, R"({"messages":[{"role":"user","content":"q"}],"stream":true})");
  EXPECT_THAT(stream.body, HasSubstr(R"("reasoning_content":"hm")"));
}

// A chunk asks for a number of tokens, where a client without a limit takes what there is room for.
TEST_F(SidecarStages, AChunkThatTheContextHasNoRoomForIsAskedForWithoutALimit) {
  start({.decode_chunk_size = 4});
  const http::RequestHead alone{"POST", "/v1/chat/completions", {}};
  const std::string body = R"({"messages":[{"role":"user","content":"q"}]})";
  const std::string streamed = R"({"messages":[{"role":"user","content":"q"}],"stream":true})";
  const Answer no_room{.status = 400, .body = "too large"};

  decode_.replace({chunk("one", "length"), no_room, chunk(" two", "length")});
  EXPECT_THAT(get(alone, body).body, HasSubstr(R"("content":"one two"},"finish_reason":"length")"));
  EXPECT_THAT(decode_.request(1).body, HasSubstr(R"("max_tokens":4)"));
  EXPECT_THAT(decode_.request(2).body, Not(HasSubstr("max_tokens")));

  decode_.replace({chunk("one", "length"), chunk(" two", "length"), no_room});
  EXPECT_THAT(get(alone, body).body, HasSubstr(R"("content":"one two"},"finish_reason":"length")"));
  decode_.replace({chunk("one", "length"), chunk(" two", "length"), no_room});
  const Got stream = get(alone, streamed);
  EXPECT_THAT(stream.body, HasSubstr(R"("content":""},"finish_reason":"length")"));
  EXPECT_THAT(stream.body, Not(HasSubstr(R"("error")")));

  // An engine that has never continued a text says why.
  decode_.replace({chunk("one", "length"), no_room});
  EXPECT_EQ(get(alone, body).status, 400);
}

TEST_F(SidecarStages, AFirstChunkThatTheContextHasNoRoomForIsAskedForWithoutALimit) {
  prefill_.script(prefilled());
  start({.decode_chunk_size = 4});
  const std::string body = R"({"messages":[{"role":"user","content":"q"}]})";
  const Answer no_room{.status = 400, .body = "too large"};

  decode_.replace({no_room, chunk("whole", "length")});
  EXPECT_EQ(get({"POST", "/v1/chat/completions", {}}, body).body, chunk("whole", "length").body);
  EXPECT_EQ(decode_.request(1).body, body);

  decode_.replace({no_room, chunk("whole", "length")});
  const Got got = chat(body);
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(header(got, "x-baton-prefill"), text_of(prefill_));
  EXPECT_THAT(decode_.request(3).body, HasSubstr("remote_engine_id"));
  EXPECT_THAT(decode_.request(3).body, Not(HasSubstr("max_tokens")));
  EXPECT_THAT(metrics(), HasSubstr(R"(prefills_repeated_total{reason="chunk"} 1)"));

  decode_.replace({no_room});
  EXPECT_EQ(chat(body).status, 400);
}

// sidecar:7 the table of candidates on the other handlers; every path belongs to one API.
TEST_F(SidecarStages, EveryHandlerReadsTheCandidatesAlike) {
  prefill_.script(prefilled());
  other_.script(prefilled());
  decode_.script(decoded());
  start();
  const std::string a = text_of(prefill_);
  const std::string b = text_of(other_);
  for (const char* path : {"/v1/responses", "/inference/v1/generate", "/v1/messages"}) {
    auto through = [&](std::vector<std::string> values) {
      http::RequestHead head{"POST", path, {}};
      for (const auto& value : values) head.headers.add("x-prefiller-host-port", value);
      return header(get(head, "{}"), "x-baton-prefill");
    };
    EXPECT_THAT(through({}), Not(HasSubstr(":")));
    EXPECT_THAT(through({""}), Not(HasSubstr(":")));
    EXPECT_EQ(through({a}), a);
    EXPECT_EQ(through({b + "," + a}), b);
    EXPECT_EQ(through({" " + b, a}), b);
  }
  EXPECT_EQ(name(Api::kChat), "chat_completions");
  EXPECT_EQ(name(Api::kResponses), "responses");
  EXPECT_EQ(name(Api::kGenerate), "generate");
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_generations_total{api="responses"} 5)"));

  sidecar_.reset();
  random_ = SeededRandom(7);
  start({.sample_prefillers = true});
  SeededRandom same(7);
  for (int i = 0; i < 12; ++i) {
    http::RequestHead head = chat_head();
    head.target = i % 2 == 0 ? "/v1/responses" : "/inference/v1/generate";
    head.headers.set("x-prefiller-host-port", a + " , " + b);
    EXPECT_EQ(header(get(head, "{}"), "x-baton-prefill"), same.below(2) == 1 ? b : a);
    (void)make_pairing(same);  // what a request draws after it
  }
}

// sidecar:46 (its certificates that change: net/tls) the client's trace goes to every engine.
TEST_F(SidecarStages, EveryUpstreamCallCarriesTheTrace) {
  prefill_.script(prefilled());
  decode_.script(decoded());
  start();
  const std::string_view trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  http::RequestHead head = chat_head();
  head.headers.add("traceparent", trace);
  head.headers.add("baggage", "a=1");

  EXPECT_EQ(get(head, "{}").status, 200);

  for (const ScriptedEngine* engine : {&prefill_, &decode_}) {
    const ScriptedEngine::Request seen = engine->request(0);
    auto parent = seen.head.headers.get("traceparent");
    ASSERT_TRUE(parent);
    EXPECT_EQ(parent->substr(0, 36), trace.substr(0, 36));  // the trace, if not the span
    EXPECT_EQ(seen.head.headers.get("baggage"), "a=1");
  }
}

}  // namespace
}  // namespace baton::sidecar
