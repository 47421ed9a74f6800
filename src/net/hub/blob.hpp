#pragma once
// One file of a model into the cache: resumed where a connection or a process broke off, and never
// under its name before its bytes hash to it.

#include "net/hub/cache.hpp"
#include "net/hub/listing.hpp"
#include "net/hub/transport.hpp"

namespace baton::hub {

// What a download tells while it runs. Called on the downloading thread.
class Listener {
 public:
  virtual ~Listener() = default;
  virtual void expect(std::uint64_t bytes) = 0;  // in all, of the model's files
  virtual void have(std::uint64_t bytes) = 0;    // of them, verified or on disk already
  virtual void say(std::string_view line) = 0;   // something happened
};

// No bytes for that long from somebody else's download: it is stuck.
inline constexpr Nanos kStuck = std::chrono::minutes(10);

// Where a Content-Range says that a piece begins, and what the whole file has; nullopt: neither.
// Pure.
struct Piece {
  std::uint64_t first = 0, total = 0;
};
std::optional<Piece> parse_content_range(std::string_view field);

// Gets `file` from `url` into folder.blob(file.digest), unless it is there. Waits for another
// process that does so. `before`: bytes of the files before it, for the listener.
// kExhausted: no room on the disk. kUnavailable: what came is not what was listed, twice; the hub
// cannot be reached. kTimeout: the other process is stuck. Else what Transport::get says.
Status fetch_blob(Transport& transport, Patience& patience, const Url& url, const RemoteFile& file,
                  const ModelFolder& folder, std::uint64_t before, Listener& listener);

}  // namespace baton::hub
