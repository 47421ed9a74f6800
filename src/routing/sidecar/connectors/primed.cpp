#include "routing/sidecar/connectors/primed.hpp"

#include <fmt/format.h>

#include "base/text/json.hpp"

namespace baton::sidecar {

using openai::Edit;
using openai::Where;

std::string_view Connector::nested_member(Api api) const {
  return api == Api::kGenerate ? "sampling_params" : "";
}

Pairing make_pairing(Random& random) {
  Pairing out;
  out.id = uuid4(random);
  out.room = static_cast<std::int64_t>(random.next() >> 1);
  return out;
}

std::uint16_t EnginePorts::p2p_of(const http::Endpoint& engine) const {
  int rank = serving == 0 ? 0 : engine.port - serving;
  if (rank < 0 || rank >= ranks) rank = 0;
  return static_cast<std::uint16_t>(p2p + rank);
}

std::vector<Edit> primed(Api api, const openai::BodyIndex& body, Caps caps) {
  std::vector<Edit> edits = {{"stream", "false"}, {"stream_options", std::nullopt}};
  auto cap = [&](std::string_view key, Where where, bool always) {
    if (always || body.find(key, where)) edits.push_back({key, "1", where});
  };
  bool all = caps == Caps::kAll;
  switch (api) {
    case Api::kChat:
      cap("max_tokens", Where::kTop, true);
      cap("max_completion_tokens", Where::kTop, all);
      cap("min_tokens", Where::kTop, all);
      break;
    case Api::kResponses:
      cap("max_output_tokens", Where::kTop, true);
      break;
    case Api::kGenerate:
      if (body.has_nested()) {
        cap("max_tokens", Where::kNested, true);
        cap("min_tokens", Where::kNested, all);
      } else {
        edits.push_back({"sampling_params", R"({"max_tokens":1,"min_tokens":1})"});
      }
      break;
  }
  return edits;
}

std::string p2p_peer(std::string_view request_id, const http::Endpoint& engine,
                     const EnginePorts& ports) {
  return text::json::dump(text::json::Object{{"kv_request_id", std::string(request_id)},
                                             {"remote_host", engine.host},
                                             {"remote_port", ports.p2p_of(engine)}});
}

std::unique_ptr<Connector> make_connector(std::string_view name, const EnginePorts& ports,
                                          Pull pull) {
  if (name == "nixlv2") return make_nixlv2(ports, pull);
  if (name == "shared-storage") return make_shared_storage();
  if (name == "sglang") return make_sglang(ports);
  if (name == "offloading") return make_offloading(ports);
  return nullptr;
}

}  // namespace baton::sidecar
