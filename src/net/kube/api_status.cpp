#include "net/kube/api_status.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "net/http/message.hpp"

namespace baton::kube {

namespace {

using text::json::Value;

constexpr std::size_t kMaxBodyShown = 256;  // bytes of a body that is no Status
constexpr std::size_t kMaxCauses = 8;

Code code_of(int status, std::string_view reason) {
  if (reason == "Expired" || reason == "Gone" || reason == "AlreadyExists") return Code::kConflict;
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return Code::kInvalid;
    case 401:
    case 403:
      return Code::kDenied;
    case 404:
      return Code::kNotFound;
    case 405:
    case 406:
    case 501:
      return Code::kUnsupported;
    case 408:
    case 504:
      return Code::kTimeout;
    case 409:
    case 410:
      return Code::kConflict;
    case 429:
      return Code::kExhausted;
    default:
      if (status >= 500) return Code::kUnavailable;
      return status >= 400 ? Code::kInvalid : Code::kInternal;
  }
}

// Messages come from elsewhere: no control bytes in a log line.
std::string printable(std::string_view text, std::size_t limit) {
  std::string out(text.substr(0, limit));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  if (text.size() > limit) out += "...";
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

// "; spec.replicas: must be positive" for what the message does not say itself.
std::string causes_of(const Value& status, std::string_view message) {
  const auto* causes = status.find_path({"details", "causes"});
  if (causes == nullptr || causes->if_array() == nullptr) return "";
  std::string out;
  std::size_t shown = 0;
  for (const auto& cause : *causes->if_array()) {
    const auto what = cause.string_at({"message"});
    if (what.empty() || message.find(what) != std::string_view::npos) continue;
    if (++shown > kMaxCauses) return out + "; and more";
    const auto field = cause.string_at({"field"});
    out += fmt::format("; {}{}{}", field, field.empty() ? "" : ": ", printable(what, 1024));
  }
  return out;
}

}  // namespace

Error api_error(const Value& status, std::string_view doing) {
  const auto* number = status.find("code");
  const auto http = number == nullptr ? 0 : number->if_int().value_or(0);
  const auto reason = status.string_at({"reason"});
  const auto message = status.string_at({"message"});
  const int known = http >= 100 && http < 600 ? static_cast<int>(http) : 500;
  const Code code = code_of(known, reason);
  const auto what = message.empty() ? std::string_view(http::reason(known)) : message;
  const bool is_expired = known == 410 || reason == "Expired" || reason == "Gone";
  return {code, fmt::format("{}: {}{}{}", doing, is_expired ? "expired: " : "",
                            printable(what, 4096), causes_of(status, message))};
}

Error api_error(int http_status, std::string_view body, std::string_view doing) {
  const auto parsed = text::json::parse(body);
  if (parsed && parsed->is_object() && parsed->string_at({"kind"}) == "Status") {
    Value status = *parsed;
    status["code"] = http_status;  // what the protocol said, whatever the body repeats
    return api_error(status, doing);
  }
  const Code code = code_of(http_status, "");
  const auto said = printable(body, kMaxBodyShown);
  return {code,
          fmt::format("{}: HTTP {}{}{}{}", doing, http_status,
                      http_status == 410 ? " (expired)" : "", said.empty() ? "" : ": ", said)};
}

bool is_unknown_resource(int http_status, std::string_view body) {
  if (http_status != 404) return false;
  const auto parsed = text::json::parse(body);
  return !parsed || parsed->string_at({"details", "name"}).empty();
}

Error expired(std::string_view doing) {
  return conflict(fmt::format("{}: expired: list again", doing));
}

}  // namespace baton::kube
