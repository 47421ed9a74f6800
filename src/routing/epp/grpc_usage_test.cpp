#include "routing/epp/grpc_usage.hpp"

#include "net/grpc/proto.hpp"
#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using proto::Writer;
using testing::ExtProcTest;

std::string frame(std::string_view message) {
  std::string out;
  grpc::append_prefix(out, message.size());
  return out + std::string(message);
}

std::string chunk(std::uint64_t completion) {
  std::string message;
  Writer(message).message(1, [&](Writer& one) {
    one.bytes(1, "\x07");
    one.varint(2, 9), one.varint(3, completion), one.varint(4, 4);
  });
  return frame(message);
}

std::string complete(std::uint64_t completion) {
  std::string message;
  Writer(message).message(2, [&](Writer& one) {
    one.bytes(1, "\x07\x08"), one.bytes(2, "stop");
    one.varint(3, 9), one.varint(4, completion), one.varint(5, 4);
  });
  return frame(message);
}

TEST(GrpcUsage, TheLastMessageCountsHoweverTheBytesAreCut) {
  const auto bytes = chunk(1) + chunk(2) + complete(3);
  for (const std::size_t step : {1, 3, 1000}) {
    GrpcUsage usage;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      usage.feed(std::string_view(bytes).substr(at, step));
    }
    EXPECT_EQ(usage.usage().prompt, 9) << step;
    EXPECT_EQ(usage.usage().completion, 3);
    EXPECT_EQ(usage.usage().cached, 4);
    EXPECT_FALSE(usage.unread());
  }
}

TEST(GrpcUsage, AnEmbeddingTellsItsPrompt) {
  std::string message;
  Writer writer(message);
  writer.bytes(1, "\0\0\0\0"), writer.varint(2, 5), writer.varint(3, 1);
  GrpcUsage usage;
  usage.feed(frame(message));
  EXPECT_EQ(usage.usage().prompt, 5);
  EXPECT_EQ(usage.usage().completion, std::nullopt);
}

TEST(GrpcUsage, WhatCannotBeReadIsSaidAndCountsNoMore) {
  auto compressed = chunk(1);
  compressed[0] = '\1';
  const std::string huge("\0\x7f\xff\xff\xff", 5);
  for (const auto& bad : {compressed, huge, frame("\x0a\x7f"), frame("\xff")}) {
    GrpcUsage usage;
    usage.feed(bad);
    usage.feed(chunk(2));
    EXPECT_TRUE(usage.unread());
    EXPECT_EQ(usage.usage().completion, std::nullopt);
  }
  GrpcUsage cut;
  cut.feed(chunk(1).substr(0, 7));
  EXPECT_TRUE(cut.unread());
}

TEST_F(ExtProcTest, TokensOfAGrpcAnswerAreCountedAndItsBytesPass) {  // epp:X055
  serve(testing::kThree,
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: "
        "queue-scorer}, {type: vllmgrpc-parser}]\nrequestHandler: {parsers: [{pluginRef: "
        "vllmgrpc-parser}]}\n");
  std::string request;
  Writer(request).bytes(3, "once upon a time");
  ask(frame(request), head("/vllm.grpc.engine.VllmEngine/Generate"));
  send(testing::headers(Side::kResponse,
                        {{":status", "200"}, {"content-type", "application/grpc"}}));
  const auto bytes = chunk(1) + complete(3);
  auto answers = send(testing::body(Side::kResponse, bytes, false));
  for (auto& more : send(testing::trailers(Side::kResponse))) answers.push_back(more);
  EXPECT_EQ(text_of(answers, testing::Kind::kResponseBody), bytes);
  EXPECT_EQ(answers.back().kind, testing::Kind::kResponseTrailers);
  EXPECT_FALSE(answers.front().end_of_stream);
  EXPECT_EQ(metric(series("request_input_tokens_sum", "", "")), 9);
  EXPECT_EQ(metric(series("request_output_tokens_sum", "", "")), 3);
  EXPECT_EQ(metric(series("request_cached_tokens_sum", "", "")), 4);
}

}  // namespace
}  // namespace baton::epp
