#pragma once
// Where the model of a URI is on this machine. Reads the file system, downloads nothing.

#include <string>

#include "base/core/result.hpp"
#include "control/node/config.hpp"

namespace baton::node {

// The model's folder. With a stand-in, that one for every URI.
//   baton://NAME      NAME in one of config.models_dirs
//   file:///PATH      PATH
//   pvc://NAME/PATH   <state>/pvc/NAME/PATH
//   hf://ORG/NAME     --model-dir DIR/ORG/NAME or DIR/NAME, else the Hugging Face cache
// kNotFound: everything that was looked for. kInvalid: not such a URI. kUnsupported: s3://, oci://.
Result<std::string> find_model(const std::string& uri, const Config& config);

// The volume of a PersistentVolumeClaim.
std::string claim_folder(const Config& config, std::string_view claim);

}  // namespace baton::node
