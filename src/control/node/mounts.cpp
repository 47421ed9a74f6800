#include "control/node/mounts.hpp"

#include <cctype>

namespace baton::node {

namespace {

bool is_path_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-' ||
         c == '/';
}

}  // namespace

const Mount* mount_at(std::string_view rest, const std::vector<Mount>& mounts) {
  const Mount* best = nullptr;
  for (const auto& mount : mounts) {
    if (!rest.starts_with(mount.path)) continue;
    const auto after = rest.substr(mount.path.size());
    if (!after.empty() && after[0] != '/' && is_path_character(after[0])) continue;
    if (best == nullptr || mount.path.size() > best->path.size()) best = &mount;
  }
  return best;
}

std::string rewrite_paths(std::string_view text, const std::vector<Mount>& mounts) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    const bool may_start = text[at] == '/' && (at == 0 || !is_path_character(text[at - 1]));
    const Mount* mount = may_start ? mount_at(text.substr(at), mounts) : nullptr;
    if (mount == nullptr) {
      out += text[at++];
      continue;
    }
    out += mount->folder;
    at += mount->path.size();
  }
  return out;
}

}  // namespace baton::node
