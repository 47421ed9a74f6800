#include "cli/predictor_options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>

#include "net/hub/url.hpp"

namespace baton::cli {
namespace {

Result<epp::PredictorConfig::Server> server_of(const char* variable, std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  BATON_TRY_ASSIGN(auto url, hub::parse_url(text).with(variable));
  if (url.scheme != hub::Scheme::kHttp) {
    return unsupported(fmt::format("{}: the predictor is asked over http:// only", variable));
  }
  while (url.target.ends_with('/')) url.target.pop_back();
  return epp::PredictorConfig::Server{.at = url.endpoint, .path = url.target};
}

class Variables {
 public:
  explicit Variables(const EppEnvironment& environment) : environment_(environment) {}

  // As it is set, and not empty.
  std::optional<std::string> text(const char* name) const {
    auto value = environment_(name);
    if (value && value->empty()) value.reset();
    return value;
  }
  // Leaves `into` when it is not set.
  Status number(const char* name, std::size_t least, std::size_t most, std::size_t& into) const {
    const auto value = text(name);
    if (!value) return {};
    std::size_t number = 0;
    const auto* end = value->data() + value->size();
    const auto [at, failed] = std::from_chars(value->data(), end, number);
    if (failed != std::errc() || at != end || number < least || number > most) {
      return invalid(fmt::format("{}: '{}' is no number from {} to {}", name, *value, least, most));
    }
    into = number;
    return {};
  }

 private:
  const EppEnvironment& environment_;
};

}  // namespace

Result<epp::PredictorConfig> read_predictor(const EppEnvironment& environment,
                                            std::vector<std::string>& warnings) {
  constexpr std::size_t kMost = 1'000'000;
  const Variables variables(environment);
  epp::PredictorConfig out;
  if (const auto url = variables.text("TRAINING_SERVER_URL")) {
    BATON_TRY_ASSIGN(out.training, server_of("TRAINING_SERVER_URL", *url));
  }
  if (const auto urls = variables.text("PREDICTION_SERVER_URL")) {
    out.prediction.clear();
    for (std::string_view rest = *urls;;) {
      const auto comma = rest.find(',');
      BATON_TRY_ASSIGN(const auto server,
                       server_of("PREDICTION_SERVER_URL", rest.substr(0, comma)));
      out.prediction.push_back(server);
      if (comma == std::string_view::npos) break;
      rest.remove_prefix(comma + 1);
    }
  }
  std::size_t flush = 1, timeout = 10, window = 1;
  BATON_TRY(variables.number("LATENCY_MAX_SAMPLE_SIZE", 1, kMost, out.samples));
  BATON_TRY(variables.number("LATENCY_FLUSH_INTERVAL_SEC", 1, 86400, flush));
  BATON_TRY(variables.number("LATENCY_HTTP_TIMEOUT_SEC", 1, 3600, timeout));
  BATON_TRY(variables.number("LATENCY_MAX_BULK_SIZE", 1, 100, out.rows));
  BATON_TRY(variables.number("LATENCY_COALESCE_WINDOW_MS", 0, 100, window));
  BATON_TRY(variables.number("LATENCY_MAX_COALESCED_ROWS", 0, kMost, out.batch_rows));
  BATON_TRY(variables.number("LATENCY_MAX_CONCURRENT_DISPATCHES", 1, 10'000, out.calls));
  out.flush = std::chrono::seconds(flush);
  out.timeout = std::chrono::seconds(timeout);
  out.window = Millis(window);
  for (const auto* name : {"LATENCY_USE_NATIVE_XGBOOST", "LATENCY_METRICS_INTERVAL_SEC"}) {
    if (!variables.text(name)) continue;
    warnings.push_back(
        fmt::format("{} has no effect: models stay with the prediction server", name));
  }
  return out;
}

}  // namespace baton::cli
