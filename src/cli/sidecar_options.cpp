#include "cli/sidecar_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <map>
#include <utility>

#include "base/core/nearest.hpp"

namespace baton::cli {

namespace {

// A flag that is accepted only with a value that asks for nothing.
struct OffOnly {
  std::string_view name;
  std::string_view off;  // "" always counts as off too
  std::string_view why;
};
constexpr std::string_view kNoTls = "TLS is not built yet: the sidecar serves and dials plain HTTP";
constexpr std::string_view kNoPool =
    "the pods of an InferencePool are not watched yet: name the allowed endpoints with "
    "--allowlist-file";
constexpr std::string_view kNoMoriio = "MoRI-IO is not supported";
constexpr std::array kOffOnly = {
    OffOnly{"cert-path", "", kNoTls},
    OffOnly{"enable-tls", "", kNoTls},
    OffOnly{"tls-insecure-skip-verify", "", kNoTls},
    OffOnly{"prefiller-use-tls", "false", kNoTls},
    OffOnly{"decoder-use-tls", "false", kNoTls},
    OffOnly{"prefiller-tls-insecure-skip-verify", "false", kNoTls},
    OffOnly{"decoder-tls-insecure-skip-verify", "false", kNoTls},
    OffOnly{"inference-pool", "", kNoPool},
    OffOnly{"inference-pool-name", "", kNoPool},
    OffOnly{"inference-pool-namespace", "", kNoPool},
    OffOnly{"pool-group", "", kNoPool},
    OffOnly{"ec-connector", "", "there is no encoder stage yet"},
    OffOnly{"data-parallel-size", "1",
            "one sidecar serves one engine; data parallel ranks come later"},
    OffOnly{"mooncake-bootstrap-port", "", "there is no mooncake connector yet"},
    OffOnly{"p2p-connector-port", "", "there is no offloading connector yet"},
    OffOnly{"enable-p2p-pull", "false", "prompts are not pulled from third engines yet"},
    OffOnly{"prefill-max-retries", "0", "a failed prefill is not retried yet"},
    OffOnly{"prefill-retry-backoff", "", "a failed prefill is not retried yet"},
    OffOnly{"decode-chunk-size", "0", "decoding in chunks is not built yet"},
    OffOnly{"tracing", "false", "traces are not exported yet"},
    OffOnly{"configuration", "", "the sidecar is configured by flags only"},
    OffOnly{"configuration-file", "", "the sidecar is configured by flags only"},
    OffOnly{"moriio-write-mode", "false", kNoMoriio},
    OffOnly{"moriio-parallel-dispatch", "false", kNoMoriio},
};

std::optional<bool> to_bool(std::string_view word) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (word == yes) return true;
  }
  for (std::string_view no : {"", "0", "f", "F", "false", "FALSE", "False"}) {
    if (word == no) return false;
  }
  return std::nullopt;
}

// "600s", "1m30s", "200ms" as Go writes durations.
std::optional<Nanos> to_duration(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, double>, 6> kUnits = {
      {{"ms", 1e6}, {"us", 1e3}, {"ns", 1}, {"h", 3600e9}, {"m", 60e9}, {"s", 1e9}}};
  double total = 0;
  if (text.empty()) return std::nullopt;
  while (!text.empty()) {
    double count = 0;
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (failed != std::errc() || count < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                    [&](const auto& u) { return text.starts_with(u.first); });
    if (unit == kUnits.end()) return std::nullopt;
    text.remove_prefix(unit->first.size());
    total += count * unit->second;
  }
  constexpr double kYear = 365.0 * 24 * 3600e9;
  if (total <= 0 || total > kYear) return std::nullopt;
  return Nanos(static_cast<std::int64_t>(total));
}

Result<std::uint16_t> to_port(std::string_view flag, std::string_view text, std::uint16_t least) {
  std::uint16_t port = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (failed != std::errc() || end != text.data() + text.size() || port < least) {
    return invalid(fmt::format("--{}: '{}' is not a port ({}..65535)", flag, text, least));
  }
  return port;
}

// What was given, as text: flag, else environment, else default.
class Flags {
 public:
  Flags(CLI::App& app, const Environment& environment) : app_(app), environment_(environment) {}

  void add(const std::string& name, std::string fallback, const std::string& help,
           const char* variable = nullptr) {
    std::string text = help;
    if (!fallback.empty()) text += fmt::format(" [{}]", fallback);
    if (variable != nullptr) text += fmt::format(" (env {})", variable);
    add_option(name, text, "Flags");
    Given& given = values_[name];
    given.fallback = std::move(fallback);
    if (variable != nullptr) {
      if (auto set = environment_(variable)) given.fallback = *std::move(set);
    }
  }
  void add_hidden(const std::string& name) { add_option(name, "", ""); }

