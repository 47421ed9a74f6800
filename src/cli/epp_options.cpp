#include "cli/epp_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <map>
#include <utility>

#include "base/core/nearest.hpp"
#include "cli/command.hpp"
#include "cli/flag_values.hpp"
#include "cli/predictor_options.hpp"
#include "cli/print.hpp"

namespace baton::cli {
namespace {

enum class Kind : std::uint8_t { kText, kBool };

struct Flag {
  std::string_view name;
  Kind kind;
  std::string_view fallback;
  std::string_view help;
  const char* variable = nullptr;  // of the environment, where the flag is not given
};
constexpr std::array kFlags = {
    Flag{"grpc-port", Kind::kText, "9002", "ext_proc port"},
    Flag{"grpc-health-port", Kind::kText, "9003", "port of grpc.health.v1, in the clear"},
    Flag{"metrics-port", Kind::kText, "9090", "port of /metrics"},
    Flag{"grpc-max-recv-msg-size", Kind::kText, "64Mi",
         "largest ext_proc message, such as 10MiB or 1048576"},
    Flag{"pool-name", Kind::kText, "", "the InferencePool; this or --endpoint-selector"},
    Flag{"pool-namespace", Kind::kText, "default", "its namespace", "NAMESPACE"},
    Flag{"pool-group", Kind::kText, "inference.networking.k8s.io", "its API group"},
    Flag{"endpoint-selector", Kind::kText, "", "labels of the pods, a=b,c=d, without a pool"},
    Flag{"endpoint-target-ports", Kind::kText, "", "1 to 8 ports of those pods"},
    Flag{"disable-endpoint-subset-filter", Kind::kBool, "false", "ignore subset hints"},
    Flag{"emit-endpoint-scores", Kind::kBool, "false", "tell scores in the dynamic metadata"},
    Flag{"refresh-metrics-interval", Kind::kText, "50ms", "between two scrapes, 50ms or more"},
    Flag{"refresh-prometheus-metrics-interval", Kind::kText, "5s", "of the pool's averages"},
    Flag{"metrics-staleness-threshold", Kind::kText, "2s",
         "endpoints silent for longer are left out of the averages"},
    Flag{"config-file", Kind::kText, "", "EndpointPickerConfig (default: queue, KV use, prefix)"},
    Flag{"config-text", Kind::kText, "", "the same, inline"},
    Flag{"routing-ticket-key-file", Kind::kText, "",
         "key that sidecars share: routes to prefill pods and encoders are signed with it",
         "BATON_ROUTING_TICKET_KEY_FILE"},
    Flag{"secure-serving", Kind::kBool, "true", "TLS on the ext_proc port"},
    Flag{"cert-path", Kind::kText, "", "folder of tls.crt and tls.key (default: self-signed)"},
    Flag{"enable-cert-reload", Kind::kBool, "false", "read them again when they change"},
    Flag{"tls-min-version", Kind::kText, "", "VersionTLS12 or VersionTLS13"},
    Flag{"tls-cipher-suites", Kind::kText, "", "IANA names for TLS 1.2, comma separated"},
    Flag{"health-checking", Kind::kBool, "false", "grpc.health.v1 on the ext_proc port too"},
    Flag{"ha-enable-leader-election", Kind::kBool, "false", "only the holder of a Lease is ready"},
    Flag{"drain-timeout", Kind::kText, "30s", "time from NOT_SERVING to taking no new streams"},
    Flag{"metrics-endpoint-auth", Kind::kBool, "true",
         "in a cluster, the API server says who may read metrics"},
    Flag{"metrics-cert-dir", Kind::kText, "", "folder of tls.crt and tls.key of the metrics port"},
    Flag{"metrics-client-ca-file", Kind::kText, "", "metrics only for certificates of these"},
    Flag{"enable-grpc-stream-metrics", Kind::kBool, "false", "count ext_proc streams as calls"},
    Flag{"allow-experimental-plugins", Kind::kBool, "false", "take plugins that may change or go"},
    Flag{"tracing", Kind::kBool, "true", "send spans as the OTEL_... variables say"},
    Flag{"v", Kind::kText, "2", "verbosity: 2 info, 4 debug"},
    Flag{"zap-log-level", Kind::kText, "", "debug, info, warn, error; beats --v"},
    Flag{"zap-encoder", Kind::kText, "", "json or console (default: by the terminal)"},
    Flag{"threads", Kind::kText, "0", "event loops; 0: by the machine, at most 8"},
    Flag{"kubeconfig", Kind::kText, "", "how to reach the API server (default: the usual places)"},
    Flag{"print-effective-config", Kind::kBool, "false", "print what is in force and exit"},
    Flag{"decision-records", Kind::kText, "256",
         "decisions kept in memory, at /debug/decisions of the metrics port; 0: none"},
    Flag{"record", Kind::kText, "", "append every decision to this file, one JSON object a line"},
    Flag{"replay", Kind::kText, "",
         "decide the records of this file again, print what changes, and exit"},
    Flag{"config", Kind::kText, "", "the configuration to replay under; else --config-file"},
};

// Accepted only with a value that asks for nothing; those that only permit things, with a warning.
struct OffOnly {
  std::string_view name;
  Kind kind;
  std::string_view off;
  std::string_view why;
  bool permits = false;
};
constexpr std::string_view kNoStack = "there are no Go profiles or stack traces to configure";
constexpr std::string_view kMoved =
    "metric names are set in the configuration's data layer; the names of vLLM are built in";
constexpr std::string_view kSource =
    "scheme, path, port and insecureSkipVerify of the plugin metrics-data-source say this now";
constexpr std::array kOffOnly = {
    OffOnly{"grpc-max-send-msg-size", Kind::kText, "",
            "answers are cut into pieces of 62,000 bytes"},
    OffOnly{"enable-pprof", Kind::kBool, "false", kNoStack, true},
    OffOnly{"zap-devel", Kind::kBool, "false", "use --zap-log-level and --zap-encoder"},
    OffOnly{"zap-stacktrace-level", Kind::kText, "", kNoStack},
    OffOnly{"zap-time-encoding", Kind::kText, "rfc3339", "log times are RFC 3339"},
    OffOnly{"total-queued-requests-metric", Kind::kText, "", kMoved},
    OffOnly{"total-running-requests-metric", Kind::kText, "", kMoved},
    OffOnly{"kv-cache-usage-percentage-metric", Kind::kText, "", kMoved},
    OffOnly{"lora-info-metric", Kind::kText, "", kMoved},
    OffOnly{"cache-info-metric", Kind::kText, "", kMoved},
    OffOnly{"model-server-metrics-scheme", Kind::kText, "http", kSource},
    OffOnly{"model-server-metrics-path", Kind::kText, "/metrics", kSource},
    OffOnly{"model-server-metrics-port", Kind::kText, "0", kSource},
    OffOnly{"model-server-metrics-https-insecure-skip-verify", Kind::kBool, "true", kSource},
};

template <class T>
bool read_number(std::string_view text, T& into) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), into);
  return failed == std::errc() && end == text.data() + text.size();
}

