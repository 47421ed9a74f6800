#include <array>

#include "base/text/json.hpp"
#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using openai::Edit;

constexpr std::string_view kHost = "bootstrap_host";
constexpr std::string_view kPort = "bootstrap_port";
constexpr std::string_view kRoom = "bootstrap_room";
constexpr std::array kMembers = {kHost, kPort, kRoom};

// Both engines are told where to meet; SGLang's prefill role ends by itself after the prompt.
class Sglang final : public Connector {
 public:
  explicit Sglang(const EnginePorts& ports) : ports_(ports) {}

  Order order() const override { return Order::kParallel; }
  std::span<const std::string_view> meeting_members() const override { return kMembers; }
  std::vector<Edit> prefill_edits(Api, const openai::BodyIndex&,
                                  const Pairing& pairing) const override {
    return meeting(pairing);
  }
  Result<Handover> read_prefill_answer(std::string_view) const override { return Handover(); }
  std::vector<Edit> decode_edits(const Handover&, const Pairing& pairing) const override {
    return meeting(pairing);
  }
  std::vector<Edit> local_edits(const Pairing&) const override {
    return {{kHost, std::nullopt}, {kPort, std::nullopt}, {kRoom, std::nullopt}};
  }

 private:
  std::vector<Edit> meeting(const Pairing& pairing) const {
    return {{kHost, text::json::dump(text::json::Value(pairing.prefiller.host))},
            {kPort, std::to_string(ports_.sglang_bootstrap)},
            {kRoom, std::to_string(pairing.room)}};
  }

  EnginePorts ports_;
};

}  // namespace

std::unique_ptr<Connector> make_sglang(const EnginePorts& ports) {
  return std::make_unique<Sglang>(ports);
}

}  // namespace baton::sidecar
