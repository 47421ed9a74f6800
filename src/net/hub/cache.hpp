#pragma once
// The cache of models on this machine, in the layout of huggingface_hub, so that other programs
// share it:
//
//   <cache>/models--ORG--NAME/blobs/<hash>               a file's bytes, named by what they hash to
//                            /blobs/<hash>.incomplete    as far as it has come
//                            /refs/<revision>            the commit it means
//                            /snapshots/<commit>/<path>  -> ../../blobs/<hash>
//   <cache>/.locks/models--ORG--NAME/<hash>.lock         held by who downloads that blob
//
// and of our own beside those locks: baton-pull.lock (held by who gets the model; its text tells
// how far that is) and baton-use.lock (shared by who serves it; its age is the last use).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/hub/file_lock.hpp"
#include "net/hub/model_id.hpp"

namespace baton::hub {

// Paths of one model. Pure.
struct ModelFolder {
  ModelFolder(const std::string& cache, const std::string& repository);

  std::string blob(const std::string& digest) const { return root + "/blobs/" + digest; }
  std::string ref(const std::string& revision) const { return root + "/refs/" + revision; }
  std::string snapshot(const std::string& commit) const { return root + "/snapshots/" + commit; }
  std::string blob_lock(const std::string& digest) const { return locks + "/" + digest + ".lock"; }
  std::string pull_lock() const { return locks + "/baton-pull.lock"; }
  std::string use_lock() const { return locks + "/baton-use.lock"; }

  std::string root;   // <cache>/models--ORG--NAME
  std::string locks;  // <cache>/.locks/models--ORG--NAME
};

// The folder that the revision means, complete or not; nullopt when the cache has none.
std::optional<std::string> find_snapshot(const std::string& cache, const ModelId& id);

// The files without which a snapshot is no model: config.json, tokenizer.json, weights, each shard
// of an index.
std::vector<std::string> missing_files(const std::string& snapshot);

// find_snapshot() when nothing is missing.
std::optional<std::string> find_complete(const std::string& cache, const ModelId& id);

// Where the revision points from now on, in one step. Makes folders.
Status write_ref(const ModelFolder& folder, const std::string& revision, const std::string& commit);
// snapshots/<commit>/<path>, in one step. Contract: the path has no part "..".
Status link_file(const ModelFolder& folder, const std::string& commit, const std::string& path,
                 const std::string& digest);

// Marks the model as used until destroyed: `remove_model` then refuses. nullopt when the cache
// cannot be written to: nobody removes anything there.
std::optional<FileLock> mark_used(const std::string& cache, const ModelId& id);

struct CachedModel {
  ModelId id;               // a revision for each name that a commit has; the commit without any
  std::string commit;       // "" when nothing is there but a broken-off download
  std::uint64_t bytes = 0;  // of the snapshot's files
  std::uint64_t unfinished = 0;  // bytes of the model's broken-off downloads
  std::vector<std::string> missing;
  Wall last_used;
  bool is_used = false;  // now, by a serve or an engine
};
// By name. What is no model's folder is passed over. An absent cache is an empty one.
std::vector<CachedModel> list_models(const std::string& cache);

// Removes the whole model, all revisions; the bytes that came free. kNotFound. kConflict: it is
// in use, or being downloaded. kDenied: it is a link to somewhere else, or cannot be removed.
Result<std::uint64_t> remove_model(const std::string& cache, const std::string& repository);

}  // namespace baton::hub