// "--poolName=x" -> "pool-name", as the flags are listed.
std::string kebab(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c >= 'A' && c <= 'Z') {
      if (!out.empty() && out.back() != '-') out += '-';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<Kind> kind_of(std::string_view name) {
  const auto* flag = std::ranges::find(kFlags, name, &Flag::name);
  if (flag != kFlags.end()) return flag->kind;
  const auto* off = std::ranges::find(kOffOnly, name, &OffOnly::name);
  return off == kOffOnly.end() ? std::nullopt : std::optional(off->kind);
}

using Values = std::map<std::string, std::string, std::less<>>;

// What was given. `--flag=value`, `--flag value`, and `--flag` alone for true; one dash will do.
Result<Values> read_words(const std::vector<std::string>& words) {
  Values given;
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word.empty()) continue;  // templates leave empty ones where a condition did not hold
    if (!word.starts_with('-') || word == "-" || word == "--") {
      return invalid(fmt::format("'{}' is no flag", word));
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    const auto equals = word.find('=');
    const auto name = kebab(word.substr(0, equals));
    const auto kind = kind_of(name);
    if (!kind) {
      std::vector<std::string_view> names;
      for (const auto& flag : kFlags) names.push_back(flag.name);
      return invalid(fmt::format("no flag --{}{}", name, did_you_mean(name, names)));
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = word.substr(equals + 1);
    } else if (*kind == Kind::kBool) {
      value = "true";
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return invalid(fmt::format("--{} needs a value", name));
    }
    auto& slot = given[name];
    const bool adds = name == "endpoint-target-ports" && !slot.empty();
    slot = adds ? slot + "," + value : value;
  }
  return given;
}

class Reader {
 public:
  Reader(Values given, const EppEnvironment& environment)
      : given_(std::move(given)), environment_(environment) {}

  Result<EppOptions> read();

