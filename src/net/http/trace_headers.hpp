#pragma once
// Traces of HTTP requests: read from their headers, and passed on.

#include "base/observe/span.hpp"
#include "net/http/message.hpp"

namespace baton::http {

// The span of a request that arrived at `began`. Empty without a tracer.
inline observe::Span start_span(observe::Tracer* tracer, std::string_view name,
                                const Headers& headers, Mono began) {
  if (tracer == nullptr) return {};
  return tracer->start(name, observe::SpanKind::kServer,
                       {headers.get(observe::kTraceparent).value_or(""),
                        headers.get(observe::kTracestate).value_or("")},
                       began);
}

// What is sent with these headers belongs to the span. Without a trace they stay as they came.
inline void pass_on(const observe::Span& span, Headers& headers) {
  if (!span.context().valid()) return;
  headers.set(observe::kTraceparent, observe::to_traceparent(span.context()));
  if (!span.keeps_tracestate()) headers.remove(observe::kTracestate);
}

}  // namespace baton::http
