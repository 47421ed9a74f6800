#include "routing/ticket/key_file.hpp"

#include <fmt/format.h>

#include <fstream>
#include <utility>

#include "base/core/log.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::ticket {

namespace {

constexpr Nanos kBetweenLooks = std::chrono::seconds(1);

Result<std::string> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found("cannot read " + path);
  std::string text(kMaxKeyFile + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxKeyFile) {
    return invalid(fmt::format("{}: a key of at most {} bytes", path, kMaxKeyFile));
  }
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = std::min(text.find_first_not_of(kSpace), text.size());
  text = text.substr(begin, text.find_last_not_of(kSpace) + 1 - begin);
  if (text.size() < kMinKey) {
    return invalid(fmt::format("{}: a key of at least {} bytes", path, kMinKey));
  }
  return text;
}

}  // namespace

Result<KeyFile> KeyFile::open(std::string path, Mono now) {
  BATON_TRY_ASSIGN(std::string key, read(path));
  return KeyFile(std::move(path), std::move(key), now);
}

const std::string& KeyFile::key(Mono now) {
  if (now - looked_ < kBetweenLooks) return key_;
  looked_ = now;
  auto fresh = read(path_);
  if (!fresh) {
    log::warn("the routing key stays as it was", {{"reason", fresh.error().message()}});
  } else if (*fresh != key_) {
    log::info("the routing key has changed", {{"file", path_}});
    key_ = *std::move(fresh);
  }
  return key_;
}

}  // namespace baton::ticket