 private:
  struct Found {
    std::string value, from;
  };
  Found look_up(std::string_view name) const;
  std::string get(std::string_view name) const { return look_up(name).value; }
  Status check_off();
  Status flag(std::string_view name, bool& into) const;
  Status port(std::string_view name, std::uint16_t& into) const;
  Status duration(std::string_view name, Nanos& into) const;
  Status read_bools();
  Status read_numbers();
  Status read_pool();
  Status read_selector();
  Status read_tls();
  Status read_logging();
  Status read_records();
  void read_origins();

  Values given_;
  const EppEnvironment& environment_;
  EppOptions out_;
};

Reader::Found Reader::look_up(std::string_view name) const {
  if (const auto it = given_.find(name); it != given_.end()) return {it->second, "flag"};
  const auto& flag = *std::ranges::find(kFlags, name, &Flag::name);
  if (flag.variable != nullptr) {
    const auto value = environment_(flag.variable);
    if (value && !value->empty()) return {*value, fmt::format("environment {}", flag.variable)};
  }
  return {std::string(flag.fallback), "default"};
}

Status Reader::check_off() {
  for (const auto& each : kOffOnly) {
    const auto it = given_.find(each.name);
    if (it == given_.end()) continue;
    const auto& value = it->second;
    const auto on = to_bool(value);
    const bool off = each.kind == Kind::kBool ? on && on == to_bool(each.off)
                                              : value.empty() || value == each.off;
    if (off) continue;
    auto text = fmt::format("--{}={}: {}", each.name, value, each.why);
    if (each.permits && !on) return invalid(fmt::format("--{}: true or false", each.name));
    if (!each.permits) return unsupported(std::move(text));
    out_.warnings.push_back(std::move(text));
  }
  return {};
}

Status Reader::flag(std::string_view name, bool& into) const {
  const auto value = to_bool(get(name));
  if (!value) return invalid(fmt::format("--{}={}: true or false", name, get(name)));
  into = *value;
  return {};
}

Status Reader::port(std::string_view name, std::uint16_t& into) const {
  const auto text = get(name);
  if (!read_number(text, into)) {
    return invalid(fmt::format("--{}={}: a port (0 to 65535)", name, text));
  }
  return {};
}

Status Reader::duration(std::string_view name, Nanos& into) const {
  const auto value = to_duration(get(name));
  if (!value) {
    return invalid(fmt::format("--{}={}: a duration such as 50ms or 1m30s", name, get(name)));
  }
  into = *value;
  return {};
}

Status Reader::read_bools() {
  BATON_TRY(flag("secure-serving", out_.secure_serving));
  BATON_TRY(flag("enable-cert-reload", out_.cert_reload));
  BATON_TRY(flag("health-checking", out_.health_checking));
  BATON_TRY(flag("ha-enable-leader-election", out_.leader_election));
  BATON_TRY(flag("emit-endpoint-scores", out_.emit_scores));
  BATON_TRY(flag("metrics-endpoint-auth", out_.metrics_auth));
  BATON_TRY(flag("enable-grpc-stream-metrics", out_.stream_metrics));
  BATON_TRY(flag("allow-experimental-plugins", out_.experimental_plugins));
  BATON_TRY(flag("tracing", out_.tracing));
  BATON_TRY(flag("print-effective-config", out_.print_effective_config));
  bool no_subsets = false;
  BATON_TRY(flag("disable-endpoint-subset-filter", no_subsets));
  out_.subset_hints = !no_subsets;
  return {};
}

Status Reader::read_numbers() {
  BATON_TRY(port("grpc-port", out_.grpc_port));
  BATON_TRY(port("grpc-health-port", out_.health_port));
  BATON_TRY(port("metrics-port", out_.metrics_port));
  BATON_TRY(duration("refresh-metrics-interval", out_.refresh_metrics));
  BATON_TRY(duration("refresh-prometheus-metrics-interval", out_.refresh_gauges));
  BATON_TRY(duration("metrics-staleness-threshold", out_.staleness));
  BATON_TRY(duration("drain-timeout", out_.drain_timeout));
  if (out_.refresh_metrics < Millis(50)) {
    out_.refresh_metrics = Millis(50);
    out_.warnings.emplace_back("--refresh-metrics-interval is under 50ms: 50ms it is");
  }
  if (out_.refresh_gauges < Millis(50)) out_.refresh_gauges = Millis(50);
  const auto size = get("grpc-max-recv-msg-size");
  const auto bytes = to_bytes(size);
  if (!bytes) {
    return invalid(
        fmt::format("--grpc-max-recv-msg-size={}: bytes such as 10MiB, 25MB, 1048576", size));
  }
  out_.message_bytes = static_cast<std::size_t>(*bytes);
  const auto threads = get("threads");
  if (!read_number(threads, out_.threads) || out_.threads > 64) {
    return invalid(fmt::format("--threads={}: 0 to 64", threads));
  }
  return {};
}

