#include "routing/sidecar/store_answer.hpp"

#include "base/text/json.hpp"

namespace baton::sidecar {

namespace {

constexpr std::size_t kEvents = 2;

bool is_stream(const http::ResponseHead& head) {
  return head.headers.get("Content-Type").value_or("").starts_with("text/event-stream");
}

bool missed_in(std::string_view json) {
  auto body = text::json::parse(json);
  const auto* choices = body ? body->find("choices") : nullptr;
  if (choices == nullptr || !choices->is_array()) return false;
  for (const auto& each : *choices->if_array()) {
    if (each.string_at({"finish_reason"}) == "cache_threshold") return true;
  }
  return false;
}

}  // namespace

bool StoreAnswer::add(std::string_view piece) {
  if (text_.size() + piece.size() > kMax) return false;
  text_ += piece;
  for (;;) {
    std::size_t unix_end = text_.find("\n\n", counted_);
    std::size_t other_end = text_.find("\r\n\r\n", counted_);
    std::size_t at = std::min(unix_end, other_end);
    if (at == std::string::npos) return true;
    ++events_;
    counted_ = at + (at == other_end ? 4 : 2);
  }
}

bool StoreAnswer::settled(const http::ResponseHead& head) const {
  return is_stream(head) && events_ >= kEvents;
}

bool StoreAnswer::missed(const http::ResponseHead& head) const {
  if (!is_stream(head)) return missed_in(text_);
  std::string_view rest = text_;
  while (!rest.empty()) {
    std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.starts_with("data:") && missed_in(line.substr(5))) return true;
  }
  return false;
}

}  // namespace baton::sidecar
