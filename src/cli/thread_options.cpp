#include "cli/thread_options.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>

namespace baton::cli {
namespace {

constexpr int kMaxCpu = CPU_SETSIZE - 1;

std::optional<int> cpu_number(std::string_view text) {
  int out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < 0 || out > kMaxCpu)
    return std::nullopt;
  return out;
}

// The part up to `mark`, which goes with it.
std::string_view cut(std::string_view& text, char mark) {
  const std::size_t end = std::min(text.find(mark), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

// "0-3|4-7": a thread for each CPU.
Result<tensor::ThreadGroups> listed(const ThreadOptions& o, const std::vector<int>& cpus) {
  tensor::ThreadGroups out;
  std::set<int> taken;
  std::size_t threads = 0;
  for (std::string_view rest = o.bind; !rest.empty();) {
    BATON_TRY_ASSIGN(auto group, read_cpus(cut(rest, '|')));
    for (const int cpu : group) {
      if (std::ranges::find(cpus, cpu) == cpus.end())
        return invalid(fmt::format("CPU {} is none of those this process may use: {}", cpu,
                                   fmt::join(cpus, ",")));
      if (!taken.insert(cpu).second) return invalid(fmt::format("CPU {} is there twice", cpu));
    }
    threads += group.size();
    out.push_back(std::move(group));
  }
  if (out.size() != o.groups)
    return invalid(
        fmt::format("{} lists of CPUs for --tensor-parallel-size {}: one for each group, "
                    "with | between them",
                    out.size(), o.groups));
  if (o.threads != 0 && o.threads != threads)
    return invalid(
        fmt::format("--threads {}, but {} CPUs are listed: leave it out", o.threads, threads));
  return out;
}

}  // namespace

Result<std::vector<int>> read_cpus(std::string_view list) {
  std::vector<int> out;
  const auto wrong = [text = std::string(list)] {
    return invalid(fmt::format("'{}' is no list of CPUs such as 0,2-3", text));
  };
  while (!list.empty()) {
    std::string_view range = cut(list, ',');
    const bool one = range.find('-') == std::string_view::npos;
    const auto first = cpu_number(cut(range, '-'));
    const auto last = one ? first : cpu_number(range);
    if (!first || !last || *last < *first) return wrong();
    for (int cpu = *first; cpu <= *last; ++cpu) out.push_back(cpu);
  }
  if (out.empty()) return wrong();
  return out;
}

Result<tensor::ThreadGroups> group_threads(const ThreadOptions& o, const std::vector<int>& cpus) {
  const bool bound = !o.bind.empty() && o.bind != "nobind";
  if (bound && o.bind != "auto") return listed(o, cpus);
  const std::size_t threads = o.threads != 0 ? o.threads : cpus.size();
  if (threads < o.groups)
    return invalid(
        fmt::format("--tensor-parallel-size {} is that many groups of threads, and there "
                    "are {} threads: give --threads, or --emulate-parallelism",
                    o.groups, threads));
  tensor::ThreadGroups out = tensor::unbound(threads, o.groups);
  if (!bound) return out;
  if (threads > cpus.size())
    return invalid(
        fmt::format("--threads {} cannot each have one of the {} CPUs that this process "
                    "may use",
                    threads, cpus.size()));
  std::size_t next = 0;
  for (auto& group : out)
    for (int& cpu : group) cpu = cpus[next++];
  return out;
}

std::vector<int> usable_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  std::vector<int> out;
  const auto take = [&](int cpu) {
    if (!CPU_ISSET(static_cast<std::size_t>(cpu), &set)) return;
    CPU_CLR(static_cast<std::size_t>(cpu), &set);
    out.push_back(cpu);
  };
  for (int node = 0;; ++node) {
    std::ifstream file(fmt::format("/sys/devices/system/node/node{}/cpulist", node));
    std::string list;
    if (!std::getline(file, list)) break;
    if (const auto cpus = read_cpus(list)) std::ranges::for_each(*cpus, take);
  }
  for (int cpu = 0; cpu <= kMaxCpu; ++cpu) take(cpu);
  return out;
}

}  // namespace baton::cli
