#pragma once
// A server that makes tokens of prompts, as vLLM's render paths do (picker reference 4.5): asked
// where engines tell what they hold and the picker has no tokenizer of its own.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/asio.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/client.hpp"
#include "routing/epp/standing.hpp"
#include "routing/schedule/plugin.hpp"

namespace baton::epp {

inline constexpr std::size_t kMostRendered = std::size_t{32} << 20;  // bytes of one answer
inline constexpr std::size_t kMostRenders = 256;                     // at a time, of one loop

// A prompt to be rendered: the client's body under the server's name of the model.
struct RenderAsk {
  std::string_view path;  // "/v1/chat/completions/render"
  std::string body;
  std::string traceparent;  // "" for none
};

// The tokens of an answer: {"token_ids": […]}, or an array of one such object. kInvalid: it is
// none. kUnsupported: of several prompts, or with more than text in it.
Result<std::vector<std::uint32_t>> rendered_tokens(std::string_view answer);

// Confined to one loop.
class Renderer {
 public:
  struct Config {
    http::Endpoint at;
    std::string path;  // before that of the call; "" or begins with '/'
    Nanos timeout = std::chrono::seconds(5);
  };
  // kInvalid, kUnsupported: the URL.
  static Result<Config> config_of(const schedule::RenderServer& server);
  Renderer(const Clock& clock, Config config);

  // What the server answers; nullopt: nothing good in time. Why is logged once, but for a request
  // that the server refuses: that is no fault of the server, and its words may quote the prompt.
  Task<std::optional<std::string>> ask(RenderAsk what);
  // Before it is destroyed, when nobody asks any more.
  Task<void> stop();

 private:
  const Clock& clock_;
  const Config config_;
  http::Client client_;
  std::size_t running_ = 0;
  Standing standing_;
};

}  // namespace baton::epp
