// A long prompt to tokens, exactly, on one core.
//
//   tokenize_bench FOLDER TEXT [--tokens N | --expect FILE]
//
// FOLDER has a tokenizer.json; TEXT is repeated with a running number per paragraph until there are
// N tokens (100,000), or taken as it is where FILE has the tokens that it must come to. Then the
// same once more, with what was tokenized before remembered. Before a number counts: the tokens
// decode to the text, and with and without memory they are the same.

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "cpu_time.hpp"
#include "figures.hpp"
#include "flags.hpp"
#include "formats/token/piece_memo.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton {
namespace {

using bench::cpu_seconds;
using bench::fail;
using bench::must;
using bench::read_file;

constexpr int kRounds = 9;

std::vector<token::TokenId> encode(const token::Tokenizer& t, std::string_view text,
                                   token::PieceMemo* memo = nullptr) {
  return must(t.encode(text, token::AddSpecial::kNo, memo));
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

struct Options {
  std::string folder, text;
  std::size_t tokens = 100'000;
  std::string expect;
};

void run(const Options& options) {
  const auto loaded = must(token::Tokenizer::load(options.folder));
  const auto& t = *loaded;
  auto prompt = read_file(options.text);
  if (options.expect.empty()) prompt = repeated(t, prompt, options.tokens);
  const auto ids = encode(t, prompt);
  if (!options.expect.empty()) {
    std::istringstream wanted(read_file(options.expect));
    using Ids = std::istream_iterator<std::int64_t>;
    const auto same = [](token::TokenId id, std::int64_t other) {
      return static_cast<std::int64_t>(id) == other;
    };
    if (!std::equal(ids.begin(), ids.end(), Ids(wanted), Ids(), same)) {
      fail("the tokens are not those of " + options.expect);
    }
  }
  if (t.decode(ids, token::SkipSpecial::kNo) != prompt) fail("tokens do not decode to the text");
  show("a new prompt", ids.size(), prompt.size(), [&] { (void)encode(t, prompt); });

  token::PieceMemo memo;
  if (encode(t, prompt, &memo) != ids || encode(t, prompt, &memo) != ids) {
    fail("with memory the tokens differ");
  }
  show("the same once more", ids.size(), prompt.size(), [&] { (void)encode(t, prompt, &memo); });
}

}  // namespace
}  // namespace baton

int main(int argc, char** argv) {
  baton::Options options;
  baton::bench::Flags flags("FOLDER TEXT [--tokens N | --expect FILE]");
  flags.count("--tokens", options.tokens).text("--expect", options.expect);
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  if (arguments.size() < 3) flags.refuse("FOLDER and TEXT are missing");
  options.folder = arguments[1];
  options.text = arguments[2];
  flags.read(arguments.subspan(3));
  baton::run(options);
}
