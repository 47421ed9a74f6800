// Against the field numbers of opentelemetry-proto 1.x, read back by hand.

#include "net/otlp/encode.hpp"

#include <gtest/gtest.h>

#include <map>

#include "net/grpc/proto.hpp"

namespace baton::otlp {
namespace {

using observe::SpanRecord;

// Field number to values, as they came.
std::multimap<std::uint32_t, proto::Field> fields(std::string_view message) {
  std::multimap<std::uint32_t, proto::Field> out;
  proto::Reader reader(message);
  for (proto::Field field; reader.next(field);) out.emplace(field.number, field);
  EXPECT_TRUE(reader.status());
  return out;
}

std::string_view bytes(const std::multimap<std::uint32_t, proto::Field>& message,
                       std::uint32_t number) {
  const auto found = message.find(number);
  return found == message.end() ? std::string_view("(absent)") : found->second.bytes;
}

std::unique_ptr<SpanRecord> record() {
  auto span = std::make_unique<SpanRecord>();
  span->context = {0x4bf92f3577b34da6, 0xa3ce929d0e0e4736, 0x00f067aa0ba902b7, true};
  span->name = "llm_request";
  span->kind = observe::SpanKind::kServer;
  span->start = Wall(std::chrono::seconds(1'700'000'000));
  span->end = span->start + std::chrono::milliseconds(250);
  return span;
}

std::string_view only_span(std::string_view request) {
  return bytes(fields(bytes(fields(bytes(fields(request), 1)), 2)), 2);
}

std::string encode(std::unique_ptr<SpanRecord> span) {
  Batch batch;
  batch.push_back(std::move(span));
  return encode_request({{"service.name", "baton"}}, batch);
}

TEST(OtlpEncoding, WritesResourceScopeAndSpanUnderTheirNumbers) {
  const std::string request = encode(record());
  const auto of_process = fields(bytes(fields(request), 1));  // resource_spans
  const auto attribute = fields(bytes(fields(bytes(of_process, 1)), 1));
  EXPECT_EQ(bytes(attribute, 1), "service.name");
  EXPECT_EQ(bytes(fields(bytes(attribute, 2)), 1), "baton");
  EXPECT_EQ(bytes(fields(bytes(fields(bytes(of_process, 2)), 1)), 1), "baton");  // scope

  const auto span = fields(only_span(request));
  EXPECT_EQ(bytes(span, 1), "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36");
  EXPECT_EQ(bytes(span, 2), std::string_view("\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8));
  EXPECT_FALSE(span.contains(3));  // no tracestate
  EXPECT_FALSE(span.contains(4));  // a root
  EXPECT_EQ(bytes(span, 5), "llm_request");
  EXPECT_EQ(span.find(6)->second.number_value, 2U);  // SPAN_KIND_SERVER
  EXPECT_EQ(span.find(7)->second.wire, proto::Wire::kFixed64);
  EXPECT_EQ(span.find(7)->second.number_value, 1'700'000'000'000'000'000U);
  EXPECT_EQ(span.find(8)->second.number_value, 1'700'000'000'250'000'000U);
  EXPECT_FALSE(span.contains(10));
  EXPECT_FALSE(span.contains(15));  // status unset
  EXPECT_EQ(span.find(16)->second.wire, proto::Wire::kFixed32);
  EXPECT_EQ(span.find(16)->second.number_value, 1U);
}

TEST(OtlpEncoding, WritesAttributesByTheirTypes) {
  auto record_ = record();
  record_->parent = 1;
  record_->trace_state = "congo=1";
  record_->attributes = {
      {"s", std::string("text")}, {"b", true}, {"i", std::int64_t{-1}}, {"d", 0.5}};
  record_->dropped_attributes = 2;
  const std::string request = encode(std::move(record_));
  const auto span = fields(only_span(request));
  EXPECT_EQ(bytes(span, 3), "congo=1");
  EXPECT_EQ(bytes(span, 4), std::string_view("\0\0\0\0\0\0\0\1", 8));
  EXPECT_EQ(span.find(10)->second.number_value, 2U);
  std::map<std::string, proto::Field> values;
  std::map<std::string, std::uint32_t> types;
  for (auto [at, end] = span.equal_range(9); at != end; ++at) {
    const auto pair = fields(at->second.bytes);
    const auto any = fields(bytes(pair, 2));
    ASSERT_EQ(any.size(), 1U);
    types[std::string(bytes(pair, 1))] = any.begin()->first;
    values[std::string(bytes(pair, 1))] = any.begin()->second;
  }
  EXPECT_EQ(types, (std::map<std::string, std::uint32_t>{{"s", 1}, {"b", 2}, {"i", 3}, {"d", 4}}));
  EXPECT_EQ(values["s"].bytes, "text");
  EXPECT_TRUE(values["b"].flag());
  EXPECT_EQ(values["i"].signed_value(), -1);
  EXPECT_EQ(values["d"].real(), 0.5);
}

TEST(OtlpEncoding, WritesAFailureAsStatus) {
  auto failed = record();
  failed->failed = true;
  failed->error = "no pod";
  const std::string request = encode(std::move(failed));
  const auto status = fields(bytes(fields(only_span(request)), 15));
  EXPECT_EQ(bytes(status, 2), "no pod");
  EXPECT_EQ(status.find(3)->second.number_value, 2U);  // STATUS_CODE_ERROR
}

TEST(OtlpEncoding, NeverWritesAStringThatIsNoUtf8) {
  auto span = record();
  span->name = "ä";
  span->attributes = {{"id", std::string("a\xFFz")}};
  const std::string request = encode(std::move(span));
  const auto read = fields(only_span(request));
  EXPECT_EQ(bytes(read, 5), "ä");
  EXPECT_EQ(bytes(fields(bytes(fields(bytes(read, 9)), 2)), 1), "a?z");
}

TEST(OtlpEncoding, ReadsWhatACollectorLeftOut) {
  std::string response;
  proto::Writer(response).message(1, [](proto::Writer& partial) {
    partial.varint(1, 3);
    partial.bytes(2, "too old");
  });
  const auto read = decode_response(response);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->rejected, 3);
  EXPECT_EQ(read->message, "too old");
  EXPECT_EQ(decode_response("")->rejected, 0);
  EXPECT_FALSE(decode_response("\x0a\x05"));
}

}  // namespace
}  // namespace baton::otlp
