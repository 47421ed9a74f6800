#pragma once
// A parser's events as text: what tests and the fuzzer compare.

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "net/http/parser.hpp"

namespace baton::http {

// Feeds `input` in steps of `step` bytes, as a connection would deliver it. Body pieces are joined.
template <class P>
std::string transcript(P parser, std::string_view input, std::size_t step) {
  std::string log;
  std::string buffer;
  std::string body;
  for (std::size_t at = 0; at < input.size(); at += step) {
    buffer += input.substr(at, step);
    for (bool more = true; more;) {
      Step s = parser.next(buffer);
      body += s.data;
      buffer.erase(0, s.consumed);
      more = s.event != Event::kNeedMore;
      if (s.event == Event::kHead) {
        append_head(log, parser.head());
      } else if (s.event == Event::kEnd) {
        log += fmt::format("[{}]{}\n", body, parser.keep_alive() ? "" : " close");
        body.clear();
      } else if (s.event == Event::kError) {
        return log + fmt::format("{} {}", parser.error().status, parser.error().message);
      }
    }
  }
  return log + fmt::format("...{} ({} left)", body, buffer.size());
}

}  // namespace baton::http
