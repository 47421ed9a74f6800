// A LIST and a WATCH response read the same in one piece and byte by byte, or are refused both
// times.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/kube/list_decoder.hpp"
#include "net/kube/watch_decoder.hpp"

namespace {

using namespace baton::kube;

const Type kPod{"", "v1", "Pod"};

std::string list(std::string_view text, std::size_t piece) {
  std::string out;
  ListDecoder decoder(kPod, nullptr, [&](Object item) { baton::text::json::append(out, item); });
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    if (!decoder.feed(text.substr(0, piece))) return "refused";
  }
  return decoder.finish() ? out + decoder.version() + decoder.next_page() : "refused";
}

std::string watch(std::string_view text, std::size_t piece) {
  std::string out;
  WatchDecoder decoder(kPod, nullptr);
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
    decoder.feed(text.substr(0, piece));
    while (true) {
      auto message = decoder.next();
      if (!message) return out + message.error().message();
      if (!*message) break;
      out += (*message)->version;
      if ((*message)->event) baton::text::json::append(out, (*message)->event->object);
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (list(text, size + 1) != list(text, 1)) std::abort();
  if (watch(text, size + 1) != watch(text, 1)) std::abort();
  return 0;
}
