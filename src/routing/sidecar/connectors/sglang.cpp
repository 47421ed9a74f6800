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
  // As a peer edits it: each member once, and the address is ours.
  bool is_leg(std::string_view body, std::string_view own) const override {
    const auto index = openai::BodyIndex::scan(body);
    const auto room = index ? index->find(kRoom) : std::nullopt;
    if (own.empty() || !room || room->find_first_not_of("0123456789") != room->npos) return false;
    return !names_params(body) && index->splice(meeting(own, *room)).join() == body;
  }
  std::vector<Edit> prefill_edits(Api, const openai::BodyIndex&,
                                  const Pairing& pairing) const override {
    return meeting(pairing.prefiller.host, std::to_string(pairing.room));
  }
  Result<Handover> read_prefill_answer(std::string_view) const override { return Handover(); }
  std::vector<Edit> decode_edits(const Handover&, const Pairing& pairing) const override {
    return meeting(pairing.prefiller.host, std::to_string(pairing.room));
  }
  std::vector<Edit> local_edits(const Pairing&) const override {
    return {{kHost, std::nullopt}, {kPort, std::nullopt}, {kRoom, std::nullopt}};
  }

 private:
  std::vector<Edit> meeting(std::string_view host, std::string_view room) const {
    return {{kHost, text::json::dump(text::json::Value(host))},
            {kPort, std::to_string(ports_.sglang_bootstrap)},
            {kRoom, std::string(room)}};
  }

  EnginePorts ports_;
};

}  // namespace

std::unique_ptr<Connector> make_sglang(const EnginePorts& ports) {
  return std::make_unique<Sglang>(ports);
}

}  // namespace baton::sidecar
