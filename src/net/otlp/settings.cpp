#include "net/otlp/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "net/otlp/resource.hpp"

namespace baton::otlp {

namespace {

constexpr std::uint16_t kGrpcPort = 4317, kHttpPort = 4318;  // OTLP 1.x, "default port"
constexpr std::string_view kTracesPath = "/v1/traces";
constexpr std::int64_t kLongest = 600'000;  // ms, of delays and timeouts
constexpr std::int64_t kMostSpans = 1 << 20;

bool is_true(std::string_view text) {
  return http::equal_names(text, "true");  // any case
}

class Reader {
 public:
  Reader(const Environment& environment, const Defaults& defaults)
      : environment_(environment), defaults_(defaults) {}

  Result<std::optional<Settings>> read() {
    BATON_TRY_ASSIGN(const bool wanted, exports());
    if (!wanted) return std::optional<Settings>();
    BATON_TRY(protocol());
    BATON_TRY(endpoint());
    BATON_TRY(headers());
    BATON_TRY(limits());
    BATON_TRY(sampler());
    BATON_TRY(propagators());
    resource();
    return std::optional(std::move(out_));
  }

 private:
  struct Variable {
    std::string name, value;
    bool of_traces = false;  // OTEL_EXPORTER_OTLP_TRACES_…
  };
  std::optional<std::string> get(const std::string& name) const {
    auto value = environment_(name.c_str());
    return value && !value->empty() ? value : std::nullopt;
  }
  // OTEL_EXPORTER_OTLP_<what>: the one of traces wins.
  std::optional<Variable> exporter(std::string_view what) const {
    for (const bool of_traces : {true, false}) {
      auto name = fmt::format("OTEL_EXPORTER_OTLP_{}{}", of_traces ? "TRACES_" : "", what);
      if (auto value = get(name)) return Variable{std::move(name), *std::move(value), of_traces};
    }
    return std::nullopt;
  }
  static Error wrong(const Variable& variable, std::string_view expected) {
    return invalid(fmt::format("{}={}: expected {}", variable.name, variable.value, expected));
  }

  Result<bool> exports() const {
    if (const auto off = get("OTEL_SDK_DISABLED"); off && is_true(*off)) return false;
    const auto how = get("OTEL_TRACES_EXPORTER");
    if (how && *how == "none") return false;
    if (how && *how != "otlp") {
      return unsupported(fmt::format(
          "OTEL_TRACES_EXPORTER={}: spans are sent as otlp, or not at all (none)", *how));
    }
    return how || !defaults_.endpoint.empty() || exporter("ENDPOINT");
  }

  Status protocol() {
    const auto given = exporter("PROTOCOL");
    if (!given || given->value == "grpc") return {};
    if (given->value != "http/protobuf") {
      return unsupported(
          fmt::format("{}={}: expected grpc or http/protobuf", given->name, given->value));
    }
    out_.protocol = Protocol::kHttp;
    return {};
  }

  Status endpoint() {
    auto given = exporter("ENDPOINT");
    if (!defaults_.endpoint.empty()) given = {"--otlp-traces-endpoint", defaults_.endpoint, true};
    const bool over_http = out_.protocol == Protocol::kHttp;
    if (!given) given = {"the default", "http://localhost", false};
    std::string_view rest = given->value;
    const auto insecure = exporter("INSECURE");
    out_.tls = !insecure || !is_true(insecure->value);
    const bool scheme = rest.starts_with("http://") || rest.starts_with("https://");
    constexpr std::string_view kExpected = "http://HOST:PORT or https://HOST:PORT";
    if (scheme) {
      out_.tls = rest.starts_with("https://");
      rest.remove_prefix(rest.find("//") + 2);
    } else if (over_http || rest.contains("://")) {
      return wrong(*given, kExpected);
    }
    const auto authority = rest.substr(0, rest.find('/'));
    const auto port = over_http ? kHttpPort : kGrpcPort;
    auto at = http::parse_endpoint(authority);
    if (!at) at = http::parse_endpoint(fmt::format("{}:{}", authority, port));
    if (!at || at->host.empty() || authority.contains('@')) return wrong(*given, kExpected);
    out_.collector = *std::move(at);
    auto path = rest.substr(authority.size());
    if (!over_http) return {};  // gRPC has a path of its own
    if (given->of_traces) {
      out_.path = path.empty() ? "/" : path;
    } else {
      while (path.ends_with('/')) path.remove_suffix(1);
      out_.path = fmt::format("{}{}", path, kTracesPath);
    }
    return {};
  }

  Status headers() {
    if (const auto given = exporter("HEADERS")) {
      auto pairs = parse_pairs(given->value);
      // What it says may be a credential.
      if (!pairs) return std::move(pairs).error().with(given->name);
      for (const auto& [name, value] : *pairs) {
        const auto unfit = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
        if (std::ranges::any_of(name + value, unfit)) {
          return invalid(fmt::format("{}: control characters in a header", given->name));
        }
        std::string lower = name;  // as HTTP/2 wants it
        std::ranges::transform(lower, lower.begin(), [](unsigned char c) {
          return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        });
        out_.headers.set(lower, value);
      }
    }
    if (const auto given = exporter("COMPRESSION"); given && given->value != "none") {
      return unsupported(
          fmt::format("{}={}: spans are sent uncompressed (none)", given->name, given->value));
    }
    const auto file = [this](std::string_view what) {
      const auto given = exporter(what);
      return given ? given->value : std::string();
    };
    out_.authority_file = file("CERTIFICATE");
    out_.certificate_file = file("CLIENT_CERTIFICATE");
    out_.key_file = file("CLIENT_KEY");
    if (out_.certificate_file.empty() != out_.key_file.empty()) {
      return invalid(
          "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: expected both "
          "or neither");
    }
    return {};
  }

