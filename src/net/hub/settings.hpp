#pragma once
// What the environment says about the hub and its cache: the variables of huggingface_hub.

#include <functional>
#include <string>

#include "base/core/result.hpp"
#include "net/hub/url.hpp"

namespace baton::hub {

struct Settings {
  Url endpoint;             // HF_ENDPOINT, else https://huggingface.co
  std::string token;        // HF_TOKEN, else the file HF_TOKEN_PATH or $HF_HOME/token; "" for none
  std::string cache;        // HF_HUB_CACHE, else $HF_HOME/hub; absolute. "" without any home
  bool is_offline = false;  // HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE: 1, ON, YES, TRUE
};

// The value of a variable; "" when absent.
using Variables = std::function<std::string(const char* name)>;

// HF_HOME is $XDG_CACHE_HOME/huggingface or ~/.cache/huggingface by default. kInvalid: HF_ENDPOINT
// is no http:// or https:// address. Reads the token's file.
Result<Settings> read_settings(const Variables& variables);

}  // namespace baton::hub