  bool given(const std::string& name) const { return app_.get_option("--" + name)->count() > 0; }
  std::string get(const std::string& name) const {
    const Given& value = values_.at(name);
    if (!given(name)) return value.fallback;
    return value.text;
  }

 private:
  struct Given {
    std::string text;
    std::string fallback;
  };

  void add_option(const std::string& name, const std::string& help, const std::string& group) {
    std::string* text = &values_[name].text;
    app_.add_option_function<std::vector<std::string>>(
            "--" + name,
            [text](const std::vector<std::string>& all) {
              *text = all.empty() || all.front().empty() ? "" : all.front();
            },
            help)
        ->expected(0, 1)
        ->take_last()
        ->group(group);
  }

  CLI::App& app_;
  const Environment& environment_;
  std::map<std::string, Given> values_;
};

void declare(Flags& flags) {
  flags.add("port", "8000", "listen port");
  flags.add("host", "0.0.0.0", "listen address", "BATON_POD_IP");
  flags.add("model-server-port", "8200", "port of the decode engine");
  flags.add("vllm-port", "", "older name of --model-server-port");
  flags.add("decoder-host", "localhost", "address of the decode engine", "BATON_POD_IP");
  flags.add("kv-connector", "nixlv2", "KV protocol between the engines: nixlv2");
  flags.add("connector", "", "older name of --kv-connector");
  flags.add("prefill-failure-policy", "relay",
            "relay: the prefill engine's error goes to the client; fallback: the decode engine "
            "computes the prompt; strict: as relay, and a prefill without KV is an error",
            "BATON_PREFILL_FAILURE_POLICY");
  flags.add("request-timeout", "600s", "for both legs together, 1ms or more");
  flags.add("allowlist-file", "", "prefill endpoints that may be dialled, one ip:port a line");
  flags.add("enable-ssrf-protection", "", "true needs --allowlist-file; a file alone means true");
  flags.add("enable-prefiller-sampling", "false", "a random prefill candidate, not the first",
            "ENABLE_PREFILLER_SAMPLING");
  flags.add("max-idle-conns-per-host", "1024", "kept connections per engine");
  flags.add("metrics-port", "0", "a second plain listener for GET /metrics; 0: none");
  flags.add("secure-proxy", "true", "must be false: TLS is not built yet");
  flags.add("zap-log-level", "info", "debug, info, warn, error");
  flags.add("zap-encoder", "", "json or console");
  for (const OffOnly& each : kOffOnly) flags.add_hidden(std::string(each.name));
}

Status check_off(const Flags& flags) {
  for (const OffOnly& each : kOffOnly) {
    std::string name(each.name);
    if (!flags.given(name)) continue;
    std::string value = flags.get(name);
    bool off = value.empty() || value == each.off ||
               (each.off == "false" && to_bool(value) == std::optional(false));
    if (!off) return unsupported(fmt::format("--{}={}: {}", each.name, value, each.why));
  }
  if (to_bool(flags.get("secure-proxy")) != std::optional(false)) {
    return unsupported(fmt::format("--secure-proxy={}: {}; pass --secure-proxy=false",
                                   flags.get("secure-proxy"), kNoTls));
  }
  return {};
}

Status read_connector(const Flags& flags) {
  std::string name = flags.given("kv-connector") || flags.get("connector").empty()
                         ? flags.get("kv-connector")
                         : flags.get("connector");
  if (name == "nixlv2") return {};
  for (std::string_view other : {"shared-storage", "lmcache", "sglang", "mooncake", "offloading"}) {
    if (name == other) {
      return unsupported(
          fmt::format("--kv-connector={}: the one connector so far is nixlv2", name));
    }
  }
  return invalid(fmt::format("--kv-connector={}: no such connector; there is nixlv2", name));
}

Status read_allowlist(const Flags& flags, sidecar::Config& config) {
  config.allowlist_file = flags.get("allowlist-file");
  if (!flags.given("enable-ssrf-protection")) return {};
  std::optional<bool> wanted = to_bool(flags.get("enable-ssrf-protection"));
  if (!wanted) return invalid("--enable-ssrf-protection is true or false");
  if (*wanted && config.allowlist_file.empty()) {
    return unsupported(fmt::format("--enable-ssrf-protection=true: {}", kNoPool));
  }
  if (!*wanted && !config.allowlist_file.empty()) {
    return invalid("--enable-ssrf-protection=false contradicts --allowlist-file");
  }
  return {};
}

