// A routing ticket from outside: whatever its text is, only one that was issued over these claims
// is good, and only once.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "routing/ticket/ticket.hpp"
#include "routing/ticket/verifier.hpp"

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton::ticket;
  const std::string text(data, data + size);
  constexpr std::string_view kKey = "a key that nobody knows";
  const baton::Wall now{std::chrono::seconds(1'800'000'000)};
  Verifier verifier(4);
  const Verdict foreign = verifier.verify(kKey, text, {"r", "10.0.0.7:8000"}, now);
  require(foreign != Verdict::kGood, "a ticket that nobody issued is good");
  require(verifier.remembered() == 0, "a refused ticket is remembered");

  // What is read has one spelling.
  auto read = parse(text);
  if (read) {
    std::string again = "v1." + std::to_string(read->expires_ms) + "." + read->nonce + ".";
    for (const std::uint8_t byte : read->mac) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      again += kDigits[byte >> 4];
      again += kDigits[byte & 15];
    }
    require(again == text, "a ticket of two spellings");
  }

  // Claims are whatever a router was asked to route.
  baton::SeededRandom random(size);
  const Claims claims{text, "10.0.0.7:8000"};
  const std::string mine = issue(kKey, claims, now, random);
  require(verifier.verify(kKey, mine, claims, now) == Verdict::kGood, "my own is not good");
  require(verifier.verify(kKey, mine, claims, now) == Verdict::kReplayed, "it is good twice");
  return 0;
}
