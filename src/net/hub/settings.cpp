#include "net/hub/settings.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>

namespace baton::hub {

namespace {

constexpr std::size_t kMaxToken = 4096;

std::string first_of(const Variables& variables, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (auto value = variables(name); !value.empty()) return value;
  }
  return "";
}

bool is_true(std::string value) {
  std::ranges::transform(value, value.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

// One word: a header's value.
std::string word_of(std::string text) {
  std::erase_if(text, [](unsigned char c) { return c <= ' ' || c == 0x7f; });
  return text;
}

std::string token_of_file(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(kMaxToken, '\0');
  in.read(text.data(), kMaxToken);
  text.resize(static_cast<std::size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  return word_of(std::move(text));
}

std::string home_of(const Variables& variables) {
  if (auto given = variables("HF_HOME"); !given.empty()) return given;
  if (const auto given = variables("XDG_CACHE_HOME"); !given.empty()) return given + "/huggingface";
  const auto home = variables("HOME");
  return home.empty() ? "" : home + "/.cache/huggingface";
}

std::string absolute(const std::string& path) {
  std::error_code error;
  auto out = std::filesystem::absolute(path, error).lexically_normal().string();
  while (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return error ? path : out;
}

}  // namespace

Result<Settings> read_settings(const Variables& variables) {
  Settings out;
  auto endpoint = variables("HF_ENDPOINT");
  if (endpoint.empty()) endpoint = "https://huggingface.co";
  BATON_TRY_ASSIGN(out.endpoint, parse_url(endpoint).with("HF_ENDPOINT"));
  while (out.endpoint.target.ends_with('/')) out.endpoint.target.pop_back();
  const auto home = home_of(variables);
  if (auto cache = first_of(variables, {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}); !cache.empty()) {
    out.cache = absolute(cache);
  } else if (!home.empty()) {
    out.cache = absolute(home + "/hub");
  }
  out.token = word_of(first_of(variables, {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}));
  if (out.token.empty()) {
    auto file = variables("HF_TOKEN_PATH");
    if (file.empty() && !home.empty()) file = home + "/token";
    if (!file.empty()) out.token = token_of_file(file);
  }
  out.is_offline =
      is_true(variables("HF_HUB_OFFLINE")) || is_true(variables("TRANSFORMERS_OFFLINE"));
  return out;
}

}  // namespace baton::hub
