#pragma once
// A pod's volumes as folders of this machine.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "control/node/config.hpp"
#include "control/node/environment.hpp"
#include "control/node/mounts.hpp"
#include "net/kube/cluster.hpp"

namespace baton::node {

// A token of the pod's service account; kUnsupported without an API server.
using RequestToken =
    std::function<Result<std::string>(std::string_view audience, std::int64_t expires_seconds)>;

struct Sources {
  ReadObject read;
  RequestToken token;
};

// Where things of one pod are.
struct PodFolders {
  std::string pod;   // <state>/pods/<ns>_<name>
  std::string logs;  // <state>/logs/<ns>/<name>
};
PodFolders folders_of(const Config& config, const kube::Object& pod);

// Volume name -> folder. Pure: makes nothing. emptyDir, configMap, secret, downwardAPI and
// projected volumes lie in the pod's folder; hostPath and persistentVolumeClaim are where they are.
// kUnsupported: any other kind.
Result<std::map<std::string, std::string>> volume_folders(const kube::Object& pod,
                                                          const PodFolders& folders,
                                                          const Config& config);

// Makes the folders and writes the files of ConfigMaps, Secrets, pod fields and tokens, once.
// kNotFound: a ConfigMap or Secret that is not optional; a claim without its folder (unless a
// stand-in replaces the models).
Status make_volumes(const kube::Object& pod, const std::map<std::string, std::string>& folders,
                    const Config& config, const Sources& sources);

// Whether the pod has volumes of ConfigMaps or Secrets, which renew_volumes brings up to date: a
// certificate gets the addresses of pods after these have started. Keys that are gone stay. One
// that cannot be renewed holds up no other; the error is the first one's.
bool has_renewed_volumes(const kube::Object& pod);
Status renew_volumes(const kube::Object& pod, const std::map<std::string, std::string>& folders,
                     const ReadObject& read);

// The mounts of a container. A claim mounted where models are is the stand-in when there is one.
Result<std::vector<Mount>> mounts_of(const kube::Object& container, const kube::Object& pod,
                                     const std::map<std::string, std::string>& folders,
                                     const Config& config);

// Makes the folders of subPath mounts that the pod's own volumes have not yet.
Status make_sub_paths(const std::vector<Mount>& mounts, const PodFolders& folders);

}  // namespace baton::node
