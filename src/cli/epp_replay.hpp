#pragma once
// `baton epp --replay`: recorded decisions made again under a configuration.

#include <cstdint>
#include <iosfwd>
#include <string>

#include "base/core/result.hpp"
#include "routing/schedule/scheduler.hpp"

namespace baton::cli {

inline constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 20;  // of one line

struct ReplayCounts {
  std::size_t records = 0, changed = 0;
};
// Writes a line for each decision that would change, then a sum. kInvalid: "FILE:LINE: what".
Result<ReplayCounts> replay_records(std::istream& records, const std::string& source,
                                    const schedule::Scheduler& scheduler, std::ostream& out);

}  // namespace baton::cli
