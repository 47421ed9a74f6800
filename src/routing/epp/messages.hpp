#pragma once
// The messages of envoy.service.ext_proc.v3.ExternalProcessor, read and written field by field.
//
// Field numbers: envoy/service/ext_proc/v3/external_processor.proto, and for HeaderMap,
// HeaderValue, HeaderValueOption and Metadata envoy/config/core/v3/base.proto,
// google/protobuf/struct.proto:
//
//   ProcessingRequest    request_headers 2  response_headers 3  request_body 4  response_body 5
//                        request_trailers 6  response_trailers 7  metadata_context 8
//                        observability_mode 10  protocol_config 11
//   HttpHeaders          headers 1  end_of_stream 3          HttpBody  body 1  end_of_stream 2
//   HttpTrailers         trailers 1                          HeaderMap headers 1
//   HeaderValue          key 1  value 2  raw_value 3         Metadata  filter_metadata 1
//   ProtocolConfiguration  request_body_mode 1  response_body_mode 2
//   ProcessingResponse   request_headers 1  response_headers 2  request_body 3  response_body 4
//                        request_trailers 5  response_trailers 6  immediate_response 7
//                        dynamic_metadata 8
//   HeadersResponse, BodyResponse  response 1                TrailersResponse  header_mutation 1
//   CommonResponse       header_mutation 2  body_mutation 3  clear_route_cache 5
//   HeaderMutation       set_headers 1  remove_headers 2     HeaderValueOption  header 1
//   BodyMutation         body 1  clear_body 2  streamed_response 3
//   StreamedBodyResponse body 1  end_of_stream 2
//   ImmediateResponse    status 1 (HttpStatus: code 1)  headers 2  body 3  details 5
//   Struct fields 1 (key 1, value 2)   Value number 2  string 3  struct 5  list 6   ListValue
//   values 1

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/core/result.hpp"

namespace baton::epp {

// ProcessingMode.BodySendMode.
enum class BodyMode : std::uint8_t {
  kNone = 0,
  kStreamed = 1,
  kBuffered = 2,
  kBufferedPartial = 3,
  kFullDuplex = 4,
  kGrpc = 5,
};
std::string_view name(BodyMode mode);

enum class Side : bool { kRequest, kResponse };

struct Header {
  std::string_view name;  // in any case
  std::string_view value;
};
using HeaderList = std::vector<Header>;
// The last of that name, as a map would keep it. `name` in lower case.
std::optional<std::string_view> find(const HeaderList& headers, std::string_view name);

inline constexpr std::size_t kMaxHeaders = 1000;  // of one message

// One ProcessingRequest; views into its bytes. Fields that are not known are passed over.
struct Message {
  enum class Kind : std::uint8_t { kOther, kHeaders, kBody, kTrailers };
  Kind kind = Kind::kOther;
  Side side = Side::kRequest;
  HeaderList headers;     // of kHeaders
  std::string_view body;  // of kBody
  bool end_of_stream = false;
  bool observed = false;  // observability_mode: it wants no answer
  std::string_view metadata;
  std::optional<BodyMode> request_mode, response_mode;  // told in the first message, if at all
};
// kInvalid: broken protobuf, or more than kMaxHeaders.
Status read_message(std::string_view bytes, Message& into);

// Of a Metadata message: filter_metadata[ns][key], when it is a list (its strings) or a string.
// nullopt: it is not there, or of another type.
std::optional<std::vector<std::string>> metadata_list(std::string_view metadata,
                                                      std::string_view ns, std::string_view key);
std::optional<std::string> metadata_text(std::string_view metadata, std::string_view ns,
                                         std::string_view key);

// One ProcessingResponse: `head` followed by `body`, which is a view of what is passed through.
struct Reply {
  std::string head;
  std::string_view body = {};
};

struct Changes {
  std::vector<std::pair<std::string_view, std::string>> set;
  std::vector<std::string_view> remove;
};

inline constexpr std::string_view kDestination = "x-gateway-destination-endpoint";

// What travels beside the pick: envoy.lb -> {kDestination, scores}.
struct Pick {
  std::string_view destination;
  std::vector<std::pair<std::string, double>> scores;  // empty: not told
};

// The answer to headers; with `pick` the route is chosen anew and the metadata is set.
Reply headers_reply(Side side, const Changes& changes, const Pick* pick);
// The answer to a body in BUFFERED or STREAMED mode: it stays, is replaced, or (in a stream) goes.
// In BUFFERED mode, headers can still be changed with it.
Reply body_reply(Side side, const Changes* changes, const Pick* pick);
Reply replaced_body_reply(Side side, std::string_view body, const Changes* changes,
                          const Pick* pick);
Reply cleared_body_reply(Side side);
// A piece of a body in FULL_DUPLEX_STREAMED mode.
Reply streamed_reply(Side side, std::string_view piece, bool end_of_stream);
Reply trailers_reply(Side side);
// Dynamic metadata that travels with a reply which has none: ns -> {key: number}.
struct Fact {
  std::string_view ns, key;
  double number = 0;
};
void tell(Reply& reply, const std::vector<Fact>& facts);
Reply immediate_reply(int status, std::string_view body,
                      std::optional<std::pair<std::string_view, std::string_view>> header);

}  // namespace baton::epp
