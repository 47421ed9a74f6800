#include "net/kube/watch_decoder.hpp"

#include <fmt/format.h>

#include "net/kube/api_status.hpp"

namespace baton::kube {

namespace {

std::string doing(const Type& type) { return fmt::format("watch of {}", type.kind); }

std::optional<Event::Kind> kind_of(std::string_view type) {
  if (type == "ADDED") return Event::Kind::kAdded;
  if (type == "MODIFIED") return Event::Kind::kModified;
  if (type == "DELETED") return Event::Kind::kDeleted;
  return std::nullopt;
}

}  // namespace

WatchDecoder::WatchDecoder(const Type& type, const text::json::Keep* keep)
    : type_(type), keep_(keep) {}

void WatchDecoder::feed(std::string_view piece) {
  if (at_ > 0) {
    buffer_.erase(0, at_);
    scanned_ -= at_;
    at_ = 0;
  }
  buffer_ += piece;
}

void WatchDecoder::reset() {
  buffer_.clear();
  at_ = scanned_ = 0;
}

Result<std::optional<WatchDecoder::Message>> WatchDecoder::next() {
  while (true) {
    const auto end = buffer_.find('\n', scanned_);
    if (end == std::string::npos) {
      scanned_ = buffer_.size();
      if (buffer_.size() - at_ > kMaxWatchLine) {
        return unavailable(
            fmt::format("{}: an event of more than {} bytes", doing(type_), kMaxWatchLine));
      }
      return std::optional<Message>();
    }
    const std::string_view line = std::string_view(buffer_).substr(at_, end - at_);
    at_ = scanned_ = end + 1;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    BATON_TRY_ASSIGN(Message message, read(line));
    return std::optional<Message>(std::move(message));
  }
}

Result<WatchDecoder::Message> WatchDecoder::read(std::string_view line) {
  auto parsed = parser_.parse_around(line, "object", keep_);
  if (!parsed) return unavailable(fmt::format("{}: {}", doing(type_), parsed.error().message()));
  const auto type = parsed->string_at({"type"});
  if (type == "ERROR") {
    const auto whole = parser_.parse(line, nullptr);
    const auto* status = whole ? whole->find("object") : nullptr;
    return api_error(status == nullptr ? Object() : *status, doing(type_));
  }
  Message out;
  out.version = parsed->string_at({"object", "metadata", "resourceVersion"});
  if (out.version.empty()) {
    return unavailable(
        fmt::format("{}: an event without /object/metadata/resourceVersion", doing(type_)));
  }
  if (type == "BOOKMARK") return out;
  const auto kind = kind_of(type);
  if (!kind) {
    return unavailable(
        fmt::format("{}: /type: expected ADDED, MODIFIED, DELETED, BOOKMARK or "
                    "ERROR, got '{}'",
                    doing(type_), type.substr(0, 64)));
  }
  out.event = Event{*kind, std::move(*parsed->find("object"))};
  if (out.event->object.find("kind") == nullptr) out.event->object["kind"] = type_.kind;
  if (out.event->object.find("apiVersion") == nullptr) {
    out.event->object["apiVersion"] = type_.api_version();
  }
  return out;
}

}  // namespace baton::kube