  struct Bounds {
    std::int64_t least, most;
    std::string_view unit;
  };
  static Status number(const std::optional<Variable>& given, Bounds bounds, std::int64_t& into) {
    if (!given) return {};
    const auto& text = given->value;
    std::int64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc() || end != text.data() + text.size() || value < bounds.least ||
        value > bounds.most) {
      return wrong(*given, fmt::format("a whole number of {} from {} to {}", bounds.unit,
                                       bounds.least, bounds.most));
    }
    into = value;
    return {};
  }
  std::optional<Variable> plain(const std::string& name) const {
    auto value = get(name);
    if (!value) return std::nullopt;
    return Variable{name, *std::move(value)};
  }

  Status limits() {
    const auto millis_of = [](Nanos n) { return std::chrono::duration_cast<Millis>(n).count(); };
    const Bounds times{1, kLongest, "milliseconds"};
    const Bounds spans{1, kMostSpans, "spans"};
    std::int64_t timeout = millis_of(out_.timeout), delay = millis_of(out_.delay);
    auto queue = static_cast<std::int64_t>(out_.queue);
    auto batch = std::int64_t{0};
    BATON_TRY(number(plain("OTEL_BSP_EXPORT_TIMEOUT"), times, timeout));
    BATON_TRY(number(exporter("TIMEOUT"), times, timeout));
    BATON_TRY(number(plain("OTEL_BSP_SCHEDULE_DELAY"), times, delay));
    BATON_TRY(number(plain("OTEL_BSP_MAX_QUEUE_SIZE"), spans, queue));
    BATON_TRY(number(plain("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), spans, batch));
    if (batch > queue) {
      return invalid(fmt::format(
          "OTEL_BSP_MAX_EXPORT_BATCH_SIZE={}: expected at most OTEL_BSP_MAX_QUEUE_SIZE, {}", batch,
          queue));
    }
    out_.timeout = Millis(timeout);
    out_.delay = Millis(delay);
    out_.queue = static_cast<std::size_t>(queue);
    out_.batch = batch > 0 ? static_cast<std::size_t>(batch) : std::min(out_.batch, out_.queue);
    return {};
  }

  Status sampler() {
    const auto rule = plain("OTEL_TRACES_SAMPLER");
    auto& sampler = out_.sampler;
    std::string_view name = rule ? std::string_view(rule->value) : "parentbased_traceidratio";
    constexpr std::string_view kParent = "parentbased_";
    sampler.by_parent = name.starts_with(kParent);
    if (sampler.by_parent) name.remove_prefix(kParent.size());
    if (name == "always_on" || name == "always_off") {
      sampler.ratio = name == "always_on" ? 1 : 0;
      return {};
    }
    if (name != "traceidratio") {
      return wrong(*rule, "always_on, always_off or traceidratio, alone or after parentbased_");
    }
    sampler.ratio = defaults_.ratio;
    const auto arg = plain("OTEL_TRACES_SAMPLER_ARG");
    if (!arg) return {};
    const auto& text = arg->value;
    const auto [end, failed] =
        std::from_chars(text.data(), text.data() + text.size(), sampler.ratio);
    if (failed != std::errc() || end != text.data() + text.size() || !(sampler.ratio >= 0) ||
        sampler.ratio > 1) {
      return wrong(*arg, "a number from 0 to 1");
    }
    return {};
  }

  // Baggage is not read; it passes with the other headers.
  Status propagators() const {
    const auto given = plain("OTEL_PROPAGATORS");
    if (!given) return {};
    bool traced = false;
    std::string_view rest = given->value;
    while (!rest.empty()) {
      const auto end = std::min(rest.find(','), rest.size());
      const auto one = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (one != "tracecontext" && one != "baggage") {
        return unsupported(
            fmt::format("OTEL_PROPAGATORS={}: expected tracecontext,baggage", given->value));
      }
      traced = traced || one == "tracecontext";
    }
    if (traced) return {};
    return unsupported(
        fmt::format("OTEL_PROPAGATORS={}: expected tracecontext among them", given->value));
  }

  // Broken attributes cost the attributes, not the traces (picker reference, C017).
  void resource() {
    auto& resource = out_.resource;
    resource = {{"telemetry.sdk.name", "baton"}, {"telemetry.sdk.language", "cpp"}};
    std::string service(defaults_.service);
    if (const auto given = plain("OTEL_RESOURCE_ATTRIBUTES")) {
      const auto pairs = parse_pairs(given->value);
      if (!pairs) {
        out_.warnings.push_back(
            fmt::format("OTEL_RESOURCE_ATTRIBUTES is left out: {}", pairs.error().message()));
      } else {
        for (const auto& [key, value] : *pairs) {
          if (key == "service.name") {
            service = value;
          } else {
            resource.emplace_back(key, value);
          }
        }
      }
    }
    resource.insert(resource.begin(), {"service.name", get("OTEL_SERVICE_NAME").value_or(service)});
  }

  const Environment& environment_;
  const Defaults& defaults_;
  Settings out_;
};

}  // namespace

std::string Settings::url() const {
  return fmt::format("{}://{}{}", tls ? "https" : "http", http::to_string(collector), path);
}

Result<std::optional<Settings>> read_settings(const Environment& environment,
                                              const Defaults& defaults) {
  return Reader(environment, defaults).read();
}

}  // namespace baton::otlp
