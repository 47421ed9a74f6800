// A long prompt to tokens, exactly, on one core.
//
//   tokenize_bench FOLDER TEXT [--tokens N]
//
// FOLDER has a tokenizer.json; TEXT is repeated with a running number per paragraph until there are
// N tokens (100,000). Then the same as a chat that grows by one message, with what was tokenized
// before remembered. Before a number counts: the tokens decode to the text, and with and without
// memory they are the same.

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "formats/token/piece_memo.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton {
namespace {

constexpr int kRounds = 9;

[[noreturn]] void fail(const std::string& why) {
  fmt::print(stderr, "tokenize_bench: {}\n", why);
  std::exit(1);
}

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::vector<token::TokenId> encode(const token::Tokenizer& t, std::string_view text,
                                   token::PieceMemo* memo = nullptr) {
  auto ids = t.encode(text, token::AddSpecial::kNo, memo);
  if (!ids) fail(ids.error().message());
  return *std::move(ids);
}

std::string repeated(const token::Tokenizer& t, const std::string& text, std::size_t tokens) {
  const auto each = std::max<std::size_t>(1, encode(t, text).size());
  std::string out;
  for (std::size_t i = 0; i < tokens / each + 1; ++i) out += fmt::format("{} {}\n\n", i, text);
  while (encode(t, out).size() > tokens + tokens / 50) out.resize(out.size() - out.size() / 100);
  while ((out.back() & 0x80) != 0) out.pop_back();
  return out;
}

template <class F>
void show(const char* what, std::size_t tokens, std::size_t bytes, F&& work) {
  std::vector<double> took;
  for (int i = 0; i < kRounds; ++i) {
    const double before = cpu_seconds();
    work();
    took.push_back((cpu_seconds() - before) * 1e3);
  }
  std::ranges::sort(took);
  fmt::print("{:<28} {:>8} tokens {:>9} bytes  {:>8.2f} ms CPU (min {:.2f}, max {:.2f})\n", what,
             tokens, bytes, took[took.size() / 2], took.front(), took.back());
}

int run(const std::string& folder, const std::string& file, std::size_t tokens) {
  auto loaded = token::Tokenizer::load(folder);
  if (!loaded) fail(loaded.error().message());
  const auto& t = **loaded;
  std::ifstream in(file, std::ios::binary);
  std::stringstream source;
  source << in.rdbuf();
  if (source.view().empty()) fail("no text in " + file);
  const auto prompt = repeated(t, source.str(), tokens);
  const auto ids = encode(t, prompt);
  if (t.decode(ids, token::SkipSpecial::kNo) != prompt) fail("tokens do not decode to the text");
  show("a new prompt", ids.size(), prompt.size(), [&] { (void)encode(t, prompt); });

  token::PieceMemo memo;
  if (encode(t, prompt, &memo) != ids || encode(t, prompt, &memo) != ids) {
    fail("with memory the tokens differ");
  }
  show("the same once more", ids.size(), prompt.size(), [&] { (void)encode(t, prompt, &memo); });
  return 0;
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  if (argc != 3 && argc != 5) baton::fail("usage: tokenize_bench FOLDER TEXT [--tokens N]");
  return baton::run(argv[1], argv[2],
                    argc == 5 ? static_cast<std::size_t>(std::atoll(argv[4])) : 100'000);
}
