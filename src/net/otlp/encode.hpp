#pragma once
// Spans as OTLP 1.x writes them in protobuf (github.com/open-telemetry/opentelemetry-proto: field
// numbers of collector/trace/v1, trace/v1, resource/v1, common/v1). Pure.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/observe/span.hpp"
#include "net/otlp/settings.hpp"

namespace baton::otlp {

using Batch = std::vector<std::unique_ptr<observe::SpanRecord>>;

// ExportTraceServiceRequest. Text that is no UTF-8 gets '?' for each byte beyond ASCII.
std::string encode_request(const Attributes& resource, const Batch& spans);

// Of an ExportTraceServiceResponse that took not everything.
struct PartialSuccess {
  std::int64_t rejected = 0;  // spans
  std::string message;
};
// kInvalid: broken protobuf.
Result<PartialSuccess> decode_response(std::string_view bytes);

}  // namespace baton::otlp