Status Reader::read_pool() {
  if (const auto pod = environment_("BATON_POD_IP"); pod && !pod->empty()) out_.host = *pod;
  out_.pool_name = get("pool-name");
  out_.pool_group = get("pool-group");
  out_.pod_name = environment_("POD_NAME").value_or("");
  BATON_TRY_ASSIGN(out_.predictor, read_predictor(environment_, out_.warnings));
  out_.kubeconfig = get("kubeconfig");
  out_.pool_namespace = get("pool-namespace");
  if (out_.pool_namespace.empty()) out_.pool_namespace = "default";
  const bool selects = !get("endpoint-selector").empty();
  const bool replays = !get("replay").empty();
  if (selects == !out_.pool_name.empty() && !(replays && !selects)) {
    return invalid(selects ? "--pool-name and --endpoint-selector exclude each other"
                           : "--pool-name or --endpoint-selector is needed");
  }
  if (!selects && given_.contains("endpoint-target-ports")) {
    return invalid("--endpoint-target-ports goes with --endpoint-selector");
  }
  constexpr std::array<std::string_view, 2> kGroups = {"inference.networking.k8s.io",
                                                       "inference.networking.x-k8s.io"};
  if (std::ranges::find(kGroups, out_.pool_group) == kGroups.end()) {
    return invalid(
        fmt::format("--pool-group={}: {} or {}", out_.pool_group, kGroups[0], kGroups[1]));
  }
  out_.ticket_key_file = get("routing-ticket-key-file");
  out_.config_file = get("config-file");
  out_.config_text = get("config-text");
  const auto other = get("config");
  if (!other.empty() && !replays) return invalid("--config goes with --replay; use --config-file");
  if (!other.empty() && !out_.config_file.empty()) {
    return invalid("--config and --config-file exclude each other");
  }
  if (!other.empty()) out_.config_file = other;
  if (!out_.config_file.empty() && !out_.config_text.empty()) {
    return invalid("--config-file and --config-text exclude each other");
  }
  return selects ? read_selector() : Status();
}

Status Reader::read_selector() {
  watch::Target target;
  const auto pieces = [](const std::string& text) {
    std::vector<std::string> out;
    for (std::size_t at = 0; at <= text.size();) {
      const auto comma = std::min(text.find(',', at), text.size());
      out.push_back(text.substr(at, comma - at));
      at = comma + 1;
    }
    return out;
  };
  for (const auto& piece : pieces(get("endpoint-selector"))) {
    const auto equals = piece.find('=');
    if (equals == 0 || equals == std::string::npos || piece.find('!') != std::string::npos) {
      return unsupported(fmt::format(
          "--endpoint-selector: '{}': only label=value, comma separated, is offered", piece));
    }
    const auto value = piece.find_first_not_of('=', equals);
    target.selector[piece.substr(0, equals)] =
        value == std::string::npos ? "" : piece.substr(value);
  }
  for (const auto& piece : pieces(get("endpoint-target-ports"))) {
    std::uint16_t number = 0;
    if (!read_number(piece, number)) {
      return invalid(fmt::format("--endpoint-target-ports: '{}' is no port (0 to 65535)", piece));
    }
    if (std::ranges::find(target.ports, number) == target.ports.end()) {
      target.ports.push_back(number);
    }
  }
  if (target.ports.size() > 8) return invalid("--endpoint-target-ports: at most 8");
  out_.selected = std::move(target);
  return {};
}

