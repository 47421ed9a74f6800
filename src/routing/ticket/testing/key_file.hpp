#pragma once
// A key as routers and sidecars open it, for tests.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string_view>

#include "routing/ticket/key_file.hpp"

namespace baton::ticket::testing {

inline constexpr std::string_view kKey = "0123456789abcdef0123456789abcdef";

inline KeyFile key_file(std::string_view key, Mono now) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("baton-key-of-" + std::to_string(::getpid()));
  std::ofstream(path) << key;
  auto file = KeyFile::open(path, now);
  std::filesystem::remove(path);
  EXPECT_TRUE(file) << file.error().message();
  return *std::move(file);
}

}  // namespace baton::ticket::testing
