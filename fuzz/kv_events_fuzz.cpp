// A payload of KV events from a hostile engine: whatever decodes must survive a round trip in both
// shapes, and its blocks can be keyed.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/kv/block_keys.hpp"
#include "formats/kv/kv_event.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace kv = baton::kv;
  const auto batch = kv::decode_events({reinterpret_cast<const char*>(data), size});
  if (!batch) return 0;
  const kv::BlockKeys keys(kv::KeyHash::kCborFnv, "");
  for (const auto& event : batch->events) {
    const auto* stored = std::get_if<kv::BlockStored>(&event);
    if (stored == nullptr || stored->tokens.empty()) continue;
    auto key = keys.root(stored->lora_name);
    for (std::size_t i = 0; i < stored->hashes.size(); ++i) {
      key = keys.next(
          key, std::span(stored->tokens).subspan(i * stored->block_size, stored->block_size));
    }
  }
  auto known = *batch;
  known.unknown = 0;
  for (const auto shape : {kv::EventShape::kArrays, kv::EventShape::kMaps}) {
    const auto back = kv::decode_events(kv::encode_events(known, shape));
    const auto same = [&] {
      return back->events == known.events && back->rank == known.rank;  // a time may be NaN
    };
    if (!back || !same()) std::abort();
  }
  return 0;
}
