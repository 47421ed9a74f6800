#include "routing/sidecar/request.hpp"

#include <algorithm>
#include <array>

#include "base/core/trim.hpp"
#include "base/text/json.hpp"
#include "formats/openai/decoded_path.hpp"
#include "formats/openai/member_scan.hpp"
#include "routing/ticket/ticket.hpp"

namespace baton::sidecar {

namespace {

void add_candidate(std::vector<std::string>& into, std::string_view text) {
  text = without_scheme(text);
  if (!text.empty()) into.emplace_back(text);
}

// Several fields are whole candidates; one field is a list.
std::vector<std::string> split(const std::vector<std::string_view>& lines) {
  std::vector<std::string> found;
  if (lines.size() > 1) {
    for (std::string_view line : lines) add_candidate(found, line);
    return found;
  }
  std::string_view rest = lines.empty() ? std::string_view() : lines.front();
  while (!rest.empty()) {
    std::size_t comma = std::min(rest.find(','), rest.size());
    add_candidate(found, rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return found;
}

}  // namespace

std::string_view without_scheme(std::string_view text) {
  text = trim(text);
  if (text.starts_with("http://")) text.remove_prefix(7);
  return text;
}

std::string_view name(Api api) {
  switch (api) {
    case Api::kChat:
      return "chat_completions";
    case Api::kResponses:
      return "responses";
    case Api::kGenerate:
      return "generate";
  }
  return "";
}

std::optional<Route> generating_route(const http::RequestHead& head) {
  static constexpr std::array<Route, 9> kRoutes = {{
      {"/v1/chat/completions", Api::kChat},
      {"/v1/completions", Api::kChat},
      {"/v1/messages", Api::kChat},
      {"/v1/responses", Api::kResponses},
      {"/inference/v1/generate", Api::kGenerate},
      {"/invocations", std::nullopt},
      {"/v1/chat/completions/batch", std::nullopt},
      {"/generate", std::nullopt},
      {"/vertex_generate", std::nullopt},
  }};
  const bool put = head.method == "PUT";  // SGLang takes it for /generate
  if (!put && head.method != "POST") return std::nullopt;
  std::string room;
  const auto* route =
      std::ranges::find(kRoutes, openai::decoded_path(head.target, room), &Route::path);
  if (route == kRoutes.end() || (put && route->api)) return std::nullopt;
  return *route;
}

// As json.detect_encoding tells: by a byte order mark, else by NUL bytes, as JSON begins with
// ASCII.
std::optional<std::string_view> encoding_problem(std::string_view body) {
  const std::string_view begin = body.substr(0, 4);
  const bool wide = begin.find('\0') != std::string_view::npos || begin.starts_with("\xfe\xff") ||
                    begin.starts_with("\xff\xfe");
  if (!wide) return std::nullopt;
  return "the body is UTF-16 or UTF-32; JSON is sent as UTF-8 (RFC 8259, 8.1)";
}

std::vector<std::string> prefill_candidates(const http::Headers& headers) {
  std::vector<std::string_view> lines = headers.get_all(kPrefillerHeader);
  return split(lines.empty() ? headers.get_all(kOldPrefillerHeader) : lines);
}

std::vector<std::string> encoder_candidates(const http::Headers& headers) {
  return split(headers.get_all(kEncoderHeader));
}

std::string routed_endpoints(const http::Headers& headers) {
  std::array<std::string, 4> lines;
  bool any = false;
  std::string* line = lines.data();
  for (std::string_view name :
       {kPrefillerHeader, kOldPrefillerHeader, kEncoderHeader, kKvSourceHeader}) {
    for (std::string_view each : headers.get_all(name)) {
      *line += line->empty() ? "" : ",";
      *line += each;
    }
    any = any || line->find_first_not_of(" \t,") != std::string::npos;
    ++line;
  }
  return any ? ticket::endpoints_text({lines[0], lines[1], lines[2], lines[3]}) : "";
}

std::vector<http::Endpoint> in_order_of_trial(const std::vector<http::Endpoint>& candidates) {
  std::vector<http::Endpoint> hosts;
  std::vector<http::Endpoint> ports;
  for (const http::Endpoint& each : candidates) {
    auto same_host = [&](const http::Endpoint& other) { return other.host == each.host; };
    bool known = std::ranges::find(hosts, each) != hosts.end() ||
                 std::ranges::find(ports, each) != ports.end();
    if (known) continue;
    (std::ranges::any_of(hosts, same_host) ? ports : hosts).push_back(each);
  }
  hosts.insert(hosts.end(), ports.begin(), ports.end());
  if (hosts.size() > kMaxCandidates) hosts.resize(kMaxCandidates);
  return hosts;
}

http::RequestHead forwarded(const http::RequestHead& head, std::string_view peer) {
  static constexpr std::array<std::string_view, 7> kNotPassedOn = {
      kPrefillerHeader, kOldPrefillerHeader, kEncoderHeader, kKvSourceHeader,
      ticket::kHeader,  "Content-Length",    "Expect"};
  http::RequestHead out = head;
  http::remove_hop_by_hop(out.headers);
  out.headers.remove_if(
      [](const http::Field& each) { return http::is_one_of(each.name, kNotPassedOn); });
  std::string chain;
  for (std::string_view each : out.headers.get_all("X-Forwarded-For")) {
    chain += each;
    chain += ", ";
  }
  chain += peer.substr(0, peer.rfind(':'));
  out.headers.set("X-Forwarded-For", chain);
  return out;
}

bool asks_to_keep(std::string_view body) {
  const auto index = openai::BodyIndex::scan(body);
  const auto raw = index ? index->find(kTransferParams) : std::nullopt;
  const auto params = raw ? text::json::parse(*raw) : Result<text::json::Value>(invalid("none"));
  if (!params || !params->is_object()) return false;
  bool keeps = false;
  for (const auto& [key, value] : *params->if_object()) {
    const bool yes = value.if_bool() != nullptr && *value.if_bool();
    const bool no = value.is_null() || (value.if_bool() != nullptr && !yes);
    if (key == "do_remote_decode" && yes) {
      keeps = true;
    } else if (!no && key != "transfer_id") {  // Mooncake's name of what is kept
      return false;
    }
  }
  if (!keeps) return false;
  // Only once: parsers differ in which of several they take, and a splice leaves one.
  const std::array<openai::Edit, 1> same = {{{kTransferParams, std::string(*raw)}}};
  const std::array<openai::Edit, 1> without = {{{kTransferParams, std::nullopt}}};
  openai::MemberScan others(kTransferParams);
  for (const std::string_view piece : index->splice(without).pieces) (void)others.feed(piece);
  return !others.found() && index->splice(same).size() == body.size();
}

bool names_params(std::string_view json) {
  openai::MemberScan scan(kTransferParams);
  return openai::may_name(json, kTransferParams) && scan.feed(json);
}

bool may_have_member(std::string_view body, std::string_view name) {
  if (!openai::may_name(body, name)) return false;
  const auto index = openai::BodyIndex::scan(body, "parameters");
  return !index || index->find(name) || index->find(name, openai::Where::kNested);
}

bool single(const openai::BodyIndex& body) {
  for (auto where : {openai::Where::kTop, openai::Where::kNested}) {  // sampling_params of generate
    for (std::string_view key : {"n", "best_of"}) {
      auto value = body.find(key, where);
      if (value && *value != "1" && *value != "null") return false;
    }
    // Scores of the prompt, which an echo with log-probabilities has too: all of it is computed
    // where the answer is.
    auto scores = body.find("prompt_logprobs", where);
    if (scores && *scores != "null") return false;
  }
  auto echo = body.find("echo");
  auto logprobs = body.find("logprobs");
  if (echo == "true" && logprobs && *logprobs != "null") return false;
  auto prompt = body.find("prompt");
  if (!prompt || !prompt->starts_with('[')) return true;
  std::string_view first = *prompt;
  first.remove_prefix(1);
  first.remove_prefix(std::min(first.find_first_not_of(" \t\r\n"), first.size()));
  bool of_tokens = !first.starts_with('"') && !first.starts_with('[');
  return of_tokens || openai::count_elements(*prompt) == 1;
}

}  // namespace baton::sidecar
