#include "cli/bench_load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "base/core/assert.hpp"
#include "base/text/json.hpp"

namespace baton::cli {
namespace {

constexpr std::size_t kMooncakeBlock = 512;  // tokens for each entry of hash_ids
constexpr std::size_t kMaxLine = 1 << 20;

constexpr std::array<std::string_view, 64> kWords = {
    "the",    "a",     "dog",    "cat",   "tree", "house",  "river", "ran",   "saw",   "big",
    "small",  "red",   "blue",   "happy", "sad",  "went",   "to",    "and",   "with",  "play",
    "ball",   "day",   "sun",    "rain",  "bird", "sang",   "song",  "boat",  "lake",  "found",
    "gave",   "took",  "friend", "girl",  "boy",  "mother", "walk",  "home",  "night", "star",
    "moon",   "light", "door",   "open",  "box",  "green",  "apple", "ate",   "cake",  "park",
    "jump",   "high",  "low",    "slow",  "fast", "old",    "new",   "story", "said",  "then",
    "little", "bear",  "fish",   "sea"};

// Independent streams out of one seed.
std::uint64_t mix(std::uint64_t seed, std::uint64_t stream) {
  return SeededRandom(SeededRandom(seed).next() ^ stream).next();
}

// At most 31 years: it fits.
Nanos from_seconds(double s) {
  return std::chrono::round<Nanos>(std::chrono::duration<double>(std::min(s, 1e9)));
}

std::size_t scaled(std::size_t tokens, double scale) {
  const double out = std::round(static_cast<double>(tokens) * scale);
  return static_cast<std::size_t>(std::clamp(out, 1.0, static_cast<double>(kMaxTokens)));
}

// One line of a trace, unscaled.
struct Entry {
  double ms = 0;
  std::size_t input = 0, output = 0;
  std::vector<std::uint64_t> blocks;  // ids; empty: fresh
};

Result<std::size_t> tokens_of(const text::json::Value& line, std::string_view key) {
  const auto* value = line.find(key);
  const auto number = value == nullptr ? std::nullopt : value->if_uint();
  if (!number || *number > kMaxTokens) {
    return invalid(fmt::format("{}: expected a number of tokens up to {}", key, kMaxTokens));
  }
  return static_cast<std::size_t>(*number);
}

Result<Entry> mooncake_entry(std::string_view line) {
  BATON_TRY_ASSIGN(const auto value, text::json::parse(line));
  Entry out;
  const auto* timestamp = value.find("timestamp");
  const auto ms = timestamp == nullptr ? std::nullopt : timestamp->if_double();
  if (!ms || *ms < 0 || *ms > 1e12) return invalid("timestamp: expected milliseconds");
  out.ms = *ms;
  BATON_TRY_ASSIGN(out.input, tokens_of(value, "input_length"));
  BATON_TRY_ASSIGN(out.output, tokens_of(value, "output_length"));
  const auto* ids = value.find("hash_ids");
  if (ids == nullptr) return out;
  if (ids->if_array() == nullptr) return invalid("hash_ids: expected an array");
  for (const auto& id : *ids->if_array()) {
    const auto number = id.if_uint();
    if (!number) return invalid("hash_ids: expected non-negative integers");
    out.blocks.push_back(*number);
  }
  if (out.blocks.size() * kMooncakeBlock < out.input) {
    return invalid(fmt::format("hash_ids: {} blocks of {} tokens do not cover {} tokens",
                               out.blocks.size(), kMooncakeBlock, out.input));
  }
  return out;
}

Result<Entry> azure_entry(std::string_view line) {
  const std::string text(line);
  int year = 0, used = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0;
  double second = 0;
  Entry out;
  const int fields =
      std::sscanf(text.c_str(), "%4d-%2u-%2u %2u:%2u:%10lf,%9zu,%9zu%n", &year, &month, &day, &hour,
                  &minute, &second, &out.input, &out.output, &used);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (fields != 8 || static_cast<std::size_t>(used) != text.size() || !date.ok() || hour > 23 ||
      minute > 59 || !(second >= 0 && second < 61)) {
    return invalid("expected YYYY-MM-DD hh:mm:ss,ContextTokens,GeneratedTokens");
  }
  if (out.input > kMaxTokens || out.output > kMaxTokens) {
    return invalid(fmt::format("more than {} tokens", kMaxTokens));
  }
  const auto days = static_cast<double>(std::chrono::sys_days(date).time_since_epoch().count());
  out.ms = ((days * 24 + hour) * 60 + minute) * 60'000 + second * 1000;
  return out;
}

Result<std::vector<Entry>> entries(std::string_view text, std::size_t count) {
  if (text.size() > kMaxTrace) {
    return invalid(fmt::format("the trace has more than {} bytes", kMaxTrace));
  }
  const bool json = text.starts_with('{');
  if (!json && !text.starts_with("TIMESTAMP,")) {
    return invalid("expected JSON lines as Mooncake's, or CSV that begins with TIMESTAMP,");
  }
  std::vector<Entry> out;
  std::size_t number = 0;
  while (!text.empty() && out.size() < count) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string where = fmt::format("line {}", ++number);
    if (line.empty() || (!json && number == 1)) continue;
    if (line.size() > kMaxLine) return invalid(where + ": longer than 1 MiB");
    BATON_TRY_ASSIGN(Entry entry, (json ? mooncake_entry(line) : azure_entry(line)).with(where));
    if (!out.empty() && entry.ms < out.back().ms) {
      return invalid(where + ": earlier than the line before");
    }
    out.push_back(std::move(entry));
  }
  if (out.empty()) return invalid("the trace has no requests");
  return out;
}

// Requests of one grid point come evenly at random before the next one.
std::vector<double> arrival_ms(const std::vector<Entry>& trace, std::uint64_t seed) {
  SeededRandom random(mix(seed, 0));
  std::vector<double> out;
  for (std::size_t begin = 0, end = 0; begin < trace.size(); begin = end) {
    while (end < trace.size() && trace[end].ms == trace[begin].ms) ++end;
    const double gap = end < trace.size() ? trace[end].ms - trace[begin].ms : 0;
    const auto first = static_cast<std::ptrdiff_t>(begin);
    for (std::size_t i = begin; i < end; ++i) {
      out.push_back(trace[i].ms + (end - begin > 1 ? gap * random.unit() : 0));
    }
    std::sort(out.begin() + first, out.end());
  }
  return out;
}

std::vector<Segment> traced_prompt(const Entry& entry, std::size_t index, const TraceLoad& load) {
  if (entry.blocks.empty()) {
    return {{mix(load.seed, index + 1), scaled(entry.input, load.length_scale)}};
  }
  std::vector<Segment> out;
  std::size_t left = entry.input;
  for (std::size_t i = 0; left > 0; ++i) {
    const std::size_t tokens = std::min(left, kMooncakeBlock);
    out.push_back({mix(~load.seed, entry.blocks[i]), scaled(tokens, load.length_scale)});
    left -= tokens;
  }
  return out;
}

}  // namespace

