#pragma once
// A watch as it arrives: one JSON document a line. Pure.
// https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes

#include <optional>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

inline constexpr std::size_t kMaxWatchLine = std::size_t{16} << 20;  // bytes

class WatchDecoder {
 public:
  // `keep` is of the objects; null: everything. It must outlive this.
  WatchDecoder(const Type& type, const text::json::Keep* keep);

  void feed(std::string_view piece);

  struct Message {
    std::optional<Event> event;  // nullopt: a bookmark
    Version version;             // to resume from
  };
  // The next one that is complete. Errors: of an ERROR event as api_error() maps them (kConflict:
  // expired); kUnavailable: a line that is no event, or over the limit.
  Result<std::optional<Message>> next();
  // Starts over with an empty buffer.
  void reset();
  // Whether bytes of an incomplete line are waiting.
  bool mid_line() const { return at_ < buffer_.size(); }

 private:
  Result<Message> read(std::string_view line);

  const Type type_;
  const text::json::Keep* const keep_;
  text::json::Parser parser_;
  std::string buffer_;
  std::size_t at_ = 0;       // what is before it has been read
  std::size_t scanned_ = 0;  // no line ends before it
};

}  // namespace baton::kube
