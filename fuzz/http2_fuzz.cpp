// An HTTP/2 server's session: whatever the bytes, in one piece or byte by byte, it ends, stays
// within its bounds and does not hold more streams than it allows.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/http2/session.hpp"

namespace {

using namespace baton;

constexpr http2::Limits kLimits{.streams = 4,
                                .header_bytes = 512,
                                .header_fields = 16,
                                .stream_window = 1024,
                                .connection_window = 70'000,
                                .reset_burst = 8,
                                .resets_per_second = 1};

// Answers each request with what it sent; consumes half.
class Echo final : public http2::Events {
 public:
  void on_headers(http2::Stream& stream, http::Headers fields, http2::End end) override {
    std::size_t bytes = 0;
    for (const auto& field : fields) bytes += field.name.size() + field.value.size();
    if (bytes > kLimits.header_bytes) std::abort();
    if (stream.owner == nullptr) {
      stream.owner = this;
      session->respond(stream, {{":status", "200"}});
    }
    if (end == http2::End::kYes) finish(stream);
  }
  void on_data(http2::Stream& stream, std::string_view bytes) override {
    session->consumed(stream, bytes.size() / 2);
    if (!ended(stream)) session->send(stream, std::span(&bytes, 1));
  }
  void on_end(http2::Stream& stream) override { finish(stream); }
  void on_closed(http2::Stream& /*stream*/, http2::Reset /*reason*/) override {}
  void on_goaway() override {}

  http2::Session* session = nullptr;

 private:
  bool ended(const http2::Stream& stream) const { return stream.owner != this; }
  void finish(http2::Stream& stream) {
    if (ended(stream)) return;
    session->finish(stream, {{"grpc-status", "0"}});
    stream.owner = session;
  }
};

void run(std::string_view bytes, std::size_t step) {
  Echo events;
  http2::Session session(http2::Role::kServer, kLimits, events);
  events.session = &session;
  std::string out;
  while (!bytes.empty() && !session.done()) {
    const std::string_view piece = bytes.substr(0, step);
    bytes.remove_prefix(piece.size());
    const bool good = static_cast<bool>(session.receive(piece));
    session.pull(out, out.size() + 4096);
    if (session.open_streams() > kLimits.streams + 1) std::abort();
    if (!good) break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string input = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";  // the preface, RFC 9113 3.4
  input.append(reinterpret_cast<const char*>(data), size);
  run(input, input.size());
  run(input, 1);
  return 0;
}
