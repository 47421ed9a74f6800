#include "net/http/parser.hpp"

#include <gtest/gtest.h>

#include "net/http/sse.hpp"
#include "net/http/transcript.hpp"

namespace baton::http {
namespace {

constexpr ParseLimits kLimits{.head_bytes = 512, .fields = 8};

std::string request(std::string_view bytes) {
  return transcript(RequestParser(kLimits), bytes, bytes.size());
}
std::string response(std::string_view bytes) {
  return transcript(ResponseParser(kLimits), bytes, bytes.size());
}

TEST(RequestParser, ReadsPipelinedRequestsWithEveryFraming) {
  std::string got = request(
      "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n"
      "POST / HTTP/1.1\r\nHost:x\r\ncontent-length: 3\r\n\r\nabc"
      "\r\nPOST / HTTP/1.1\r\nHost: x \r\nTransfer-Encoding: Chunked\r\n\r\n"
      "3;name=\"v\"\r\nabc\r\n00a\r\n0123456789\r\n0\r\nTrailer: dropped\r\n\r\n"
      "GET / HTTP/1.0\r\n\r\n");

  EXPECT_EQ(got,
            "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n[]\n"
            "POST / HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\n[abc]\n"
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n[abc0123456789]\n"
            "GET / HTTP/1.1\r\n\r\n[] close\n"
            "... (0 left)");
}

TEST(RequestParser, TurnsAnAbsoluteTargetIntoPathAndHost) {
  EXPECT_EQ(request("GET http://a.b:1/x?y HTTP/1.1\r\nHost: other\r\n\r\n"),
            "GET /x?y HTTP/1.1\r\nHost: a.b:1\r\n\r\n[]\n... (0 left)");
}

TEST(RequestParser, KeepsTheConnectionAsTheHeadSays) {
  EXPECT_EQ(request("GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n"),
            "GET / HTTP/1.1\r\nHost: x\r\nConnection: TE, Close\r\n\r\n[] close\n... (0 left)");
  EXPECT_EQ(request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
            "GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n[]\n... (0 left)");
}

struct Refusal {
  std::string_view name, bytes;
  int status;
};

class Refused : public ::testing::TestWithParam<Refusal> {};

TEST_P(Refused, WithTheStatus) {
  std::string got = request(GetParam().bytes);

  std::size_t line = got.rfind('\n') == std::string::npos ? 0 : got.rfind('\n') + 1;
  EXPECT_EQ(got.substr(line, 3), std::to_string(GetParam().status)) << got;
}

std::string post(std::string_view fields, std::string_view body = "") {
  return fmt::format("POST / HTTP/1.1\r\nHost: x\r\n{}\r\n{}", fields, body);
}

const std::string kChunked = "Transfer-Encoding: chunked\r\n";
const std::string kTwoLengths = post("Content-Length: 1\r\nContent-Length: 2\r\n", "ab");
const std::string kSameLengths = post("Content-Length: 1\r\nContent-Length: 1\r\n", "ab");
const std::string kListedLengths = post("Content-Length: 1, 1\r\n", "ab");
const std::string kSignedLength = post("Content-Length: +1\r\n", "a");
const std::string kHexLength = post("Content-Length: 0x1\r\n", "a");
const std::string kEmptyLength = post("Content-Length:\r\n");
const std::string kHugeLength = post("Content-Length: 18446744073709551617\r\n");
const std::string kBoth = post("Content-Length: 1\r\n" + kChunked, "0\r\n\r\n");
const std::string kTwice = post(kChunked + kChunked, "0\r\n\r\n");
const std::string kList = post("Transfer-Encoding: gzip, chunked\r\n");
const std::string kOdd = post("Transfer-Encoding: xchunked\r\n");
const std::string kVertical = post(
    "Transfer-Encoding: \x0b"
    "chunked\r\n");
const std::string kSpaceColon = post("Content-Length : 1\r\n", "a");
const std::string kFolded = post("X: a\r\n b\r\n");
const std::string kNul = post(std::string_view("X: a\0b\r\n", 8));
const std::string kBareCr = post("X: a\rb\r\n");
const std::string kBareLf = post("X: a\nContent-Length: 1\r\n");
const std::string kNoColon = post("Xa\r\n");
const std::string kNoName = post(": a\r\n");
const std::string kTwoHosts = post("Host: y\r\n");
const std::string kMany = post("a:1\r\nb:1\r\nc:1\r\nd:1\r\ne:1\r\nf:1\r\ng:1\r\nh:1\r\n");
const std::string kLong = post("X: " + std::string(600, 'a') + "\r\n");
const std::string kExpect = post("Expect: miracles\r\n");
const std::string kChunkSign = post(kChunked, "-1\r\n");
const std::string kChunkPrefix = post(kChunked, "0x1\r\na\r\n");
const std::string kChunkSpace = post(kChunked, "1 \r\na\r\n");
const std::string kChunkEmpty = post(kChunked, "\r\n");
const std::string kChunkHuge = post(kChunked, "fffffffffffffffff\r\n");
const std::string kChunkLf = post(kChunked, "1\na\r\n");
const std::string kChunkLong = post(kChunked, "1\r\nab\r\n");
const std::string kChunkExtension = post(kChunked, "1;" + std::string(300, 'x') + "\r\n");
const std::string kChunkNul = post(kChunked, std::string_view("1;\0\r\na\r\n", 8));
const std::string kTrailerBad = post(kChunked, "0\r\nbad trailer\r\n\r\n");

INSTANTIATE_TEST_SUITE_P(
    RequestParser, Refused,
    ::testing::Values(
        Refusal{"ConflictingLengths", kTwoLengths, 400}, Refusal{"EqualLengths", kSameLengths, 400},
        Refusal{"ListedLengths", kListedLengths, 400}, Refusal{"SignedLength", kSignedLength, 400},
        Refusal{"HexLength", kHexLength, 400}, Refusal{"EmptyLength", kEmptyLength, 400},
        Refusal{"OverflowingLength", kHugeLength, 400}, Refusal{"LengthBesideChunked", kBoth, 400},
        Refusal{"ChunkedTwice", kTwice, 501}, Refusal{"OtherCodingFirst", kList, 501},
        Refusal{"LookalikeCoding", kOdd, 501}, Refusal{"VerticalTab", kVertical, 400},
        Refusal{"ChunkedInHttp10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        Refusal{"SpaceBeforeColon", kSpaceColon, 400}, Refusal{"FoldedField", kFolded, 400},
        Refusal{"NulInField", kNul, 400}, Refusal{"BareCr", kBareCr, 400},
        Refusal{"BareLf", kBareLf, 400}, Refusal{"NoColon", kNoColon, 400},
        Refusal{"NoName", kNoName, 400}, Refusal{"TwoHosts", kTwoHosts, 400},
        Refusal{"NoHost", "GET / HTTP/1.1\r\n\r\n", 400}, Refusal{"ManyFields", kMany, 431},
        Refusal{"LongHead", kLong, 431}, Refusal{"OtherExpectation", kExpect, 417},
        Refusal{"SpaceInTarget", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Refusal{"ControlInTarget", "GET /a\tb HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Refusal{"RelativeTarget", "GET a HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Refusal{"Connect", "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Refusal{"Http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        Refusal{"Http09", "GET /\r\n\r\n", 400},
        Refusal{"LeadingSpace", " GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Refusal{"TwoEmptyLines", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        Refusal{"TlsHello", std::string_view("\x16\x03\x01\0\n", 5), 400},
        Refusal{"ChunkSign", kChunkSign, 400}, Refusal{"ChunkPrefix", kChunkPrefix, 400},
        Refusal{"ChunkSpace", kChunkSpace, 400}, Refusal{"ChunkEmpty", kChunkEmpty, 400},
        Refusal{"ChunkHuge", kChunkHuge, 400}, Refusal{"ChunkLf", kChunkLf, 400},
        Refusal{"ChunkLong", kChunkLong, 400}, Refusal{"ChunkExtension", kChunkExtension, 400},
        Refusal{"ChunkNul", kChunkNul, 400}, Refusal{"BadTrailer", kTrailerBad, 400}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(RequestParser, ReadsTheSameWhereverThePiecesAreCut) {
  std::string all =
      "\r\nPOST /v1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;e=1\r\nhello\r\n1\r\n \r\n0\r\nA: b\r\n\r\n" +
      post("Content-Length: 5\r\n", "world") + "GET / HTTP/1.1\r\nHost: y\r\n\r\n";
  std::string whole = request(all);

  for (std::size_t step = 1; step < all.size(); ++step) {
    EXPECT_EQ(transcript(RequestParser(kLimits), all, step), whole) << step;
  }
}

TEST(ResponseParser, ReadsEveryFramingAndPassesOverInterimAnswers) {
  std::string got = response(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
      "HTTP/1.1 204\r\n\r\n"
      "HTTP/1.1 200 Fine by me\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
      "HTTP/1.0 503 x\r\n\r\nuntil the end");

  EXPECT_EQ(got,
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[ab]\n"
            "HTTP/1.1 204 No Content\r\n\r\n[]\n"
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n[a]\n"
            "HTTP/1.1 503 Service Unavailable\r\n\r\n...until the end (0 left)");
}

TEST(ResponseParser, EndsABodyWithoutLengthAtTheClose) {
  ResponseParser parser(kLimits);
  std::string bytes = "HTTP/1.1 200 OK\r\n\r\nabc";

  Step head = parser.next(bytes);
  Step data = parser.next(std::string_view(bytes).substr(head.consumed));

  EXPECT_EQ(data.data, "abc");
  EXPECT_EQ(parser.end_of_input().event, Event::kEnd);
  EXPECT_FALSE(parser.keep_alive());
}

TEST(ResponseParser, CallsATruncatedBodyAnError) {
  ResponseParser parser(kLimits);
  (void)parser.next("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");

  EXPECT_EQ(parser.end_of_input().event, Event::kError);
}

TEST(ResponseParser, ExpectsNoBodyAfterHead) {
  ResponseParser parser(kLimits);
  parser.expect("HEAD");

  EXPECT_EQ(transcript(parser, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 100),
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[]\n... (0 left)");
}

TEST(ResponseParser, RefusesWhatIsNotHttp) {
  for (std::string_view bytes :
       {"SSH-2.0-x\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}) {
    ResponseParser parser(kLimits);
    EXPECT_EQ(parser.next(bytes).event, Event::kError) << bytes;
  }
}

TEST(AppendHead, CannotBeSplitByAValue) {
  std::string out;

  append_head(out, ResponseHead{200, {{"X", "a\r\nSet-Cookie: b"}}});

  EXPECT_EQ(out, "HTTP/1.1 200 OK\r\nX: a  Set-Cookie: b\r\n\r\n");
}

TEST(HopByHop, GoesWithWhatConnectionNames) {
  Headers headers{{"Connection", "close, X-Mine"}, {"X-Mine", "1"}, {"TE", "trailers"}, {"A", "b"}};

  remove_hop_by_hop(headers);

  EXPECT_EQ(headers.size(), 1U);
  EXPECT_EQ(headers.get("a"), "b");
}

TEST(Endpoint, IsParsedAndPrinted) {
  for (std::string_view text : {"1.2.3.4:80", "[::1]:80", "name:65535"}) {
    auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(to_string(*endpoint), text);
  }
  for (std::string_view text : {"", ":80", "a", "a:", "a:0", "a:65536", "a:8x", "::1:80", "a b:1",
                                "http://a:1", "[::1:80", "u@h:1"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
}

TEST(LineSplitter, GivesWholeLinesWhateverThePieces) {
  std::string stream = "data: a\r\n\ndata:b\n: comment\n\nlast";
  for (std::size_t step = 1; step <= stream.size(); ++step) {
    LineSplitter lines(64);
    std::string joined;
    std::string payloads;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      ASSERT_TRUE(lines.feed(std::string_view(stream).substr(at, step), [&](std::string_view line) {
        joined += line;
        if (auto data = sse_data(line)) payloads += *data;
      }));
    }
    joined += lines.rest();
    EXPECT_EQ(joined, stream);
    EXPECT_EQ(payloads, "ab");
  }
}

TEST(LineSplitter, StopsAtItsLimit) {
  LineSplitter lines(4);

  EXPECT_FALSE(lines.feed("12345", [](std::string_view) {}));
}

}  // namespace
}  // namespace baton::http