Status Reader::read_tls() {
  out_.cert_path = get("cert-path");
  const auto version = get("tls-min-version");
  if (version == "VersionTLS13") {
    out_.tls_min_version = tls::Version::kTls13;
  } else if (version == "VersionTLS10" || version == "VersionTLS11") {
    out_.warnings.push_back(
        fmt::format("--tls-min-version={}: TLS 1.2 is the least here", version));
  } else if (!version.empty() && version != "VersionTLS12") {
    return invalid(fmt::format(
        "--tls-min-version={}: VersionTLS10, VersionTLS11, VersionTLS12 or VersionTLS13", version));
  }
  const auto suites = get("tls-cipher-suites");
  for (std::size_t at = 0; at < suites.size();) {
    const auto comma = std::min(suites.find(',', at), suites.size());
    out_.cipher_suites.push_back(suites.substr(at, comma - at));
    at = comma + 1;
  }
  out_.metrics_cert_dir = get("metrics-cert-dir");
  out_.metrics_client_ca = get("metrics-client-ca-file");
  if (!out_.metrics_client_ca.empty() && out_.metrics_cert_dir.empty()) {
    return invalid("--metrics-client-ca-file goes with --metrics-cert-dir");
  }
  if (out_.cert_reload && out_.cert_path.empty()) {
    out_.warnings.emplace_back("--enable-cert-reload has no effect without --cert-path");
  }
  if (!out_.secure_serving && !out_.cert_path.empty()) {
    out_.warnings.emplace_back("--cert-path has no effect with --secure-serving=false");
  }
  return {};
}

Status Reader::read_logging() {
  int verbosity = 0;
  const auto v = get("v");
  if (!read_number(v, verbosity) || verbosity < 0) {
    return invalid(fmt::format("--v={}: a number", v));
  }
  if (verbosity >= 4) out_.log_level = log::Level::kDebug;
  static constexpr std::array<std::pair<std::string_view, log::Level>, 4> kLevels = {
      {{"debug", log::Level::kDebug},
       {"info", log::Level::kInfo},
       {"warn", log::Level::kWarn},
       {"error", log::Level::kError}}};
  if (const auto level = get("zap-log-level"); !level.empty()) {
    const auto* found = std::ranges::find(kLevels, level, [](const auto& e) { return e.first; });
    if (found == kLevels.end()) {
      return invalid(fmt::format("--zap-log-level={}: debug, info, warn or error", level));
    }
    out_.log_level = found->second;
  }
  const auto encoder = get("zap-encoder");
  if (encoder == "json") out_.log_style = log::Style::kJson;
  if (encoder == "console") out_.log_style = log::Style::kText;
  if (!encoder.empty() && !out_.log_style) {
    return invalid(fmt::format("--zap-encoder={}: json or console", encoder));
  }
  return {};
}

Status Reader::read_records() {
  constexpr std::size_t kMostRecords = 100'000;
  const auto records = get("decision-records");
  if (!read_number(records, out_.records) || out_.records > kMostRecords) {
    return invalid(fmt::format("--decision-records={}: 0 to {}", records, kMostRecords));
  }
  out_.record_file = get("record");
  out_.replay_file = get("replay");
  if (!out_.replay_file.empty() && !out_.record_file.empty()) {
    return invalid("--record and --replay exclude each other");
  }
  return {};
}

void Reader::read_origins() {
  for (const auto& each : kFlags) {
    if (each.name == "print-effective-config") continue;
    auto [value, from] = look_up(each.name);
    out_.origins.push_back(
        {.flag = std::string(each.name), .value = std::move(value), .from = std::move(from)});
  }
}

Result<EppOptions> Reader::read() {
  BATON_TRY(check_off());
  BATON_TRY(read_bools());
  BATON_TRY(read_numbers());
  BATON_TRY(read_pool());
  BATON_TRY(read_tls());
  BATON_TRY(read_logging());
  BATON_TRY(read_records());
  read_origins();
  return std::move(out_);
}

void print_help() {
  cli::print(
      "The endpoint picker: tells an Envoy gateway, over ext_proc, which pods serve a request.\n"
      "Takes the flags of llm-d's picker.\n\n");
  for (const auto& each : kFlags) {
    cli::print("  --{:<36} {}{}{}\n", each.name, each.help,
               each.fallback.empty() ? "" : fmt::format(" [{}]", each.fallback),
               each.variable == nullptr ? "" : fmt::format(" (env {})", each.variable));
  }
  cli::print("\nExample: baton epp --pool-name pool --config-file picker.yaml\n{}\n",
             kUpstreamExitCodes);
}

}  // namespace

Result<std::optional<EppOptions>> parse_epp(const std::vector<std::string>& arguments,
                                            const EppEnvironment& environment) {
  for (const auto& word : arguments) {
    if (word == "--help" || word == "-h") {
      print_help();
      return std::optional<EppOptions>();
    }
  }
  BATON_TRY_ASSIGN(auto given, read_words(arguments));
  BATON_TRY_ASSIGN(auto options, Reader(std::move(given), environment).read());
  return std::optional(std::move(options));
}

}  // namespace baton::cli
