// A stream of frames from a hostile peer: whatever decodes must survive a round trip.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/kv/kv_wire.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace kv = baton::kv;
  std::string_view left(reinterpret_cast<const char*>(data), size);
  while (left.size() >= kv::kFrameHead) {
    const auto head = kv::decode_head(left.substr(0, kv::kFrameHead));
    if (!head) return 0;
    left.remove_prefix(kv::kFrameHead);
    if (left.size() < head->length) return 0;
    const bool rows = head->kind == kv::FrameKind::kRows;
    const auto message =
        kv::decode_body(head->kind, left.substr(0, rows ? kv::kRowsHead : head->length));
    left.remove_prefix(head->length);
    if (!message) continue;
    const std::string again = kv::encode(*message, rows ? head->length - kv::kRowsHead : 0);
    const auto back = kv::decode_head(again.substr(0, kv::kFrameHead));
    if (!back || back->length != head->length) std::abort();
    const auto copy = kv::decode_body(back->kind, std::string_view(again).substr(kv::kFrameHead));
    if (!copy || !(*copy == *message)) std::abort();
  }
  return 0;
}
