#include "routing/epp/renderer.hpp"

#include <limits>
#include <utility>

#include "base/core/log.hpp"
#include "base/text/json.hpp"
#include "net/hub/url.hpp"
#include "routing/epp/post_json.hpp"

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
  const auto target = config_.path + std::string(what.path);
  auto answer = co_await post_json(client_, {.at = config_.at,
                                             .target = target,
                                             .body = what.body,
                                             .traceparent = what.traceparent,
                                             .most = kMostRendered,
                                             .deadline = {clock_.now() + config_.timeout}});
  if (answer && (answer->status == 400 || answer->status == 422)) {
    log::debug("a prompt is not rendered",
               {{"why", "the server refuses the request"}, {"status", answer->status}});
    co_return std::nullopt;
  }
  Status done;
  if (!answer) done = answer.error();
  if (answer && answer->status != 200) done = unwanted(config_.at, target, *answer);
  standing_.note(done,
                 "prompts are not rendered and compared by their bytes: does the server that "
                 "vllm.url of token-producer names run?",
                 "prompts are rendered again");
  if (!done) co_return std::nullopt;
  co_return std::move(answer->text);
}

Task<void> Renderer::stop() {
  client_.close_idle();
  co_return;
}

}  // namespace baton::epp
