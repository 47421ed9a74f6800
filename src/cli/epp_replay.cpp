#include "cli/epp_replay.hpp"

#include <fmt/format.h>

#include <istream>
#include <ostream>

#include "base/core/random.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/record.hpp"

namespace baton::cli {
namespace {

std::string stages(const std::string& pod, const std::string& prefill) {
  if (pod.empty()) return "nobody";
  return prefill.empty() ? pod : fmt::format("{} with prefill on {}", pod, prefill);
}

}  // namespace

Result<ReplayCounts> replay_records(std::istream& records, const std::string& source,
                                    const schedule::Scheduler& scheduler, std::ostream& out) {
  ReplayCounts counts;
  SeededRandom random(1);  // equal totals are told apart the same way each time
  std::size_t number = 0;
  for (std::string line; std::getline(records, line);) {
    const auto where = fmt::format("{}:{}", source, ++number);
    if (line.empty()) continue;
    if (line.size() > kMaxRecordBytes) return invalid(where + ": the line is too long");
    BATON_TRY_ASSIGN(const auto record, text::json::parse(line).with(where));
    BATON_TRY_ASSIGN(const auto replayed, schedule::replay(record, scheduler, random).with(where));
    if (replayed.evicted) continue;
    ++counts.records;
    if (!replayed.changed) continue;
    ++counts.changed;
    out << fmt::format("{}: {} -> {}{}\n", replayed.id,
                       stages(replayed.before, replayed.prefill_before),
                       stages(replayed.after, replayed.prefill_after),
                       replayed.problem.empty() ? "" : " (" + replayed.problem + ")");
  }
  out << fmt::format("{} of {} decisions change\n", counts.changed, counts.records);
  return counts;
}

}  // namespace baton::cli
