#pragma once
// `--kv-events-config`, vLLM's JSON (vllm/config/kv_events.py), and who publishes by it.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "engine/runtime/engine.hpp"
#include "formats/kv/kv_event.hpp"
#include "net/zmtp/publisher.hpp"

namespace baton::cli {

struct KvEventsOptions {
  zmtp::Publisher::Config publisher;
  kv::EventShape shape = kv::EventShape::kArrays;  // `event_format`, a member of ours: array, map
  runtime::HashForm hash_form = runtime::HashForm::kPickle;
  std::string hash_seed{runtime::VllmHash::kNoSeed};
};

// nullopt: they are not asked for. `host` is what `*` in an endpoint stands for; "" for all
// addresses. kInvalid: malformed, or an unknown member. kUnsupported: an endpoint or publisher we
// do not have.
Result<std::optional<KvEventsOptions>> read_kv_events(std::string_view json,
                                                      const std::string& host);

// `--prefix-caching-hash-algo` and PYTHONHASHSEED: how events name blocks. kUnsupported: another
// algorithm than sha256 and sha256_cbor.
Status name_blocks(std::string_view algorithm, const std::optional<std::string>& seed,
                   KvEventsOptions& out);

// Binds at once. kConflict: an address is in use.
Result<std::shared_ptr<runtime::KvEventSink>> publish_kv_events(const KvEventsOptions& options,
                                                                const Clock& clock);

}  // namespace baton::cli