std::vector<Ask> synthetic_load(const SyntheticLoad& load) {
  BATON_ASSERT(load.shared_prefix < load.input);
  SeededRandom random(mix(load.seed, 0));
  std::vector<Ask> out(load.count);
  double at = 0;
  for (std::size_t i = 0; i < load.count; ++i) {
    out[i].at = from_seconds(at);
    if (load.shared_prefix > 0) out[i].prompt.push_back({mix(~load.seed, 0), load.shared_prefix});
    out[i].prompt.push_back({mix(load.seed, i + 1), load.input - load.shared_prefix});
    out[i].output = load.output;
    if (load.rate > 0) at -= std::log(1 - random.unit()) / load.rate;
  }
  return out;
}

Result<std::vector<Ask>> trace_load(std::string_view text, const TraceLoad& load) {
  BATON_TRY_ASSIGN(const auto trace, entries(text, load.count));
  const std::vector<double> times = arrival_ms(trace, load.seed);
  std::vector<Ask> out(trace.size());
  for (std::size_t i = 0; i < trace.size(); ++i) {
    out[i].at = from_seconds((times[i] - times[0]) / 1000 / load.scale);
    out[i].prompt = traced_prompt(trace[i], i, load);
    out[i].output = scaled(trace[i].output, load.length_scale);
  }
  return out;
}

std::string prompt_text(const std::vector<Segment>& prompt, const WordCost& cost) {
  std::string out;
  double around = cost.around;  // taken from the last segment: the others may be shared
  for (const Segment& segment : prompt) {
    SeededRandom random(segment.seed);
    const double tokens =
        static_cast<double>(segment.tokens) - (&segment == &prompt.back() ? around : 0);
    const auto words = std::max<std::int64_t>(1, std::llround(tokens / cost.tokens_per_word));
    for (std::int64_t i = 0; i < words; ++i) {
      if (!out.empty()) out += ' ';
      out += kWords[random.below(kWords.size())];
    }
  }
  return out;
}

}  // namespace baton::cli