Status read_addresses(const Flags& flags, SidecarOptions& out) {
  BATON_TRY_ASSIGN(out.listen.port, to_port("port", flags.get("port"), 1));
  out.listen.host = flags.get("host");
  bool old = !flags.given("model-server-port") && !flags.get("vllm-port").empty();
  std::string name = old ? "vllm-port" : "model-server-port";
  BATON_TRY_ASSIGN(out.config.decoder.port, to_port(name, flags.get(name), 1));
  out.config.decoder.host = flags.get("decoder-host");
  if (out.config.decoder.host.empty()) return invalid("--decoder-host is empty");
  BATON_TRY_ASSIGN(std::uint16_t metrics, to_port("metrics-port", flags.get("metrics-port"), 0));
  if (metrics != 0) out.metrics = http::Endpoint{out.listen.host, metrics};
  return {};
}

Status read_behaviour(const Flags& flags, sidecar::Config& config) {
  std::string policy = flags.get("prefill-failure-policy");
  auto parsed = sidecar::parse_policy(policy);
  if (!parsed) {
    static constexpr std::array<std::string_view, 3> kNames = {"relay", "fallback", "strict"};
    return invalid(fmt::format("--prefill-failure-policy={}: relay, fallback or strict{}", policy,
                               did_you_mean(policy, kNames)));
  }
  config.tactics.policy = *parsed;
  auto timeout = to_duration(flags.get("request-timeout"));
  if (!timeout || *timeout < Millis(1)) {
    return invalid(fmt::format("--request-timeout={}: a duration such as 600s or 1m30s",
                               flags.get("request-timeout")));
  }
  config.request_timeout = *timeout;
  auto sampling = to_bool(flags.get("enable-prefiller-sampling"));
  if (!sampling) return invalid("--enable-prefiller-sampling is true or false");
  config.sample_prefillers = *sampling;
  std::string idle = flags.get("max-idle-conns-per-host");
  int count = 0;
  auto [end, failed] = std::from_chars(idle.data(), idle.data() + idle.size(), count);
  if (failed != std::errc() || end != idle.data() + idle.size()) {
    return invalid(fmt::format("--max-idle-conns-per-host={}: not a number", idle));
  }
  if (count > 0) config.idle_connections = static_cast<std::size_t>(count);
  return {};
}

Status read_logging(const Flags& flags, SidecarOptions& out) {
  static constexpr std::array<std::pair<std::string_view, log::Level>, 4> kLevels = {
      {{"debug", log::Level::kDebug},
       {"info", log::Level::kInfo},
       {"warn", log::Level::kWarn},
       {"error", log::Level::kError}}};
  std::string level = flags.get("zap-log-level");
  const auto* found = std::find_if(kLevels.begin(), kLevels.end(),
                                   [&](const auto& each) { return each.first == level; });
  if (found == kLevels.end()) {
    return invalid(fmt::format("--zap-log-level={}: debug, info, warn or error", level));
  }
  out.log_level = found->second;
  std::string encoder = flags.get("zap-encoder");
  if (encoder == "json") out.log_style = log::Style::kJson;
  if (encoder == "console") out.log_style = log::Style::kText;
  if (!encoder.empty() && !out.log_style) {
    return invalid(fmt::format("--zap-encoder={}: json or console", encoder));
  }
  return {};
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
  std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
}

}  // namespace

Result<std::optional<SidecarOptions>> parse_sidecar(std::vector<std::string> arguments,
                                                    const Environment& environment) {
  CLI::App app{
      "P/D routing sidecar: in front of the decode engine, runs the prefill leg first.\n"
      "Takes the flags of llm-d's sidecar.",
      "sidecar"};
  app.footer(
      "Answers always carry the proof headers (x-baton-..., Server-Timing): the gateway needs "
      "them.\n"
      "Example: baton sidecar --port 8000 --model-server-port 8001 --secure-proxy=false");
  Flags flags(app, environment);
  declare(flags);
  normalise(arguments);
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return std::optional<SidecarOptions>();
  } catch (const CLI::ParseError& e) {
    return invalid(fmt::format("{} (--help lists the flags)", e.what()));
  }
  SidecarOptions out;
  BATON_TRY(read_connector(flags));
  BATON_TRY(check_off(flags));
  BATON_TRY(read_allowlist(flags, out.config));
  BATON_TRY(read_addresses(flags, out));
  BATON_TRY(read_behaviour(flags, out.config));
  BATON_TRY(read_logging(flags, out));
  return std::optional(std::move(out));
}

}  // namespace baton::cli
