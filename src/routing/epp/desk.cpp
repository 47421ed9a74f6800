#include "routing/epp/desk.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "formats/openai/splice.hpp"
#include "net/http/message.hpp"
#include "routing/pick/learner.hpp"

namespace baton::epp {
namespace {

constexpr std::string_view kDefaultPath = "/v1/completions";
constexpr std::string_view kCountTokens = "messages/count_tokens";

std::string_view bare(std::string_view path) {
  path = path.substr(0, path.find('?'));
  if (path.ends_with('/')) path.remove_suffix(1);
  return path.empty() ? kDefaultPath : path;
}

// The longest suffix wins; there is no boundary before it (picker reference 7.1).
std::optional<openai::Api> api_of(std::string_view path) {
  if (path.ends_with("chat/completions")) return openai::Api::kChat;
  if (path.ends_with("completions")) return openai::Api::kCompletion;
  return std::nullopt;
}

Refusal bad_request(std::string message) {
  return {.status = 400, .code = "BadRequest", .message = std::move(message)};
}

std::string address(const schedule::Endpoint& endpoint) {
  return http::to_string({endpoint.host, endpoint.port});
}

void replace_model(std::string& body, std::string_view target) {
  const auto scanned = openai::BodyIndex::scan(body);
  if (!scanned) return;
  const std::array<openai::Edit, 1> edits = {openai::Edit{
      .key = "model", .value = text::json::dump(text::json::Value(std::string(target)))}};
  body = scanned->splice(edits).join();
}

// What the primary profile's scorers gave to each endpoint that its filters left.
std::vector<std::pair<std::string, double>> scores_of(const pick::ServicePool::Picked& picked) {
  std::vector<std::pair<std::string, double>> out;
  if (picked.decision.runs.empty()) return out;
  const auto& run = picked.decision.runs.front();
  if (run.scorers.empty()) return out;
  for (std::size_t i = 0; i < run.candidates.size(); ++i) {
    out.emplace_back(address((*picked.endpoints)[run.candidates[i]]),
                     static_cast<double>(run.totals[i]));
  }
  return out;
}

}  // namespace

std::variant<Placed, Refusal> Desk::place(const Asked& asked, std::string& body) {
  Placed placed;
  std::size_t prompt_bytes = 0;
  if (asked.body_known) {
    if (auto refused = read(asked, body, placed, prompt_bytes)) return *std::move(refused);
  }
  if (auto refused = pick(asked, placed, prompt_bytes)) return *std::move(refused);
  placed.series = &deps_.metrics.series(placed.model, placed.target, asked.fairness);
  placed.skip_response = bare(asked.path).ends_with(kCountTokens);
  return placed;
}

std::optional<Refusal> Desk::read(const Asked& asked, std::string& body, Placed& placed,
                                  std::size_t& prompt_bytes) {
  placed.api = api_of(bare(asked.path));
  if (!placed.api) return std::nullopt;
  auto prompt = reader_.read(body, *placed.api);
  if (!prompt) {
    return bad_request("error unmarshaling request bodyMap: " + prompt.error().message());
  }
  if (prompt->model.empty()) return bad_request("model not found in request body");
  if (prompt->text.empty()) {
    return bad_request(*placed.api == openai::Api::kChat
                           ? "invalid chat completions request: must have valid messages field"
                           : "invalid completions request: must have prompt field");
  }
  placed.model = std::move(prompt->model);
  placed.target = asked.model_rewrite.empty() ? placed.model : std::string(asked.model_rewrite);
  placed.stream = prompt->stream;
  prompt_bytes = prompt->text.size();
  placed.chain = deps_.pool.chain(placed.target);
  if (placed.chain) placed.chain->append(prompt->text);
  if (prompt->has_transfer_params) {
    pick::remove_transfer_params(body);
    deps_.metrics.transfer_params_removed();
    placed.body_changed = true;
  }
  if (placed.target != placed.model) {
    replace_model(body, placed.target);
    placed.body_changed = true;
  }
  return std::nullopt;
}

std::optional<Refusal> Desk::pick(const Asked& asked, Placed& placed, std::size_t prompt_bytes) {
  const auto started = now();
  const auto* subset = config_.subset_hints ? asked.subset : nullptr;
  auto picked = deps_.pool.pick(
      {.chain = placed.chain ? &*placed.chain : nullptr, .prompt_bytes = prompt_bytes}, subset,
      started, random_);
  deps_.metrics.decided(now() - started, placed.target, picked ? &picked->route.decode : nullptr);
  if (!picked) {
    if (picked.error().code() == Code::kNotFound) {
      return Refusal{.status = 503,
                     .code = "ServiceUnavailable",
                     .message = "failed to find endpoint candidates for serving the request",
                     .reason = "rejected-no-endpoints"};
    }
    log::debug("no endpoint passed the filters", {{"why", picked.error().message()}});
    return Refusal{.status = 429,
                   .code = "ResourceExhausted",
                   .message = "no endpoints available for the given request",
                   .reason = "rejected-saturated"};
  }
  placed.picked = *std::move(picked);
  const auto& route = placed.picked.route;
  placed.destination = address(route.decode);
  if (route.prefill) placed.prefiller = address(*route.prefill);
  if (config_.emit_scores) placed.scores = scores_of(placed.picked);
  deps_.metrics.prefill(route.prefill.has_value());
  return std::nullopt;
}

std::variant<std::string, Refusal> Desk::place_any() {
  const auto snapshot = deps_.pool.snapshot();
  if (snapshot.size() == 0) {
    return Refusal{.status = 500, .code = "Internal", .message = "no pods available in datastore"};
  }
  return address((*snapshot.endpoints)[random_.below(snapshot.size())]);
}

bool Desk::clean(std::string_view path, std::string& body) {
  const auto api = api_of(bare(path));
  if (!api) return false;
  const auto prompt = reader_.read(body, *api);
  if (!prompt || !prompt->has_transfer_params) return false;
  pick::remove_transfer_params(body);
  deps_.metrics.transfer_params_removed();
  return true;
}

void Desk::answered(Placed& placed, bool prefilled) {
  auto& route = placed.picked.route;
  placed.picked.prefill.release();
  if (!placed.chain) return;
  deps_.pool.remember(route.decode, placed.chain->blocks(),
                      prefilled && route.prefill ? &*route.prefill : nullptr);
}

void Desk::learned(const Placed& placed, std::span<const std::uint64_t> blocks) {
  if (!blocks.empty()) deps_.pool.remember(placed.picked.route.decode, blocks);
}

}  // namespace baton::epp
