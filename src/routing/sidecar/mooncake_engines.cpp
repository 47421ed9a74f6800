#include "routing/sidecar/mooncake_engines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text/json.hpp"

namespace baton::sidecar {

namespace {

constexpr std::size_t kMaxTold = 1 << 20;  // bytes

}  // namespace

Result<std::vector<MooncakeEngine>> parse_engines(std::string_view answer) {
  BATON_TRY_ASSIGN(const auto body, text::json::parse(answer));
  std::vector<MooncakeEngine> out;
  const auto* members = body.if_object();
  if (members == nullptr) return invalid("expected an object of ranks");
  for (const auto& [key, value] : *members) {
    int rank = 0;
    auto [end, failed] = std::from_chars(key.data(), key.data() + key.size(), rank);
    const std::string_view id = value.string_at({"engine_id"});
    const bool number = failed == std::errc() && end == key.data() + key.size() && rank >= 0;
    if (number && !id.empty()) out.push_back({rank, std::string(id)});
  }
  if (out.empty()) return invalid("no rank with an engine_id");
  return out;
}

Task<Result<MooncakeEngine>> MooncakeEngines::choose(http::Endpoint service, Deadline deadline,
                                                     Random& random) {
  auto found = known_.find(service);
  if (found == known_.end() || clock_.now() - found->second.at > kKnownFor) {
    auto told = co_await ask(service, deadline.earlier(Deadline::in(clock_, kTimeout)));
    if (!told) {
      co_return std::move(told).error().with("bootstrap service of " + http::to_string(service));
    }
    if (known_.size() >= kMaxHosts) {
      known_.erase(
          std::ranges::min_element(known_, {}, [](const auto& entry) { return entry.second.at; }));
    }
    found = known_.insert_or_assign(service, Told{clock_.now(), *std::move(told)}).first;
  }
  const auto& engines = found->second.engines;
  co_return engines[random.below(engines.size())];
}

Task<Result<std::vector<MooncakeEngine>>> MooncakeEngines::ask(http::Endpoint service,
                                                               Deadline deadline) {
  http::RequestHead head{"GET", "/query", {}};
  auto answer = co_await client_.send(service, head, {}, deadline);
  if (!answer) co_return unavailable(answer.error().error.message());
  auto body = co_await answer->read_all(kMaxTold, deadline);
  if (!body) co_return unavailable(body.error().error.message());
  const int status = answer->head().status;
  if (status < 200 || status >= 300) co_return unavailable(fmt::format("answered {}", status));
  co_return parse_engines(*body);
}

}  // namespace baton::sidecar
