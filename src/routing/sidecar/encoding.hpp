#pragma once
// The encode stage before prefill and decode (E/P/D): which media a chat holds, what each encoder
// is asked, what its answers add to the request. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "formats/openai/splice.hpp"

namespace baton::sidecar {

// How embeddings travel (--ec-connector).
enum class EcConnector : std::uint8_t {
  kNone,
  kExample,  // over a store that the engines share
  kNixl,     // the next engine pulls them by ec_transfer_params of the encoder's answer
};
std::optional<EcConnector> parse_ec_connector(std::string_view name);  // "": kNone

inline constexpr std::size_t kMaxItems = 64;  // of one request

// The JSON text of every image, video and audio part of the messages; an image or video of the same
// URL once. kExhausted: over kMaxItems.
Result<std::vector<std::string>> media_items(const openai::BodyIndex& body);

// The client's request for one item only, and one token.
std::string encode_body(const openai::BodyIndex& body, std::string_view item);

// What the encoders' answers hand over, as the edits of the request that goes on.
class Encoded {
 public:
  explicit Encoded(EcConnector connector) : connector_(connector) {}
  // The answers in the order of the items. False: with kNixl it hands nothing over.
  bool add(std::string_view answer);
  std::vector<openai::Edit> edits() const;

 private:
  EcConnector connector_;
  text::json::Object params_;
};

}  // namespace baton::sidecar
