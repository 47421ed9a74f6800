// Requests that are no generation: their bodies pass as they come.

#include "net/http/testing/raw_server.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"
#include "routing/sidecar/upload.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;

// An engine that takes a body piece by piece, when the test lets it.
class TakingEngine {
 public:
  explicit TakingEngine(async::Loop& loop)
      : server_(loop, kClock, {{}, "engine"}, [this](http::Exchange& x) { return take(x); }),
        endpoint_(*server_.listen({"127.0.0.1", 0})) {}
  ~TakingEngine() { server_.stop({Mono()}); }

  const http::Endpoint& endpoint() const { return endpoint_; }
  std::atomic<std::size_t> taken = 0;
  std::atomic<bool> go_on = true;
  std::atomic<int> refused = 0;     // bodies that broke off
  std::atomic<bool> early = false;  // answers at once, and reads nothing

 private:
  struct Ending {
    TakingEngine& engine;
    bool whole = false;
    ~Ending() { engine.refused += whole ? 0 : 1; }
  };
  Task<void> take(http::Exchange& exchange) {
    if (early) {
      (void)co_await exchange.respond({429, {}}, "busy");
      co_return;
    }
    Ending ending{*this};
    std::string body;
    for (;;) {
      while (!go_on) co_await async::sleep_until(kClock.now() + Millis(1));
      auto piece = co_await exchange.read_some(kMaxBody);
      if (!piece) co_return;
      if (piece->empty()) break;
      body += *piece;
      taken = body.size();
    }
    ending.whole = true;
    const bool sized = exchange.head().headers.has("Content-Length");
    (void)co_await exchange.respond({200, {{"x-framing", sized ? "length" : "chunks"}}}, body);
  }

  http::Server server_;
  http::Endpoint endpoint_;
};

class SidecarUpload : public SidecarTest {
 protected:
  void start_before(TakingEngine& engine) { start({.decoder = engine.endpoint()}); }
  std::string head_of(std::string_view framing) const {
    return "POST /v1/embeddings HTTP/1.1\r\nHost: x\r\n" + std::string(framing) + "\r\n\r\n";
  }
  std::string sized(std::size_t size) const {
    return head_of("Content-Length: " + std::to_string(size));
  }
};

std::string patterned(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>(i * 131 >> 7);
  return out;
}

TEST_F(SidecarUpload, PassesLongBodiesByteByByte) {
  TakingEngine engine(loop_);
  start_before(engine);
  for (const std::size_t size : {Upload::kWhole, Upload::kWhole + 1, std::size_t{5'000'000}}) {
    const std::string body = patterned(size);
    const Got got = get({"POST", "/v1/embeddings", {}}, body);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(header(got, "x-framing"), "length");
    EXPECT_TRUE(got.body == body) << size;
  }
}

TEST_F(SidecarUpload, PassesChunksOnAsTheyCome) {
  TakingEngine engine(loop_);
  start_before(engine);
  Raw client(at_);
  const std::string begun = patterned(Upload::kWhole + 5);

  client.send(head_of("Transfer-Encoding: chunked") + "10005\r\n" + begun);
  ASSERT_TRUE(eventually([&] { return engine.taken == begun.size(); }));
  client.send("\r\n3\r\nend\r\n0\r\n\r\n");

  const std::string answer = client.read_until("end");
  EXPECT_THAT(answer, HasSubstr("x-framing: chunks"));
  EXPECT_TRUE(answer.ends_with(begun + "end"));
}

TEST_F(SidecarUpload, HoldsAClientBackWhoseEngineDoesNotRead) {
  TakingEngine engine(loop_);
  engine.go_on = false;
  start_before(engine);
  Raw client(at_);
  const std::string body(kMaxBody, 'b');
  client.send(sized(body.size()));

  const std::size_t gone = client.send_what_goes(body, Millis(300));

  EXPECT_LT(gone, body.size() / 2);
  engine.go_on = true;
  EXPECT_TRUE(client.send(std::string_view(body).substr(gone)));
  EXPECT_THAT(client.read_until("\r\n\r\n"), HasSubstr("200 OK"));
  EXPECT_EQ(engine.taken, body.size());
}

TEST_F(SidecarUpload, TellsTheEngineThatItsClientLeft) {
  TakingEngine engine(loop_);
  start_before(engine);
  Raw client(at_);
  client.send(sized(1'000'000) + std::string(500'000, 'b'));
  ASSERT_TRUE(eventually([&] { return engine.taken == 500'000; }));

  client.close();

  EXPECT_TRUE(eventually([&] { return engine.refused == 1; }));
}

TEST_F(SidecarUpload, RefusesOverlongBodies) {
  TakingEngine engine(loop_);
  start_before(engine);
  Raw sized_client(at_);
  sized_client.send(sized(kMaxBody + 1));
  EXPECT_THAT(sized_client.read_all(), HasSubstr("413 "));
  EXPECT_EQ(engine.taken, 0U);

  Raw chunked(at_);
  chunked.send(head_of("Transfer-Encoding: chunked") + "4000000\r\n");
  EXPECT_TRUE(chunked.send(std::string(kMaxBody, 'c')));
  chunked.send("\r\n1\r\nd\r\n");
  EXPECT_THAT(chunked.read_all(), HasSubstr("413 "));
  EXPECT_TRUE(eventually([&] { return engine.refused == 1; }));
}

TEST_F(SidecarUpload, RelaysAnAnswerThatComesBeforeTheBodysEnd) {
  TakingEngine engine(loop_);
  engine.early = true;
  start_before(engine);
  const Got got = get({"POST", "/v1/embeddings", {}}, std::string(300'000, 'b'));
  EXPECT_EQ(got.status, 429);
  EXPECT_EQ(got.body, "busy");
}

// The engine answers and then neither reads nor closes.
TEST_F(SidecarUpload, RelaysAnAnswerThatComesWhileTheClientStillSends) {
  const http::testing::RawServer engine(
      {{1, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"}});
  start({.decoder = engine.endpoint()});
  Raw client(at_);

  client.send(sized(1'000'000) + std::string(100'000, 'b'));

  EXPECT_THAT(client.read_until("busy"), HasSubstr("429 Too Many Requests"));
}

TEST_F(SidecarUpload, RelaysAnAnswerOfAnEngineThatTakesNoMore) {
  const http::testing::RawServer engine(
      {{1, "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"}});
  start({.decoder = engine.endpoint()});

  const Got got = get({"POST", "/v1/embeddings", {}}, std::string(kMaxBody, 'b'));

  EXPECT_EQ(got.status, 429) << got.body;
  EXPECT_EQ(got.body, "busy");
}

TEST_F(SidecarUpload, SaysThatTheEngineIsAway) {
  start();
  decode_.stop();
  const Got got = get({"POST", "/v1/embeddings", {}}, std::string(300'000, 'b'));
  EXPECT_EQ(got.status, 503);
  EXPECT_THAT(got.body, HasSubstr(": Connection refused)"));
}

}  // namespace
}  // namespace baton::sidecar
