#include "routing/epp/renderer.hpp"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <utility>

#include "base/observe/trace_context.hpp"
#include "base/text/json.hpp"
#include "net/hub/url.hpp"

namespace baton::epp {
namespace {

using text::json::Value;

// Whether `features` says that the prompt has pictures, sound or video in it.
bool has_media(const Value& rendered) {
  const auto* hashes = rendered.find_path({"features", "mm_hashes"});
  const auto* kinds = hashes == nullptr ? nullptr : hashes->if_object();
  return kinds != nullptr && kinds->size() > 0;
}

}  // namespace

Result<std::vector<std::uint32_t>> rendered_tokens(std::string_view answer) {
  BATON_TRY_ASSIGN(const auto json, text::json::parse(answer));
  const auto* rendered = &json;
  if (const auto* prompts = json.if_array()) {
    if (prompts->size() != 1) return unsupported("the request has several prompts, or none");
    rendered = prompts->data();
  }
  if (has_media(*rendered)) return unsupported("the prompt has more than text in it");
  const auto* ids = rendered->find("token_ids");
  if (ids == nullptr || ids->if_array() == nullptr || ids->if_array()->empty()) {
    return invalid("the rendered prompt has no token_ids");
  }
  std::vector<std::uint32_t> out;
  out.reserve(ids->if_array()->size());
  for (const auto& each : *ids->if_array()) {
    const auto id = each.if_int();
    if (!id || *id < 0 || *id > std::numeric_limits<std::uint32_t>::max()) {
      return invalid("token_ids has something that is no token's number");
    }
    out.push_back(static_cast<std::uint32_t>(*id));
  }
  return out;
}

Result<Renderer::Config> Renderer::config_of(const schedule::RenderServer& server) {
  BATON_TRY_ASSIGN(auto url, hub::parse_url(server.url).with("vllm.url of token-producer"));
  if (url.scheme != hub::Scheme::kHttp) {
    return unsupported("vllm.url of token-producer: prompts are rendered over http:// only");
  }
  while (url.target.ends_with('/')) url.target.pop_back();
  return Config{.at = url.endpoint, .path = url.target, .timeout = server.timeout};
}

Renderer::Renderer(const Clock& clock, Config config)
    : clock_(clock),
      config_(std::move(config)),
      client_(clock, http::Client::Config{.idle_per_endpoint = kMostRenders}) {}

Task<std::optional<std::string>> Renderer::ask(RenderAsk what) {
  struct Running {
    explicit Running(std::size_t& c) : count(c) { ++count; }
    ~Running() { --count; }
    std::size_t& count;
  };
  if (running_ >= kMostRenders) {
    log::debug("a prompt is not rendered", {{"why", "too many are at the moment"}});
    co_return std::nullopt;
  }
  const Running running(running_);
  auto answer = co_await post(what);
  standing_.note(answer ? Status() : Status(answer.error()),
                 "prompts are not rendered and compared by their bytes: does the server that "
                 "vllm.url of token-producer names run?",
                 "prompts are rendered again");
  if (!answer) co_return std::nullopt;
  co_return *std::move(answer);
}

Task<Result<std::string>> Renderer::post(const RenderAsk& what) {
  http::RequestHead head;
  head.method = "POST";
  head.target = config_.path + std::string(what.path);
  head.headers.set("content-type", "application/json");
  if (!what.traceparent.empty()) head.headers.set(observe::kTraceparent, what.traceparent);
  const std::array<std::string_view, 1> pieces = {what.body};
  const Deadline deadline{clock_.now() + config_.timeout};
  auto answer = co_await client_.send(config_.at, head, pieces, deadline);
  if (!answer) co_return answer.error().error;
  auto text = co_await answer->read_all(kMostRendered, deadline);
  if (!text) co_return text.error().error;
  const auto status = answer->head().status;
  if (status == 200) co_return *std::move(text);
  co_return unavailable(fmt::format("{}{} answers {}: {}", http::to_string(config_.at), head.target,
                                    status, text->substr(0, 200)));
}

}  // namespace baton::epp
