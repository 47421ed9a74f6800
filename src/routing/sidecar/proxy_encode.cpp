// The encode stage: every item of a chat to an encoder, all at once.

#include <fmt/format.h>

#include <array>
#include <utility>

#include "base/core/log.hpp"
#include "net/http/trace_headers.hpp"
#include "routing/sidecar/encoding.hpp"
#include "routing/sidecar/proxy.hpp"
#include "routing/sidecar/proxy_call.hpp"
#include "routing/sidecar/relay.hpp"

namespace baton::sidecar {

// One request to an encoder.
struct Proxy::EncodeItem {
  http::Endpoint to;
  std::string request_id;
  std::string body;
  std::string answer{};
  std::string error{};
};

// The encoders that the picker names and that may be dialled; none when there is no encode stage.
std::vector<http::Endpoint> Proxy::read_encoders(const Call& call) {
  std::vector<http::Endpoint> found;
  if (config_.ec_connector == EcConnector::kNone) return found;
  for (const std::string& text : encoder_candidates(call.exchange.head().headers)) {
    auto endpoint = http::parse_endpoint(text);
    if (endpoint && allowed(*endpoint)) {
      found.push_back(*std::move(endpoint));
    } else {
      deps_.probe.refused(endpoint ? "allowlist" : "target");
      log::warn("an encoder is passed over", {{"encoder", text}});
    }
    if (found.size() == kMaxCandidates) break;
  }
  return found;
}

// Afterwards the request carries what the encoders handed over. False: one failed, answered.
Task<bool> Proxy::encode(Call& call, std::vector<http::Endpoint> encoders) {
  auto items = media_items(*call.index);
  if (!items) {
    deps_.probe.refused("media");
    co_await respond_error(call.exchange, 400, items.error().message(), "sidecar");
    co_return false;
  }
  const std::string id = uuid4(deps_.random);
  std::vector<EncodeItem> jobs;
  for (std::size_t i = 0; i < items->size(); ++i) {
    jobs.push_back({encoders[i % encoders.size()], fmt::format("{}-enc-{}", id, i),
                    encode_body(*call.index, (*items)[i])});
  }
  std::vector<Task<async::Went>> tasks;
  for (EncodeItem& job : jobs) tasks.push_back(encode_item(call, job));
  async::Went went = co_await async::all_or_none(std::move(tasks));
  Encoded encoded(config_.ec_connector);
  std::string error;
  for (const EncodeItem& job : jobs) {
    if (!job.error.empty()) error = job.error;
    if (went == async::Went::kWell && !encoded.add(job.answer)) {
      log::warn("an encoder hands nothing over", {{"encoder", http::to_string(job.to)}});
    }
  }
  if (went == async::Went::kWrong) {
    co_await respond_error(call.exchange, 502, error, "encode");
    co_return false;
  }
  call.body = std::make_shared<std::string>(call.index->splice(encoded.edits()).join());
  bool readable = co_await read_body(call);
  co_return readable;
}

Task<async::Went> Proxy::encode_item(Call& call, EncodeItem& item) {
  http::RequestHead head{"POST",
                         "/v1/chat/completions",
                         {{"Content-Type", "application/json"}, {"x-request-id", item.request_id}}};
  http::pass_on(call.span, head.headers);
  std::array<std::string_view, 1> pieces = {item.body};
  auto sent = co_await encode_client_.send(item.to, head, pieces, call.deadline);
  if (sent) {
    auto answer = co_await sent->read_all(kMaxAnswer, call.deadline);
    const int status = sent->head().status;
    if (!answer) {
      item.error = answer.error().error.message();
    } else if (status < 200 || status >= 300) {
      item.error = fmt::format("the encoder at {} answered {}", http::to_string(item.to), status);
    } else {
      item.answer = *std::move(answer);
    }
  } else {
    item.error = sent.error().error.message();
  }
  deps_.probe.encoded(item.error.empty() ? "answered" : "failed");
  if (item.error.empty()) co_return async::Went::kWell;
  log::warn("encoding failed", {{"encoder", http::to_string(item.to)}, {"reason", item.error}});
  co_return async::Went::kWrong;
}

}  // namespace baton::sidecar
