// HTTP/1.1 parsers: whatever the bytes, delivery in one piece and byte by byte read the same.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/http/transcript.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton::http;
  std::string input(data, data + size);
  if (input.empty()) return 0;
  ParseLimits limits{.head_bytes = 1024, .fields = 16};
  if (transcript(RequestParser(limits), input, input.size()) !=
      transcript(RequestParser(limits), input, 1)) {
    std::abort();
  }
  if (transcript(ResponseParser(limits), input, input.size()) !=
      transcript(ResponseParser(limits), input, 1)) {
    std::abort();
  }
  return 0;
}
