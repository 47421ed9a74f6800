// Answers of engines, looked through for the tokens that they report: what is found does not depend
// on where they are cut.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <tuple>

#include "routing/pick/usage.hpp"

namespace {

using namespace baton::pick;

auto found(std::string_view answer, std::size_t piece, Report report) {
  UsageScan scan(report);
  for (; !answer.empty(); answer.remove_prefix(std::min(piece, answer.size()))) {
    scan.feed(answer.substr(0, piece));
  }
  const Usage& usage = scan.usage();
  return std::tuple(usage.prompt, usage.completion, usage.cached, scan.unread());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view answer(reinterpret_cast<const char*>(data), size);
  for (const auto report : {Report::kUsage, Report::kMetaInfo, Report::kMetaInfoOfLast}) {
    const auto whole = found(answer, size + 1, report);
    if (found(answer, 1, report) != whole || found(answer, 7, report) != whole) std::abort();
  }
  return 0;
}
