#include "net/otlp/encode.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>

#include "net/grpc/proto.hpp"

namespace baton::otlp {

namespace {

using observe::SpanRecord;

// ExportTraceServiceRequest, TracesData
constexpr std::uint32_t kResourceSpans = 1;
// ResourceSpans
constexpr std::uint32_t kResource = 1, kScopeSpans = 2;
// ScopeSpans
constexpr std::uint32_t kScope = 1, kSpans = 2;
// Resource
constexpr std::uint32_t kResourceAttributes = 1;
// InstrumentationScope
constexpr std::uint32_t kScopeName = 1;
// Span
constexpr std::uint32_t kTraceId = 1, kSpanId = 2, kTraceState = 3, kParentSpanId = 4, kName = 5,
                        kKind = 6, kStart = 7, kEnd = 8, kAttributes = 9, kDropped = 10,
                        kStatus = 15, kFlags = 16;
// Status
constexpr std::uint32_t kMessage = 2, kCode = 3;
constexpr std::uint64_t kError = 2;  // STATUS_CODE_ERROR
// KeyValue
constexpr std::uint32_t kKey = 1, kValue = 2;
// AnyValue
constexpr std::uint32_t kString = 1, kBool = 2, kInt = 3, kDouble = 4;
// ExportTraceServiceResponse, ExportTracePartialSuccess
constexpr std::uint32_t kPartialSuccess = 1, kRejected = 1, kWhy = 2;

// A protobuf string is UTF-8.
void text(proto::Writer& out, std::uint32_t field, std::string_view value) {
  if (simdjson::validate_utf8(value.data(), value.size())) return out.bytes(field, value);
  std::string ascii(value);
  std::ranges::replace_if(ascii, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
  out.bytes(field, ascii);
}

template <std::size_t N>
void id(proto::Writer& out, std::uint32_t field, const std::array<std::uint64_t, N>& words) {
  std::array<char, 8 * N> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(words[i / 8] >> (56 - 8 * (i % 8)));
  }
  out.bytes(field, {bytes.data(), bytes.size()});
}

void attribute(proto::Writer& out, std::uint32_t field, std::string_view key,
               const SpanRecord::Value& value) {
  out.message(field, [&](proto::Writer& pair) {
    text(pair, kKey, key);
    pair.message(kValue, [&](proto::Writer& any) {
      if (const auto* flag = std::get_if<bool>(&value)) {
        any.flag(kBool, *flag);
      } else if (const auto* whole = std::get_if<std::int64_t>(&value)) {
        any.varint(kInt, static_cast<std::uint64_t>(*whole));
      } else if (const auto* real = std::get_if<double>(&value)) {
        any.real(kDouble, *real);
      } else {
        text(any, kString, std::get<std::string>(value));
      }
    });
  });
}

std::uint64_t unix_nanos(Wall when) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<Nanos>(when.time_since_epoch()).count());
}

void span(proto::Writer& out, const SpanRecord& s) {
  id(out, kTraceId, std::array{s.context.trace_high, s.context.trace_low});
  id(out, kSpanId, std::array{s.context.span});
  if (!s.trace_state.empty()) text(out, kTraceState, s.trace_state);
  if (s.parent != 0) id(out, kParentSpanId, std::array{s.parent});
  text(out, kName, s.name);
  out.varint(kKind, static_cast<std::uint64_t>(s.kind));
  out.fixed64(kStart, unix_nanos(s.start));
  out.fixed64(kEnd, unix_nanos(s.end));
  for (const auto& [key, value] : s.attributes) attribute(out, kAttributes, key, value);
  if (s.dropped_attributes > 0) out.varint(kDropped, s.dropped_attributes);
  if (s.failed) {
    out.message(kStatus, [&](proto::Writer& status) {
      text(status, kMessage, s.error);
      status.varint(kCode, kError);
    });
  }
  out.fixed32(kFlags, s.context.sampled ? 1 : 0);
}

}  // namespace

std::string encode_request(const Attributes& resource, const Batch& spans) {
  std::string bytes;
  proto::Writer request(bytes);
  request.message(kResourceSpans, [&](proto::Writer& of_process) {
    of_process.message(kResource, [&](proto::Writer& out) {
      for (const auto& [key, value] : resource) attribute(out, kResourceAttributes, key, value);
    });
    of_process.message(kScopeSpans, [&](proto::Writer& out) {
      out.message(kScope, [](proto::Writer& scope) { scope.bytes(kScopeName, "baton"); });
      for (const auto& each : spans) {
        out.message(kSpans, [&](proto::Writer& into) { span(into, *each); });
      }
    });
  });
  return bytes;
}

Result<PartialSuccess> decode_response(std::string_view bytes) {
  PartialSuccess out;
  proto::Reader response(bytes);
  for (proto::Field field; response.next(field);) {
    if (field.number != kPartialSuccess || field.wire != proto::Wire::kBytes) continue;
    proto::Reader partial(field.bytes);
    for (proto::Field part; partial.next(part);) {
      if (part.number == kRejected && part.wire == proto::Wire::kVarint) {
        out.rejected = part.signed_value();
      } else if (part.number == kWhy && part.wire == proto::Wire::kBytes) {
        out.message = part.bytes;
      }
    }
    BATON_TRY(partial.status());
  }
  BATON_TRY(response.status());
  return out;
}

}  // namespace baton::otlp
