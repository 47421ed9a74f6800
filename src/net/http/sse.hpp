#pragma once
// Server-sent events, as far as OpenAI streams use them: lines, and what follows "data:".

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace baton::http {

// Cuts a byte stream into lines, whatever the pieces it comes in. A line that lies within one piece
// is not copied.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t limit) : limit_(limit) {}

  // Calls on_line(std::string_view) for each complete line, its terminator (LF or CRLF) included.
  // The view is valid during the call. False when a line passes the limit; then the splitter is
  // of no further use.
  template <class F>
  [[nodiscard]] bool feed(std::string_view piece, F&& on_line) {
    for (;;) {
      std::size_t end = piece.find('\n');
      if (end == std::string_view::npos) break;
      std::string_view line = piece.substr(0, end + 1);
      piece.remove_prefix(end + 1);
      if (kept_.size() + line.size() > limit_) return false;
      if (kept_.empty()) {
        on_line(line);
      } else {
        kept_ += line;
        on_line(std::string_view(kept_));
        kept_.clear();
      }
    }
    if (kept_.size() + piece.size() > limit_) return false;
    kept_ += piece;
    return true;
  }

  // The unfinished last line.
  std::string_view rest() const { return kept_; }

 private:
  std::size_t limit_;
  std::string kept_;
};

// The payload of a "data: …" line, without its terminator; nullopt for every other line.
inline std::optional<std::string_view> sse_data(std::string_view line) {
  if (!line.starts_with("data:")) return std::nullopt;
  line.remove_prefix(5);
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace baton::http
