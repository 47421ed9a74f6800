#pragma once
// A conversation with an OpenAI-compatible server: history, streamed answers, and the proof
// headers. Blocking; used by the chat command on the main thread.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::cli {

struct ChatSettings {
  int interrupt = -1;  // a descriptor: what runs while it is readable is cancelled; -1: none
  std::string model;
  std::string api_key;
  int max_tokens = 256;
  double temperature = 0;
  int timeout_seconds = 120;
};

// What the answer's headers and the clock here tell about one turn. Absent means not told.
struct Proof {
  http::Headers headers;
  Nanos first_token{};  // from sending to the first text, measured here
  Nanos total{};
  std::size_t chunks = 0;  // pieces of text that arrived

  std::optional<std::uint64_t> number(std::string_view header) const;
  // The duration of one Server-Timing entry, ms.
  std::optional<double> timing(std::string_view name) const;
  // The pod that prefilled; nullopt when none did or the server does not tell.
  std::optional<std::string> prefill_pod() const;
};

// A few aligned lines.
std::string describe(const Proof& proof);

class ChatSession {
 public:
  // Asks the server for its models when settings name none. kUnavailable: nobody there.
  static Result<std::unique_ptr<ChatSession>> open(const std::string& url, std::string system,
                                                   ChatSettings settings, const Clock& clock);
  virtual ~ChatSession() = default;

  // Sends the message with the history; hands over text as it arrives. kCancelled: interrupted; the
  // connection is closed, which cancels both legs, and what had come stays in the history. After
  // any other error the history is as before.
  virtual Result<Proof> say(const std::string& message,
                            const std::function<void(std::string_view)>& on_text) = 0;
};

}  // namespace baton::cli
