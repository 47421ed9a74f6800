// request-attribute-reporter and destination-endpoint-served-verifier: what is told of an answer,
// to the proxy and to a test's client (picker reference 4.5). Whoever serves tells it.

#include <fmt/format.h>

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

UsageExpression read(Fields& fields, std::string_view key, UsageExpression::Type type) {
  auto parsed = UsageExpression::parse(fields.text(key, ""), type);
  if (parsed) return *std::move(parsed);
  fields.fail(key, parsed.error().message());
  return {};
}

}  // namespace

std::optional<std::int64_t> reported(const UsageReport& report, const TokenCounts& counts) {
  constexpr double kMost = 9e15;  // whole numbers that a double has exactly
  if (report.condition && report.condition->of(counts) != std::optional(1.0)) return std::nullopt;
  const auto value = report.value.of(counts);
  if (!value || *value > kMost || *value < -kMost) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(*value);
  return whole == 0 ? std::nullopt : std::optional(whole);
}

Plugin make_request_attribute_reporter(Fields& parameters) {
  using Type = UsageExpression::Type;
  UsageReport report;
  const auto& items = parameters.array("attributes");
  if (items.size() != 1) {
    parameters.fail("attributes", fmt::format("one entry is expected, there are {}", items.size()));
  }
  if (!items.empty()) {
    Fields one(items[0], text::json::pointer(parameters.pointer() + "/attributes", 0),
               parameters.settings());
    auto key = one.object("key");
    if (auto ns = key.text("namespace", report.ns); !ns.empty()) report.ns = std::move(ns);
    report.key = key.text("name", "");
    if (report.key.empty()) key.fail("name", "the name under which the value is told is missing");
    one.take_error(key);
    report.value = read(one, "expression", Type::kNumber);
    if (!one.text("condition", "").empty()) {
      report.condition = read(one, "condition", Type::kBoolean);
    }
    parameters.take_error(one);
  }
  Plugin plugin;
  plugin.service = std::move(report);
  return plugin;
}

Plugin make_served_verifier(Fields&) {
  Plugin plugin;
  plugin.service = ServedVerifier{};
  return plugin;
}

}  // namespace baton::schedule
