#pragma once
// Where the model of a URI is on this machine. Reads the file system, downloads nothing itself.

#include <optional>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "control/node/config.hpp"
#include "control/node/environment.hpp"
#include "net/hub/file_lock.hpp"

namespace baton::node {

// The model's folder. With a stand-in, that one for every URI.
//   baton://NAME      NAME in one of config.models_dirs
//   file:///PATH      PATH
//   pvc://NAME/PATH   <state>/pvc/NAME/PATH
//   hf://ORG/NAME     --model-dir DIR/ORG/NAME or DIR/NAME, else the Hugging Face cache, complete;
//                     with @REVISION or :REVISION behind it (of the cache: main otherwise)
// kNotFound: everything that was looked for. kInvalid: not such a URI. kUnsupported: s3://, oci://.
Result<std::string> find_model(const std::string& uri, const Config& config);

// The command that brings an hf:// model to this machine, when find_model() finds none; nullopt:
// not such a URI, or offline. `link_at`: also a folder of links to its files there, unless empty.
std::optional<std::vector<std::string>> pull_command(const std::string& uri, const Config& config,
                                                     const std::string& link_at);

// The environment of that command: this machine's, with the container's own HF_TOKEN. kDenied: the
// container names another hub, whose files would lie in a cache that everybody here shares.
Result<Environment> pull_environment(const Environment& container, const Config& config);

// Makes the folder stand for the model: a link; or, since files of the Hugging Face cache are
// relative links, a folder of links to what they lead to. Replaces a link, an empty folder and a
// folder of its own links; kInvalid for anything else, which may be a user's.
Status can_link_model(const std::string& folder);
Status link_model(const std::string& folder, const std::string& model);

// Whether the folder lies below `volumes`, where a pod's own are, links on the way followed;
// kInvalid. A pod may name any folder of the machine as a volume, but must not replace it.
Status is_in_own_volume(const std::string& folder, const std::string& volumes);

// Keeps the hf:// model of the cache from `baton rm` until destroyed.
std::optional<hub::FileLock> mark_model_used(const std::string& uri, const Config& config);

// The volume of a PersistentVolumeClaim.
std::string claim_folder(const Config& config, std::string_view claim);

}  // namespace baton::node
