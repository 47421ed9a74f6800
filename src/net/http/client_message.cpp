#include "net/http/client_message.hpp"

#include <fmt/format.h>

#include <cstring>

namespace baton::http {

namespace {
constexpr std::size_t kHeadBytes = 512;  // of most heads
}

std::unexpected<Failure> late(const Endpoint& to) {
  return failure(Failure::Kind::kTimeout,
                 timed_out(fmt::format("no answer from {} in time", to_string(to))));
}

std::unexpected<Failure> lost(const Endpoint& to, std::string_view what) {
  return failure(Failure::Kind::kLost, unavailable(fmt::format("{}: {}", to_string(to), what)));
}

std::unexpected<Failure> refused(const Endpoint& to, std::string_view what) {
  return failure(Failure::Kind::kRefused, unavailable(fmt::format("{}: {}", to_string(to), what)));
}

std::unexpected<Failure> not_http(const Endpoint& to, std::string_view what) {
  return failure(Failure::Kind::kMalformed,
                 unavailable(fmt::format("{} does not speak HTTP/1.1: {}", to_string(to), what)));
}

void write_request_head(const Endpoint& to, const RequestHead& head,
                        std::optional<std::uint64_t> length, std::string& out) {
  out.reserve(kHeadBytes);
  out += head.method;
  out += ' ';
  out += head.target;
  out += " HTTP/1.1\r\n";
  if (!head.headers.has("Host")) {
    const std::string host = to_string(to);
    append_field(out, {"Host", host});
  }
  for (const Field& field : head.headers) {
    if (equal_names(field.name, "Content-Length") || equal_names(field.name, "Transfer-Encoding")) {
      continue;
    }
    append_field(out, field);
  }
  bool bodiless = length == 0 && (head.method == "GET" || head.method == "HEAD");
  if (!length) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (!bodiless) {
    out += "Content-Length: ";
    append_number(out, *length);
    out += "\r\n";
  }
  out += "\r\n";
}

Sent<std::string_view> gather(ResponseParser& parser, InBuffer& in, const Endpoint& from,
                              bool& ended) {
  char* into = nullptr;
  std::size_t size = 0;
  for (;;) {
    char* base = in.data();
    Step step = parser.next(in.view());
    if (step.event == Event::kError) {
      return failure(Failure::Kind::kMalformed,
                     unavailable(fmt::format("{} sent a broken answer: {}", to_string(from),
                                             parser.error().message)));
    }
    if (step.event == Event::kData) {
      char* piece = base + (step.data.data() - base);
      if (into == nullptr) into = piece;
      if (into + size != piece) std::memmove(into + size, piece, step.data.size());
      size += step.data.size();
    }
    in.consume(step.consumed);
    if (step.event == Event::kEnd) ended = true;
    if (step.event != Event::kData) break;
  }
  return std::string_view(into, size);
}

}  // namespace baton::http
