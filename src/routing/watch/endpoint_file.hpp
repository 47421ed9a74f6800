#pragma once
// A fixed set of endpoints from a file, for `baton gateway --endpoints FILE`:
//
//   services:
//   - name: story                 # optional `namespace`, default "default"
//     models: [storyteller]
//     endpoints:
//     - {name: p0, address: "127.0.0.1:8000", role: prefill, labels: {zone: a}}

#include <string_view>

#include "base/core/result.hpp"
#include "routing/watch/topology.hpp"

namespace baton::watch {

// Every service gets `picker` (an EndpointPickerConfig, or nullopt for the default).
// kInvalid: "<source>: <json pointer>: what".
Result<Topology> load_endpoint_file(std::string_view text, std::string_view source,
                                    const std::optional<std::string>& picker,
                                    std::string_view picker_source);

}  // namespace baton::watch
