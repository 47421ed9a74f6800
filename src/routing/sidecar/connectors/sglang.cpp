#include <fmt/format.h>

#include "base/text/json.hpp"
#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;

// Both engines are told where to meet; SGLang's prefill role ends by itself after the prompt.
class Sglang final : public Connector {
 public:
  explicit Sglang(const EnginePorts& ports) : ports_(ports) {}

  Order order() const override { return Order::kParallel; }
  std::vector<Edit> prefill_edits(Api, const openai::BodyIndex&,
                                  const Pairing& pairing) const override {
    return meeting(pairing);
  }
  Result<Handover> read_prefill_answer(std::string_view) const override { return Handover(); }
  std::vector<Edit> decode_edits(const Handover&, const Pairing& pairing) const override {
    return meeting(pairing);
  }
  std::vector<Edit> local_edits(const Pairing&) const override {
    return {{"bootstrap_host", std::nullopt},
            {"bootstrap_port", std::nullopt},
            {"bootstrap_room", std::nullopt}};
  }

 private:
  std::vector<Edit> meeting(const Pairing& pairing) const {
    return {{"bootstrap_host", text::json::dump(text::json::Value(pairing.prefiller.host))},
            {"bootstrap_port", std::to_string(ports_.sglang_bootstrap)},
            {"bootstrap_room", std::to_string(pairing.room)}};
  }

  EnginePorts ports_;
};

}  // namespace

std::unique_ptr<Connector> make_sglang(const EnginePorts& ports) {
  return std::make_unique<Sglang>(ports);
}

}  // namespace baton::sidecar
