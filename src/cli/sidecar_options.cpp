#include "cli/sidecar_options.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/core/nearest.hpp"
#include "cli/text_file.hpp"

namespace baton::cli {

namespace {

constexpr std::int64_t kMaxRetries = 100;
constexpr std::int64_t kMaxCapacity = 1'000'000;

Status read_ports(const SidecarFlags& flags, const Environment& environment,
                  sidecar::Config& config) {
  BATON_TRY_ASSIGN(config.ports.p2p, flags.port("p2p-connector-port", 1));
  BATON_TRY_ASSIGN(const auto ranks, flags.count("data-parallel-size", 1, 65535));
  if (config.ports.p2p + ranks - 1 > 65535) {
    return invalid("--p2p-connector-port: the port of the last rank is over 65535");
  }
  BATON_TRY_ASSIGN(config.ports.mooncake_bootstrap, flags.port("mooncake-bootstrap-port", 1));
  BATON_TRY_ASSIGN(const bool pull, flags.flag("enable-p2p-pull"));
  if (pull && config.connector != "nixlv2") {
    return invalid("--enable-p2p-pull is for --kv-connector=nixlv2");
  }
  config.pull = pull ? sidecar::Pull::kYes : sidecar::Pull::kNo;
  auto sglang = environment("SGLANG_BOOTSTRAP_PORT");
  if (!sglang || sglang->empty()) return {};
  auto port = parse_port(*sglang);
  if (!port) return invalid(fmt::format("SGLANG_BOOTSTRAP_PORT: '{}' is not a port", *sglang));
  config.ports.sglang_bootstrap = *port;
  return {};
}

// Addresses; names would be looked up once and then be wrong.
Result<std::vector<std::string>> addresses(const SidecarFlags& flags, std::string_view name) {
  std::vector<std::string> out = flags.list(name);
  for (const std::string& host : out) {
    if (!sidecar::canonical_address(host)) {
      return unsupported(
          fmt::format("--{}={}: not an IP address; names are not looked up", name, host));
    }
  }
  return out;
}

Status check_hosts(const sidecar::Moriio& it, const std::vector<std::string>& hosts,
                   std::string_view name) {
  if (hosts.size() < 2) return {};
  if (it.dp_size_local == 0 || it.dp_size % it.dp_size_local != 0) {
    return invalid(fmt::format(
        "--{}: several hosts need --moriio-dp-size-local, which must divide --moriio-dp-size",
        name));
  }
  if (hosts.size() != static_cast<std::size_t>(it.dp_size / it.dp_size_local)) {
    return invalid(fmt::format("--{}: {} hosts, but {} ranks at {} a host", name, hosts.size(),
                               it.dp_size, it.dp_size_local));
  }
  return {};
}

Status read_moriio(const SidecarFlags& flags, sidecar::Config& config) {
  BATON_TRY_ASSIGN(const bool wanted, flags.flag("moriio-write-mode"));
  BATON_TRY_ASSIGN(const bool parallel, flags.flag("moriio-parallel-dispatch"));
  if (parallel && !wanted) {
    return invalid("--moriio-parallel-dispatch needs --moriio-write-mode");
  }
  if (!wanted) return {};
  if (config.connector != "nixlv2") {
    return invalid("--moriio-write-mode is for --kv-connector=nixlv2");
  }
  sidecar::Moriio it;
  it.pod_address = flags.get("moriio-local-pod-ip");
  if (!sidecar::canonical_address(it.pod_address)) {
    return invalid(fmt::format(
        "--moriio-write-mode: --moriio-local-pod-ip (or POD_IP) '{}' is not an IP address",
        it.pod_address));
  }
  BATON_TRY_ASSIGN(it.decode_notify_port, flags.port("moriio-decode-notify-port", 1));
  BATON_TRY_ASSIGN(it.decode_handshake_port, flags.port("moriio-decode-handshake-port", 1));
  BATON_TRY_ASSIGN(it.prefill_notify_port, flags.port("moriio-prefill-notify-port", 1));
  BATON_TRY_ASSIGN(it.prefill_handshake_port, flags.port("moriio-prefill-handshake-port", 1));
  BATON_TRY_ASSIGN(it.decode_wait, flags.duration("moriio-parallel-decode-wait-timeout", Nanos(1)));
  it.dispatch = parallel ? sidecar::Dispatch::kParallel : sidecar::Dispatch::kSerial;
  BATON_TRY_ASSIGN(const auto tp, flags.count("moriio-tp-size", 1, 65535));
  BATON_TRY_ASSIGN(const auto dp, flags.count("moriio-dp-size", 1, 65535));
  BATON_TRY_ASSIGN(const auto local, flags.count("moriio-dp-size-local", 0, 65535));
  it.tp_size = static_cast<int>(tp);
  it.dp_size = static_cast<int>(dp);
  it.dp_size_local = static_cast<int>(local);
  BATON_TRY_ASSIGN(it.remote_hosts, addresses(flags, "moriio-remote-hosts"));
  BATON_TRY_ASSIGN(it.decode_hosts, addresses(flags, "moriio-decode-hosts"));
  BATON_TRY(check_hosts(it, it.remote_hosts, "moriio-remote-hosts"));
  BATON_TRY(check_hosts(it, it.decode_hosts, "moriio-decode-hosts"));
  config.moriio = std::move(it);
  return {};
}

Status read_connector(const SidecarFlags& flags, const Environment& environment,
                      sidecar::Config& config) {
  const std::string& name = flags.get("kv-connector");
  static constexpr std::array<std::string_view, 5> kNames = {"nixlv2", "shared-storage", "sglang",
                                                             "mooncake", "offloading"};
  if (std::ranges::find(kNames, std::string_view(name)) != kNames.end()) {
    config.connector = name;
    BATON_TRY(read_moriio(flags, config));
    return read_ports(flags, environment, config);
  }
  return invalid(
      fmt::format("--kv-connector={}: no such connector{}", name, did_you_mean(name, kNames)));
}

Status read_stages(const SidecarFlags& flags, std::string_view name, bool DialTls::* member,
                   bool value, SidecarOptions& out) {
  for (const std::string& stage : flags.list(name)) {
    if (stage == "prefiller") {
      out.prefiller.*member = value;
    } else if (stage == "decoder") {
      out.decoder.*member = value;
    } else if (stage == "encoder") {
      out.encoder.*member = value;
    } else {
      static constexpr std::array<std::string_view, 3> kStages = {"prefiller", "decoder",
                                                                  "encoder"};
      return invalid(fmt::format("--{}={}: prefiller, decoder or encoder{}", name, stage,
                                 did_you_mean(stage, kStages)));
    }
  }
  return {};
}

Status read_tls(const SidecarFlags& flags, SidecarOptions& out) {
  BATON_TRY_ASSIGN(out.serve_tls, flags.flag("secure-proxy"));
  BATON_TRY_ASSIGN(out.tracing, flags.flag("tracing"));
  out.cert_path = flags.get("cert-path");
  out.ca_file = flags.get("ca-file");
  BATON_TRY(read_stages(flags, "enable-tls", &DialTls::on, true, out));
  return read_stages(flags, "tls-insecure-skip-verify", &DialTls::verify, false, out);
}

Result<std::optional<sidecar::PoolName>> read_pool(const SidecarFlags& flags) {
  const std::string& name = flags.get("inference-pool");
  if (name.empty()) return std::optional<sidecar::PoolName>();
  auto pool = sidecar::parse_pool_name(name, "default");
  if (!pool) return std::move(pool).error().with("--inference-pool");
  pool->group = flags.get("pool-group");
  if (auto type = sidecar::pool_type(pool->group); !type) {
    return std::move(type).error().with("--pool-group");
  }
  return std::optional(*std::move(pool));
}

Status read_protection(const SidecarFlags& flags, SidecarOptions& out) {
  out.config.allowlist_file = flags.get("allowlist-file");
  out.kubeconfig = flags.get("kubeconfig");
  bool file = !out.config.allowlist_file.empty();
  BATON_TRY_ASSIGN(auto pool, read_pool(flags));
  BATON_TRY_ASSIGN(const bool wanted, flags.flag("enable-ssrf-protection"));
  if (!wanted) {
    if (file && flags.given("enable-ssrf-protection")) {
      return invalid("--enable-ssrf-protection=false contradicts --allowlist-file");
    }
    BATON_TRY_ASSIGN(const bool scheduling, flags.flag("self-schedule"));
    if (flags.origin("inference-pool") == Origin::kFlag && !scheduling) {
      out.without_effect.emplace_back(
          "--inference-pool: --enable-ssrf-protection is not given, every prefill endpoint is "
          "dialled");
    }
    return {};
  }
  if (file) {  // of somebody who knows the pods already: no API server is needed
    if (pool && flags.origin("inference-pool") == Origin::kFlag) {
      out.without_effect.emplace_back("--inference-pool: --allowlist-file says what is allowed");
    }
    return {};
  }
  if (!pool) {
    return invalid(
        "--enable-ssrf-protection=true: name the pool with --inference-pool=namespace/name, or the "
        "allowed endpoints with --allowlist-file");
  }
  out.pool = *std::move(pool);
  return {};
}

// How prefill pods are found without a picker.
Status read_scheduling(const SidecarFlags& flags, const Environment& environment,
                       SidecarOptions& out) {
  BATON_TRY_ASSIGN(out.self_schedule, flags.flag("self-schedule"));
  out.endpoints_file = flags.get("self-schedule-endpoints");
  const std::string picker = flags.get("self-schedule-config");
  if (!out.self_schedule) {
    if (out.endpoints_file.empty() && picker.empty()) return {};
    return invalid("--self-schedule-endpoints and --self-schedule-config need --self-schedule");
  }
  BATON_TRY_ASSIGN(auto pool, read_pool(flags));
  if (out.endpoints_file.empty() && !pool) {
    return invalid(
        "--self-schedule: name the pool with --inference-pool=namespace/name, or the endpoints "
        "with --self-schedule-endpoints");
  }
  if (out.endpoints_file.empty()) out.schedule_pool = *std::move(pool);
  const std::string own = environment("POD_IP").value_or(flags.get("host"));
  if (!sidecar::canonical_address(own) || own == "0.0.0.0" || own == "::") {
    return invalid("--self-schedule: POD_IP must say how the pool names this pod");
  }
  out.config.self_schedule = sidecar::SelfScheduling{};
  if (picker.empty()) return {};
  BATON_TRY_ASSIGN(out.config.self_schedule->picker, read_text_file(picker));
  return sidecar::check_picker(out.config.self_schedule->picker,
                               "--self-schedule-config=" + picker);
}

Status read_tickets(const SidecarFlags& flags, SidecarOptions& out) {
  out.ticket_key_file = flags.get("routing-ticket-key-file");
  BATON_TRY_ASSIGN(const bool required, flags.flag("require-routing-ticket"));
  if (out.ticket_key_file.empty() && flags.origin("require-routing-ticket") == Origin::kFlag) {
    return invalid("--require-routing-ticket needs --routing-ticket-key-file");
  }
  out.config.unsigned_routes = required ? sidecar::Unsigned::kRefused : sidecar::Unsigned::kAllowed;
  return {};
}

Status read_addresses(const SidecarFlags& flags, const Environment& environment,
                      SidecarOptions& out) {
  sidecar::Config& config = out.config;
  BATON_TRY_ASSIGN(out.listen.port, flags.port("port", 1));
  out.listen.host = flags.get("host");
  BATON_TRY_ASSIGN(config.decoder.port, flags.port("model-server-port", 1));
  config.decoder.host = flags.get("decoder-host");
  if (config.decoder.host.empty()) return invalid("--decoder-host is empty");
  BATON_TRY_ASSIGN(const auto ranks, flags.count("data-parallel-size", 1, 65535));
  if (std::max(out.listen.port, config.decoder.port) + ranks - 1 > 65535) {
    return invalid(
        fmt::format("--data-parallel-size={}: the ports of the last rank are over 65535", ranks));
  }
  config.ranks = static_cast<int>(ranks);
  config.pod_ip = environment("POD_IP").value_or("");
  BATON_TRY_ASSIGN(const bool scheduling, flags.flag("self-schedule"));
  if (config.pod_ip.empty() && scheduling) config.pod_ip = out.listen.host;
  BATON_TRY_ASSIGN(const std::uint16_t metrics, flags.port("metrics-port", 0));
  if (metrics != 0) out.metrics = http::Endpoint{out.listen.host, metrics};
  return {};
}

Status read_policy(const SidecarFlags& flags, sidecar::Tactics& tactics) {
  std::string policy = flags.get("prefill-failure-policy");
  auto parsed = sidecar::parse_policy(policy);
  if (!parsed) {
    static constexpr std::array<std::string_view, 3> kNames = {"relay", "fallback", "strict"};
    return invalid(fmt::format("--prefill-failure-policy={}: relay, fallback or strict{}", policy,
                               did_you_mean(policy, kNames)));
  }
  tactics.policy = *parsed;
  BATON_TRY_ASSIGN(const auto retries, flags.count("prefill-max-retries", 0, kMaxRetries));
  tactics.retries = static_cast<int>(retries);
  BATON_TRY_ASSIGN(tactics.backoff, flags.duration("prefill-retry-backoff", Nanos()));
  if (retries > 0 && tactics.backoff == Nanos()) {
    return invalid("--prefill-retry-backoff must be over 0 with --prefill-max-retries");
  }
  BATON_TRY_ASSIGN(tactics.prefill_timeout, flags.duration("prefill-timeout", Nanos()));
  BATON_TRY_ASSIGN(tactics.lease, flags.duration("kv-lease", Nanos(1)));
  BATON_TRY_ASSIGN(tactics.lease_margin, flags.duration("kv-lease-margin", Nanos()));
  if (tactics.lease_margin >= tactics.lease) {
    return invalid("--kv-lease-margin must be shorter than --kv-lease: decode could never begin");
  }
  return {};
}

Status read_limits(const SidecarFlags& flags, sidecar::Config& config) {
  auto encoders = sidecar::parse_ec_connector(flags.get("ec-connector"));
  if (!encoders) {
    return invalid(
        fmt::format("--ec-connector={}: ec-example or ec-nixl", flags.get("ec-connector")));
  }
  config.ec_connector = *encoders;
  BATON_TRY_ASSIGN(config.decode_chunk_size, flags.count("decode-chunk-size", 0, 1 << 30));
  BATON_TRY_ASSIGN(config.request_timeout, flags.duration("request-timeout", Millis(1)));
  BATON_TRY_ASSIGN(config.sample_prefillers, flags.flag("enable-prefiller-sampling"));
  BATON_TRY_ASSIGN(config.side_channel_patience, flags.duration("kv-connect-timeout", Nanos()));
  BATON_TRY_ASSIGN(config.warm_up, flags.flag("prefill-warm-up"));
  BATON_TRY_ASSIGN(config.prove_transfers, flags.flag("prove-transfers"));
  bool pairs = config.connector == "nixlv2" && !config.moriio;
  if ((config.warm_up || config.prove_transfers) && !pairs) {
    return invalid("--prefill-warm-up and --prove-transfers are for --kv-connector=nixlv2");
  }
  BATON_TRY_ASSIGN(const auto failures, flags.count("prefill-breaker-failures", 0, 1'000'000));
  config.breaker.failures = static_cast<int>(failures);
  BATON_TRY_ASSIGN(config.fallback_share, flags.share("fallback-budget"));
  BATON_TRY_ASSIGN(const auto capacity, flags.count("decode-capacity", 1, kMaxCapacity));
  config.decode_capacity = static_cast<std::size_t>(capacity);
  BATON_TRY_ASSIGN(const auto idle,
                   flags.count("max-idle-conns-per-host", -kMaxCapacity, kMaxCapacity));
  if (idle > 0) config.idle_connections = static_cast<std::size_t>(idle);  // llm-d: else 1024
  return {};
}

Status read_logging(const SidecarFlags& flags, SidecarOptions& out) {
  static constexpr std::array<std::pair<std::string_view, log::Level>, 4> kLevels = {
      {{"debug", log::Level::kDebug},
       {"info", log::Level::kInfo},
       {"warn", log::Level::kWarn},
       {"error", log::Level::kError}}};
  BATON_TRY_ASSIGN(const bool devel, flags.flag("zap-devel"));
  std::string level = devel && !flags.given("zap-log-level") ? "debug" : flags.get("zap-log-level");
  bool verbose = !level.empty() && level.find_first_not_of("0123456789") == std::string::npos;
  if (verbose) level = level == "0" ? "info" : "debug";  // zap also counts
  const auto* found = std::find_if(kLevels.begin(), kLevels.end(),
                                   [&](const auto& each) { return each.first == level; });
  if (found == kLevels.end()) {
    return invalid(fmt::format("--zap-log-level={}: debug, info, warn or error", level));
  }
  out.log_level = found->second;
  std::string encoder = devel && !flags.given("zap-encoder") ? "console" : flags.get("zap-encoder");
  if (encoder == "json") out.log_style = log::Style::kJson;
  if (encoder == "console") out.log_style = log::Style::kText;
  if (!encoder.empty() && !out.log_style) {
    return invalid(fmt::format("--zap-encoder={}: json or console", encoder));
  }
  return {};
}

}  // namespace

Result<std::optional<SidecarOptions>> parse_sidecar(std::vector<std::string> arguments,
                                                    const Environment& environment) {
  BATON_TRY_ASSIGN(const auto flags, SidecarFlags::parse(std::move(arguments), environment));
  if (!flags) return std::optional<SidecarOptions>();
  SidecarOptions out;
  BATON_TRY(read_connector(*flags, environment, out.config));
  BATON_TRY(read_tls(*flags, out));
  BATON_TRY(read_protection(*flags, out));
  BATON_TRY(read_addresses(*flags, environment, out));
  BATON_TRY(read_scheduling(*flags, environment, out));
  BATON_TRY(read_tickets(*flags, out));
  BATON_TRY(read_policy(*flags, out.config.tactics));
  BATON_TRY(read_limits(*flags, out.config));
  BATON_TRY(read_logging(*flags, out));
  BATON_TRY_ASSIGN(const bool print, flags->flag("print-effective-config"));
  BATON_TRY_ASSIGN(const bool print_too, flags->flag("print-config"));
  if (print || print_too) out.print = flags->describe();
  return std::optional(std::move(out));
}

}  // namespace baton::cli
