// Sequences of ext_proc messages, in any order and of any bytes: the stream stays within its
// protocol. An answer is never sent before what it answers, pieces of a body keep their order and
// sum, and nothing follows an ImmediateResponse.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/log.hpp"
#include "routing/epp/ext_proc.hpp"
#include "routing/epp/testing/envoy.hpp"
#include "routing/epp/testing/picker.hpp"

namespace {

using namespace baton;
using Kind = epp::testing::Answer::Kind;

constexpr std::string_view kEveryParser = R"(
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: queue-scorer}
- {type: prefix-cache-scorer}
- {type: openai-parser}
- {type: anthropic-parser}
- {type: vllmhttp-parser}
- {type: sglanghttp-parser}
- {type: vllmgrpc-parser}
- {type: vertexai-parser}
- {type: passthrough-parser}
requestHandler:
  parsers:
  - {pluginRef: openai-parser}
  - {pluginRef: anthropic-parser}
  - {pluginRef: vllmhttp-parser}
  - {pluginRef: sglanghttp-parser}
  - {pluginRef: vllmgrpc-parser}
  - {pluginRef: vertexai-parser}
  - {pluginRef: passthrough-parser}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer}, {pluginRef: prefix-cache-scorer, weight: 2}]}
)";

struct Fixture {
  Fixture() {
    std::vector<schedule::Endpoint> endpoints(2);
    endpoints[0].name = "a";
    endpoints[0].host = "10.0.0.1";
    endpoints[1].name = "b";
    endpoints[1].host = "::1";
    picker.pool.update(endpoints);
  }
  ManualClock clock;
  observe::Registry registry;
  epp::testing::Picker picker{
      clock, registry, kEveryParser, {.emit_scores = true, .body_bytes = 4096}};
};

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

// Messages are told apart by a two byte length, in big endian.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  log::configure(log::Level::kOff, log::Style::kText, "fuzz");
  static Fixture fixture;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  epp::ExtProc stream(fixture.picker.desk);
  std::vector<epp::Reply> replies;
  bool refused = false;
  bool body_ended = false;
  while (rest.size() >= 2) {
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(rest[0])) << 8 |
                        static_cast<unsigned char>(rest[1]);
    const std::string message(rest.substr(2, length));
    rest.remove_prefix(std::min(rest.size(), length + 2));
    replies.clear();
    const auto next = stream.on_message(message, replies);
    check(replies.size() <= 4096 / 16);
    for (const auto& reply : replies) {
      check(!refused);
      const auto answer = epp::testing::read_answer(reply.head + std::string(reply.body));
      check(answer.kind != Kind::kNone);
      refused = answer.kind == Kind::kImmediate;
      if (answer.kind == Kind::kRequestBody && answer.streamed) {
        check(!body_ended && answer.streamed->size() <= epp::kPieceBytes);
        body_ended = answer.end_of_stream;
      }
    }
    if (!next) break;
  }
  return 0;
}
