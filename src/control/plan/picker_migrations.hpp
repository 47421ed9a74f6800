#pragma once
// Upstream endpoint pickers read only the configuration and flags of their own generation. A
// configuration of an older one is rewritten (controller reference 6.3). Pure; twice is once.

#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "control/plan/version.hpp"

namespace baton::plan {

using text::json::Value;

// Rewrites the configuration document. `tokenizer_url` is that of the tokenizer pod, "" without
// one. kInvalid: "plugins/<i>/parameters/…: what".
Status migrate_config(Value& config, Version version, std::string_view tokenizer_url);

// A tokenizer container beside the picker serves the precise scorer through a socket: its
// configuration, if it stands on the command line, is pointed there. Nothing without that
// container.
Status use_tokenizer_sidecar(Value& pod);

// Rewrites the pod of a picker of that version: flags that it lost move into the configuration,
// which must then stand on the command line. kInvalid: they cannot move, or the text is no YAML.
Status migrate_picker(Value& pod, Version version, std::string_view tokenizer_url);

}  // namespace baton::plan
