// What a hub sends: lists of files, indexes, addresses, headers. Whatever it is: an answer or an
// error, no path that leaves its folder, and no redirect that is not an address.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "net/hub/blob.hpp"
#include "net/hub/listing.hpp"
#include "net/hub/model_id.hpp"
#include "net/hub/transport.hpp"
#include "net/hub/url.hpp"

namespace {

namespace hub = baton::hub;

void check(bool holds) {
  if (!holds) std::abort();
}

// Joined to a folder and made plain, it is still below it.
void stays_inside(std::string_view path) {
  const auto plain = (std::filesystem::path("/cache/folder") / path).lexically_normal().string();
  check(plain.starts_with("/cache/folder/"));
}

void list(std::string_view text) {
  std::vector<hub::RemoteFile> files;
  const auto read = hub::read_tree(text, files);
  for (const auto& file : files) {
    stays_inside(file.path);
    check(file.digest.size() == (file.kind == hub::DigestKind::kSha256 ? 64 : 40));
  }
  const auto shards = hub::read_index(text);
  if (shards) {
    for (const auto& shard : *shards) stays_inside(shard);
  }
  if (read) {
    (void)hub::small_files(files);
    (void)hub::weight_files(files, shards ? *shards : std::vector<std::string>{});
  }
  if (const auto commit = hub::read_commit(text)) check(hub::is_commit(*commit));
}

void follow(std::string_view text) {
  const auto base = *hub::parse_url("https://hub.example/api/models/a/b?x=1");
  for (const auto reference : {text, hub::next_link(text)}) {
    const auto url = hub::resolve(base, reference);
    if (!url) continue;
    check(url->target.find_first_of(" \r\n") == std::string::npos);
    check(url->target.empty() || url->target.starts_with('/'));
    const auto again = hub::parse_url(hub::to_string(*url));
    check(again && *again == *url);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  list(text);
  follow(text);
  if (const auto piece = hub::parse_content_range(text)) check(piece->first < piece->total);
  if (const auto wait = hub::retry_after(text, {})) check(*wait >= baton::Nanos(0));
  if (const auto id = hub::parse_model_id(text)) {
    stays_inside(id->repository);
    stays_inside(id->revision);
    check(hub::parse_model_id(hub::to_string(*id)) &&
          *hub::parse_model_id(hub::to_string(*id)) == *id);
  }
  return 0;
}
