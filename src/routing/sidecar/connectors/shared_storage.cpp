#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;

constexpr std::string_view kThreshold = "cache_hit_threshold";

// The decode engine finds the KV in the store by itself. It is asked first with the client's
// threshold, if there is one; a threshold of 0 is always met.
class SharedStorage final : public Connector {
 public:
  Order order() const override { return Order::kDecodeFirst; }
  std::vector<Edit> prefill_edits(Api api, const openai::BodyIndex& body,
                                  const Pairing&) const override {
    std::vector<Edit> edits = primed(api, body, Caps::kPresent);
    if (api == Api::kChat) {  // llm-d adds this one too
      std::erase_if(edits, [](const Edit& e) { return e.key == "max_completion_tokens"; });
      edits.push_back({"max_completion_tokens", "1"});
    }
    edits.push_back({kThreshold, "0"});
    return edits;
  }
  Result<Handover> read_prefill_answer(std::string_view) const override { return Handover(); }
  std::vector<Edit> decode_edits(const Handover&, const Pairing&) const override {
    return {{kThreshold, "0"}};
  }
  std::vector<Edit> local_edits(const Pairing&) const override { return {{kThreshold, "0"}}; }
};

}  // namespace

std::unique_ptr<Connector> make_shared_storage() { return std::make_unique<SharedStorage>(); }

}  // namespace baton::sidecar
