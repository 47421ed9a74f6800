// What the page at /ui shows of a request, and the paths it is asked for: from a client's words and
// an engine's answer, whatever they are, JSON that can be read, of a bounded length.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text/json.hpp"
#include "formats/openai/live_requests.hpp"
#include "routing/gateway/board.hpp"
#include "routing/gateway/page.hpp"

namespace {

namespace gateway = baton::gateway;

constexpr std::size_t kMaxCard = 8192;  // bytes: every text is bounded, however often it is escaped

void check(bool holds) {
  if (!holds) std::abort();
}

void ask(std::string_view path) {
  if (const auto file = gateway::page_file(path)) check(!file->content.empty());
  if (const auto serial = gateway::serial_of(path)) {
    check(path.ends_with(std::to_string(*serial)));
    check(!gateway::page_file(path));
  }
}

// What an engine says of its requests is told on as it was understood.
void hear(std::string_view text) {
  const auto said = baton::openai::read_live_requests(text);
  if (said)
    check(*baton::openai::read_live_requests(baton::openai::live_requests_json(*said)) == *said);
}

std::string_view take_line(std::string_view& text) {
  const auto end = text.find('\n');
  const auto line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

}  // namespace

// A path, a request id, a model, then the answer's headers, a line each.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  hear(text);
  ask(take_line(text));
  gateway::Board board;
  const auto card = board.open(take_line(text), {}, {});
  card->model = baton::openai::legible(take_line(text));
  baton::http::ResponseHead head{200, {}};
  while (!text.empty()) {
    const auto line = take_line(text);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    head.headers.add(std::string(line.substr(0, colon)), std::string(line.substr(colon + 1)));
  }
  card->answered(head, {});
  const auto shown = baton::text::json::dump(board.to_json({}));
  check(shown.size() < kMaxCard);
  const auto read = baton::text::json::parse(shown);
  check(read && read->if_array()->size() == 1);
  check(board.find(card->serial) == card.get());
  return 0;
}
