#pragma once
// The sections of an EndpointPickerConfig beside plugins and profiles.

#include "routing/schedule/config.hpp"

namespace baton::schedule::detail {

// Each takes its members from the document's root; the first error is the root's.
void read_gates(Fields& root, PickerConfig& config);
// Plugins must have been read.
void read_data_layer(Fields& root, PickerConfig& config);
void read_flow_control(Fields& root, PickerConfig& config);
void read_parsers(Fields& root, PickerConfig& config);

}  // namespace baton::schedule::detail
