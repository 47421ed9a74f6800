#include "formats/openai/live_requests.hpp"

#include <algorithm>
#include <array>

#include "base/text/json.hpp"

namespace baton::openai {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::size_t kMaxLegible = 128;  // bytes
constexpr std::array kPhases = {Phase::kQueue, Phase::kTransfer, Phase::kPrefill, Phase::kDecode};

std::uint64_t count_at(const Value& request, std::string_view member) {
  const Value* count = request.find(member);
  return count == nullptr ? 0 : count->if_uint().value_or(0);
}

}  // namespace

std::string_view name(Phase phase) {
  switch (phase) {
    case Phase::kQueue:
      return "queue";
    case Phase::kTransfer:
      return "transfer";
    case Phase::kPrefill:
      return "prefill";
    case Phase::kDecode:
      return "decode";
  }
  return "";
}

std::string legible(std::string_view text) {
  std::string out(text.substr(0, kMaxLegible));
  std::ranges::replace_if(out, [](char c) { return static_cast<signed char>(c) < 0; }, '?');
  return out;
}

std::string live_requests_json(std::span<const LiveRequest> requests) {
  Array list;
  for (const LiveRequest& r : requests.first(std::min(requests.size(), kMostLiveRequests)))
    list.emplace_back(Object{{"id", legible(r.id)},
                             {"phase", name(r.phase)},
                             {"promptTokens", r.prompt},
                             {"readyTokens", r.ready},
                             {"answerTokens", r.answer}});
  return text::json::dump(Object{{"requests", std::move(list)}});
}

Result<std::vector<LiveRequest>> read_live_requests(std::string_view text) {
  BATON_TRY_ASSIGN(const Value told, text::json::parse(text));
  const Value* list = told.find("requests");
  if (list == nullptr || list->if_array() == nullptr)
    return invalid("expected an object with an array 'requests'");
  std::vector<LiveRequest> out;
  for (const Value& r : *list->if_array()) {
    if (out.size() == kMostLiveRequests) break;
    const auto* const phase = std::ranges::find(kPhases, r.string_at({"phase"}), name);
    if (phase == kPhases.end()) return invalid("a request in a phase that there is not");
    out.push_back({.id = legible(r.string_at({"id"})),
                   .phase = *phase,
                   .prompt = count_at(r, "promptTokens"),
                   .ready = count_at(r, "readyTokens"),
                   .answer = count_at(r, "answerTokens")});
  }
  return out;
}

}  // namespace baton::openai
