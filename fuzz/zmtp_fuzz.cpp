// A hostile peer on a ZMTP connection; the first byte says what we are. However the bytes are cut,
// the same messages come out.

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "net/zmtp/session.hpp"

namespace {

namespace zmtp = baton::zmtp;

struct Outcome {
  std::vector<zmtp::Message> messages;
  std::string error, out;
};

Outcome run(zmtp::Role role, std::string_view bytes, std::size_t step) {
  zmtp::Session session(role, {.message = 1 << 16});
  Outcome outcome;
  for (std::size_t at = 0; at < bytes.size(); at += step) {
    session.feed(bytes.substr(at, step));
    for (auto message = session.next();; message = session.next()) {
      if (!message) {
        outcome.error = message.error().message();
        return outcome;
      }
      if (!*message) break;
      outcome.messages.push_back(**message);
    }
  }
  outcome.out = session.out();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto role = static_cast<zmtp::Role>(data[0] % 4);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = run(role, bytes, bytes.size() + 1);
  const auto cut = run(role, bytes, 3);
  if (whole.messages != cut.messages || whole.error != cut.error || whole.out != cut.out) {
    std::abort();
  }
  return 0;
}
