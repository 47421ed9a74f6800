#include "cli/sidecar_flags.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/core/nearest.hpp"
#include "base/text/yaml.hpp"
#include "cli/command.hpp"
#include "cli/flag_values.hpp"
#include "cli/print.hpp"
#include "cli/text_file.hpp"

namespace baton::cli {

namespace {

enum class Takes : std::uint8_t { kOne, kList };
enum class InYaml : bool { kNo, kYes };

struct Flag {
  std::string_view name;
  std::string_view fallback;
  std::string_view help;
  const char* variable = nullptr;
  Takes takes = Takes::kOne;
  InYaml yaml = InYaml::kYes;
};

constexpr Flag line_only(Flag flag) {
  flag.yaml = InYaml::kNo;
  return flag;
}

// llm-d's of today (reference 3.1).
constexpr std::array kFlags = {
    Flag{"port", "8000", "listen port"},
    Flag{"model-server-port", "8200", "port of the decode engine"},
    Flag{"vllm-port", "", "older name of --model-server-port"},
    Flag{"data-parallel-size", "1", "ranks: listeners on --port and the ports after it"},
    Flag{"kv-connector", "nixlv2",
         "KV protocol between the engines: nixlv2, shared-storage, sglang, mooncake, offloading"},
    Flag{"ec-connector", "",
         "how encoders' embeddings travel: ec-example, ec-nixl; empty: no encode stage"},
    Flag{"mooncake-bootstrap-port", "8998", "where prefill hosts tell their engines (mooncake)",
         "MOONCAKE_BOOTSTRAP_PORT"},
    Flag{"p2p-connector-port", "7777", "of the engines' P2P tier (offloading), rank 0",
         "P2P_CONNECTOR_PORT"},
    Flag{"enable-p2p-pull", "false",
         "with nixlv2: name x-kv-cache-source-host-port to whoever computes the prompt"},
    Flag{"secure-proxy", "true", "serve TLS"},
    Flag{"cert-path", "",
         "folder with tls.crt and tls.key, read again when they change; empty: self-signed"},
    Flag{"enable-tls", "", "dial these with TLS: prefiller, decoder, encoder", nullptr,
         Takes::kList},
    Flag{"tls-insecure-skip-verify", "", "do not verify these: prefiller, decoder, encoder",
         nullptr, Takes::kList},
    Flag{"enable-ssrf-protection", "false",
         "dial only prefill endpoints of --inference-pool or --allowlist-file"},
    Flag{"inference-pool", "", "namespace/name of the pool whose pods may be dialled",
         "INFERENCE_POOL"},
    Flag{"pool-group", "inference.networking.k8s.io", "or inference.networking.x-k8s.io"},
    Flag{"enable-prefiller-sampling", "false", "a random prefill candidate, not the first",
         "ENABLE_PREFILLER_SAMPLING"},
    Flag{"max-idle-conns-per-host", "1024", "kept connections per engine"},
    Flag{"prefill-max-retries", "0",
         "of prefills that fail with 502, 503, 504 or without an answer, on the same host"},
    Flag{"prefill-retry-backoff", "200ms", "before each retry"},
    Flag{"decode-chunk-size", "0",
         "tokens: longer chat answers are decoded in chunks; 0: in one piece"},
    Flag{"tracing", "false", "send spans as the OTEL_... variables say"},
    Flag{"metrics-port", "0", "a second plain listener for GET /metrics; 0: none"},
    line_only({"configuration", "", "these settings as YAML"}),
    line_only({"configuration-file", "", "a file of them"}),
    line_only({"zap-log-level", "info", "debug, info, warn, error"}),
    line_only({"zap-encoder", "", "json or console"}),
    line_only({"zap-devel", "false", "console lines from debug on"}),
    // vLLM's MoRI-IO connector, with nixlv2 only.
    line_only({"moriio-write-mode", "false", "prefill writes its KV into the decode engine"}),
    line_only({"moriio-local-pod-ip", "", "this pod's address", "POD_IP"}),
    line_only({"moriio-decode-notify-port", "61005", "of the decode engine"}),
    line_only({"moriio-decode-handshake-port", "6301", "of the decode engine"}),
    line_only({"moriio-prefill-notify-port", "61005", "of prefill engines"}),
    line_only({"moriio-prefill-handshake-port", "6301", "of prefill engines"}),
    line_only({"moriio-parallel-dispatch", "false", "both legs at once"}),
    line_only({"moriio-parallel-decode-wait-timeout", "30s",
               "how long decode's answer waits for prefill"}),
    line_only({"moriio-tp-size", "1", "tensor parallel size of the engines"}),
    line_only({"moriio-dp-size", "1", "data parallel ranks of an engine"}),
    line_only({"moriio-dp-size-local", "0", "of them, in one pod; 0: all"}),
    line_only({"moriio-remote-hosts", "", "addresses of the prefill engine's pods", nullptr,
               Takes::kList}),
    line_only({"moriio-decode-hosts", "", "addresses of the decode engine's pods", nullptr,
               Takes::kList}),
    // Ours.
    Flag{"host", "0.0.0.0", "listen address", "BATON_POD_IP"},
    Flag{"decoder-host", "localhost", "address of the decode engine", "BATON_POD_IP"},
    Flag{"ca-file", "",
         "authorities of the engines' certificates: a file or folders; else the system's",
         "SSL_CERT_DIR"},
    Flag{"prefill-failure-policy", "relay",
         "relay: the prefill engine's error goes to the client; fallback: the decode engine "
         "computes the prompt; strict: as relay, and a prefill without KV is an error",
         "BATON_PREFILL_FAILURE_POLICY"},
    Flag{"request-timeout", "600s",
         "for both legs together, 1ms or more; x-request-timeout-ms and "
         "x-envoy-expected-rq-timeout-ms may ask for less"},
    Flag{"prefill-timeout", "0s", "for one attempt; 0: what is left of the request's"},
    Flag{"prefill-breaker-failures", "5",
         "in a row after which a prefill engine is left alone for a while; 0: never"},
    Flag{"kv-lease", "30s", "how long prefill engines keep KV (vLLM: kv_lease_duration)"},
    Flag{"kv-lease-margin", "5s", "with less of it left, the prompt is prefilled again"},
    Flag{"fallback-budget", "0.5",
         "share of --decode-capacity that may compute prompts of failed prefills"},
    Flag{"decode-capacity", "256", "requests that the decode engine runs at once"},
    Flag{"allowlist-file", "", "prefill endpoints that may be dialled, one ip:port a line"},
    Flag{"kv-connect-timeout", "250ms",
         "for a connection to where a prefill engine keeps KV (vLLM's side channel), opened before "
         "decode is sent there; 0: none is opened"},
    Flag{"prefill-warm-up", "false",
         "send a throw-away prompt through each fresh pair first (vLLM's first transfer is slow)",
         "BATON_PREFILL_WARM_UP"},
    Flag{"prove-transfers", "false",
         "measure transfers by vLLM's counters, at two more requests to the decode engine"},
    Flag{"routing-ticket-key-file", "",
         "key that routers share: prefill endpoints must come with a ticket of theirs",
         "BATON_ROUTING_TICKET_KEY_FILE"},
    Flag{"require-routing-ticket", "true",
         "with a key; false: routes without a ticket are followed, wrong ones are not"},
    Flag{"self-schedule", "false",
         "without a picker: send new conversations to prefill pods of --inference-pool or "
         "--self-schedule-endpoints"},
    Flag{"self-schedule-endpoints", "",
         "a file of endpoints, as pickers read it, instead of a pool"},
    Flag{"self-schedule-config", "", "an EndpointPickerConfig; else 100 new bytes are prefilled"},
    line_only({"kubeconfig", "", "for --inference-pool; else $KUBECONFIG, else the pod's account"}),
    line_only({"print-effective-config", "false",
               "print the settings with where each comes from, and end"}),
};

// Spellings of earlier generations (reference 3.4, 4), on the command line only.
constexpr std::array kOld = {
    Flag{"connector", "", "--kv-connector"},
    Flag{"print-config", "false", "--print-effective-config"},
    Flag{"prefiller-use-tls", "false", "--enable-tls=prefiller"},
    Flag{"decoder-use-tls", "false", "--enable-tls=decoder"},
    Flag{"prefiller-tls-insecure-skip-verify", "false", "--tls-insecure-skip-verify=prefiller"},
    Flag{"decoder-tls-insecure-skip-verify", "false", "--tls-insecure-skip-verify=decoder"},
    Flag{"inference-pool-namespace", "", "--inference-pool", "INFERENCE_POOL_NAMESPACE"},
    Flag{"inference-pool-name", "", "--inference-pool", "INFERENCE_POOL_NAME"},
};

// Accepted only with a value that asks for nothing.
struct Unsupported {
  std::string_view name;
  std::string_view off;  // "" always counts as off too
  std::string_view why;
};
constexpr std::array kUnsupported = {
    Unsupported{"zap-stacktrace-level", "", "stack traces are not logged"},
    Unsupported{"zap-time-encoding", "", "times are written one way, RFC 3339"},
};

template <class T>
std::optional<T> to_number(std::string_view text) {
  T value{};
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = failed == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(value) : std::nullopt;
}

const Flag* find(std::string_view name) {
  const auto* found = std::ranges::find(kFlags, name, &Flag::name);
  return found == kFlags.end() ? nullptr : found;
}

// A scalar or a list of them as the text a flag would have.
std::optional<std::string> yaml_text(const text::json::Value& value) {
  if (value.is_null()) return "";
  if (const bool* b = value.if_bool()) return *b ? "true" : "false";
  if (const auto* s = value.if_string()) return *s;
  if (value.is_number()) return text::json::dump(value);
  if (!value.is_array()) return std::nullopt;
  std::string all;
  for (const auto& each : *value.if_array()) {
    auto one = each.is_array() ? std::nullopt : yaml_text(each);
    if (!one) return std::nullopt;
    all += (all.empty() ? "" : ",") + *one;
  }
  return all;
}

// Go's older flag package also takes one dash, and presets leave empty arguments where a
// condition did not hold.
void normalise(std::vector<std::string>& arguments) {
  std::erase(arguments, "");
  for (std::string& word : arguments) {
    bool one_dash =
        word.size() > 2 && word[0] == '-' && word[1] != '-' && (word[1] < '0' || word[1] > '9');
    if (one_dash) word.insert(0, 1, '-');
  }
  std::ranges::reverse(arguments);  // CLI11 takes them from the back
}

std::string_view label(Origin origin) {
  switch (origin) {
    case Origin::kDefault:
      return "default";
    case Origin::kEnvironment:
      return "environment";
    case Origin::kFile:
      return "configuration";
    case Origin::kFlag:
      return "flag";
  }
  return "";
}

std::string help_of(const Flag& flag) {
  std::string text(flag.help);
  if (!flag.fallback.empty()) text += fmt::format(" [{}]", flag.fallback);
  if (flag.variable != nullptr) text += fmt::format(" (env {})", flag.variable);
  return text;
}

using Given = std::map<std::string, std::vector<std::string>, std::less<>>;

// What stands on the command line, by flag.
Result<std::optional<Given>> read_line(std::vector<std::string> arguments) {
  CLI::App app{
      "P/D routing sidecar: in front of the decode engine, runs the prefill leg first.\n"
      "Takes the flags of llm-d's sidecar.",
      "sidecar"};
  app.footer(
      "Answers always carry the proof headers (x-baton-..., Server-Timing): the gateway needs "
      "them.\n"
      "Example: baton sidecar --port 8000 --model-server-port 8001 --secure-proxy=false\n" +
      std::string(kUpstreamExitCodes));
  std::map<std::string, std::vector<std::string>, std::less<>> given;
  auto add = [&](std::string_view name, const std::string& help, const char* group) {
    std::string key(name);
    app.add_option_function<std::vector<std::string>>(
           "--" + key, [&given, key](const std::vector<std::string>& all) { given[key] = all; },
           help)
        ->expected(0, 1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
        ->group(group);
  };
  for (const Flag& each : kFlags) add(each.name, help_of(each), "Flags");
  for (const Flag& each : kOld) {
    add(each.name, fmt::format("older name of {}", each.help), "Earlier spellings");
  }
  for (const Unsupported& each : kUnsupported) add(each.name, "", "");
  normalise(arguments);
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    cli::print("{}", app.help());
    return std::optional<Given>();
  } catch (const CLI::ParseError& e) {
    return invalid(fmt::format("{} (--help lists the flags)", e.what()));
  }
  return std::optional(std::move(given));
}

}  // namespace

std::optional<std::uint16_t> parse_port(std::string_view text) {
  auto port = to_number<std::uint16_t>(text);
  return port && *port > 0 ? port : std::nullopt;
}

const SidecarFlags::Value& SidecarFlags::at(std::string_view name) const {
  return values_.find(name)->second;
}

Result<std::optional<SidecarFlags>> SidecarFlags::parse(std::vector<std::string> arguments,
                                                        const Environment& environment) {
  BATON_TRY_ASSIGN(auto line, read_line(std::move(arguments)));
  if (!line) return std::optional<SidecarFlags>();
  SidecarFlags out;
  auto add = [&](const Flag& flag) {
    Value value{std::string(flag.fallback), Origin::kDefault};
    auto set = flag.variable == nullptr ? std::nullopt : environment(flag.variable);
    if (set && !set->empty()) value = {*std::move(set), Origin::kEnvironment};
    out.values_.insert_or_assign(std::string(flag.name), std::move(value));
  };
  for (const Flag& each : kFlags) add(each);
  for (const Flag& each : kOld) add(each);
  for (const Unsupported& each : kUnsupported) add({each.name, each.off, ""});
  for (const auto& [name, texts] : *line) {
    const Flag* flag = find(name);
    bool list = flag != nullptr && flag->takes == Takes::kList;
    std::string text = texts.empty() ? "" : texts.back();
    if (list) text = fmt::format("{}", fmt::join(texts, ","));
    bool switched = text.empty() && to_bool(out.get(name)) && !to_number<double>(out.get(name));
    out.values_[name] = {switched ? "true" : std::move(text), Origin::kFlag};
  }
  const std::string inline_text = out.get("configuration");
  const std::string file = out.get("configuration-file");
  if (!inline_text.empty() && !file.empty()) {
    return invalid("--configuration and --configuration-file exclude each other");
  }
  if (!inline_text.empty() || !file.empty()) {
    std::string text = inline_text;
    if (!file.empty()) {
      BATON_TRY_ASSIGN(text, read_text_file(file));
    }
    std::string source = file.empty() ? "--configuration" : file;
    BATON_TRY_ASSIGN(const auto document, text::yaml::parse(text, source));
    BATON_TRY(out.take_yaml(document, source));
  }
  BATON_TRY(out.check_unsupported());
  BATON_TRY(out.take_older_names());
  return std::optional(std::move(out));
}

// What the spellings of earlier generations ask for, under today's names.
Status SidecarFlags::take_older_names() {
  Value& connector = values_["kv-connector"];
  const Value& old_connector = at("connector");
  if (connector.origin == Origin::kDefault && !old_connector.text.empty())
    connector = old_connector;
  if (connector.text == "lmcache") connector.text = "shared-storage";

  const Value& old_port = at("vllm-port");
  Value& port = values_["model-server-port"];  // a flag beats the configuration, then the new name
  if (!old_port.text.empty() && old_port.origin > port.origin) port = old_port;

  for (const std::string stage : {"prefiller", "decoder"}) {
    for (const auto& [old, now] :
         {std::pair(stage + "-use-tls", "enable-tls"),
          std::pair(stage + "-tls-insecure-skip-verify", "tls-insecure-skip-verify")}) {
      BATON_TRY_ASSIGN(const bool on, flag(old));
      if (!on) continue;
      Value& stages = values_[now];
      stages = {stages.text.empty() ? stage : stages.text + "," + stage,
                std::max(stages.origin, origin(old))};
    }
  }

  Value& pool = values_["inference-pool"];
  const Value& old_name = at("inference-pool-name");
  const Value& old_namespace = at("inference-pool-namespace");
  if (pool.text.empty()) pool = old_name;
  const bool bare = !pool.text.empty() && pool.text.find('/') == std::string::npos;
  if (bare && !old_namespace.text.empty()) {
    pool.text.insert(0, old_namespace.text + "/");
    pool.origin = std::max(pool.origin, old_namespace.origin);
  }
  return {};
}

Status SidecarFlags::take_yaml(const text::json::Value& document, std::string_view source) {
  const auto* members = document.if_object();
  if (members == nullptr) return invalid(fmt::format("{}: expected a mapping of flags", source));
  std::vector<std::string_view> known;
  for (const Flag& each : kFlags) {
    if (each.yaml == InYaml::kYes) known.push_back(each.name);
  }
  for (const auto& [key, value] : *members) {
    bool other = std::ranges::find(kUnsupported, std::string_view(key), &Unsupported::name) !=
                     kUnsupported.end() &&
                 !key.starts_with("moriio-");
    if (!other && std::ranges::find(known, std::string_view(key)) == known.end()) {
      return invalid(
          fmt::format("{}: /{}: no such setting{}", source, key, did_you_mean(key, known)));
    }
    auto text = yaml_text(value);
    if (!text) return invalid(fmt::format("{}: /{}: expected a value or a list", source, key));
    Value& present = values_[std::string(key)];
    bool unset_port = key.ends_with("port") && *text == "0";
    if (present.origin == Origin::kFlag || unset_port) continue;
    present = {*std::move(text), Origin::kFile};
  }
  return {};
}

Status SidecarFlags::check_unsupported() const {
  for (const Unsupported& each : kUnsupported) {
    const std::string& value = get(each.name);
    bool off = value.empty() || value == each.off ||
               (each.off == "false" && to_bool(value) == std::optional(false));
    if (!off) return unsupported(fmt::format("--{}={}: {}", each.name, value, each.why));
  }
  return {};
}

Result<bool> SidecarFlags::flag(std::string_view name) const {
  auto value = get(name).empty() ? std::optional(false) : to_bool(get(name));
  if (value) return *value;
  return invalid(fmt::format("--{}={}: true or false", name, get(name)));
}

Result<std::uint16_t> SidecarFlags::port(std::string_view name, std::uint16_t least) const {
  auto value = to_number<std::uint16_t>(get(name));
  if (value && *value >= least) return *value;
  return invalid(fmt::format("--{}: '{}' is not a port ({}..65535)", name, get(name), least));
}

Result<std::int64_t> SidecarFlags::count(std::string_view name, std::int64_t least,
                                         std::int64_t most) const {
  auto value = to_number<std::int64_t>(get(name));
  if (value && *value >= least && *value <= most) return *value;
  return invalid(fmt::format("--{}={}: a number from {} to {}", name, get(name), least, most));
}

Result<double> SidecarFlags::share(std::string_view name) const {
  auto value = to_number<double>(get(name));
  if (value && *value >= 0 && *value <= 1) return *value;
  return invalid(fmt::format("--{}={}: a share from 0 to 1", name, get(name)));
}

Result<Nanos> SidecarFlags::duration(std::string_view name, Nanos least) const {
  auto value = to_duration(get(name));
  if (value && *value >= least) return *value;
  return invalid(fmt::format("--{}={}: a duration such as 600s or 1m30s{}", name, get(name),
                             least > Nanos() ? ", over 0" : ""));
}

std::vector<std::string> SidecarFlags::list(std::string_view name) const {
  std::vector<std::string> out;
  std::string_view rest = get(name);
  while (!rest.empty()) {
    std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view part = rest.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    if (!part.empty()) out.emplace_back(part);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return out;
}

std::string SidecarFlags::describe() const {
  std::string out;
  for (const Flag& each : kFlags) {
    const Value& value = at(each.name);
    text::json::Object line{{std::string(each.name), value.text}};
    std::string yaml = text::yaml::dump(text::json::Value(std::move(line)));
    while (yaml.ends_with('\n')) yaml.pop_back();
    out += fmt::format("{}  # {}\n", yaml, label(value.origin));
  }
  return out;
}

}  // namespace baton::cli
