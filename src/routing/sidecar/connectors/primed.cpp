#include "routing/sidecar/connectors/primed.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text/json.hpp"

namespace baton::sidecar {

using openai::Edit;
using openai::Where;
using text::json::Value;

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

std::string ask_to_keep(std::string_view more) {
  return fmt::format(
      R"({{"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,)"
      R"("remote_block_ids":null,"remote_host":null,"remote_port":null{}}})",
      more);
}

std::int64_t cached_tokens(const openai::BodyIndex& answer) {
  auto details = answer.find("prompt_tokens_details", Where::kNested);
  if (!details) return 0;
  auto parsed = text::json::parse(*details);
  const Value* count = parsed ? parsed->find("cached_tokens") : nullptr;
  return count == nullptr ? 0 : count->if_int().value_or(0);
}

std::string source_member(const Pairing& pairing, const EnginePorts& ports) {
  if (!pairing.source || pairing.source->at == pairing.prefiller) return "";
  return fmt::format(R"(,"remote_kv_source":{})",
                     p2p_peer(pairing.source->request_id, pairing.source->at, ports));
}

std::vector<Edit> pull_alone(const Pairing& pairing, const EnginePorts& ports) {
  if (!pairing.source) return {{kTransferParams, std::nullopt}};
  return {{kTransferParams,
           fmt::format(R"({{"remote_kv_source":{}}})",
                       p2p_peer(pairing.source->request_id, pairing.source->at, ports))}};
}

std::vector<Edit> sealed(std::vector<Edit> edits, const openai::BodyIndex& body) {
  const bool replaced = std::ranges::find(edits, kTransferParams, &Edit::key) != edits.end();
  if (!replaced && body.find(kTransferParams)) edits.push_back({kTransferParams, std::nullopt});
  return edits;
}

std::unique_ptr<Connector> make_connector(std::string_view name,
                                          const ConnectorSettings& settings) {
  if (name == "nixlv2") return settings.moriio ? make_moriio(settings) : make_nixlv2(settings);
  if (name == "shared-storage") return make_shared_storage();
  if (name == "sglang") return make_sglang(settings.ports);
  if (name == "mooncake") return make_mooncake(settings.ports);
  if (name == "offloading") return make_offloading(settings.ports);
  return nullptr;
}

}  // namespace baton::sidecar
