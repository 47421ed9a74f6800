#include "cli/free_memory.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

namespace baton::cli {

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::uint64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() ? std::optional(out) : std::nullopt;
}

// The number behind a name at the beginning of a line.
std::optional<std::uint64_t> field(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(name)) return number(line.substr(name.size()));
  }
  return std::nullopt;
}

std::string read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::uint64_t> available_of_process() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  const auto pages = number(read("/proc/self/statm"));  // of address space
  const auto taken = pages.value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, taken);
}

}  // namespace

std::optional<std::uint64_t> available_of_machine(std::string_view meminfo) {
  const auto kilobytes = field(meminfo, "MemAvailable:");
  return kilobytes ? std::optional(*kilobytes * 1024) : std::nullopt;
}

std::optional<std::uint64_t> available_of_group(std::string_view max, std::string_view current,
                                                std::string_view stat) {
  const auto limit = number(max);  // "max": none
  const auto used = number(current);
  if (!limit || !used) return std::nullopt;
  const auto taken = *used - std::min(*used, field(stat, "inactive_file ").value_or(0));
  return *limit - std::min(*limit, taken);
}

std::vector<std::string> group_folders(std::string_view cgroup) {
  constexpr std::string_view kUnified = "0::/";
  std::vector<std::string> out;
  const std::size_t at = cgroup.starts_with(kUnified) ? 0 : cgroup.find("\n0::/");
  if (at != std::string_view::npos) {
    const auto line = cgroup.substr(cgroup.find(kUnified, at) + kUnified.size());
    std::string path(line.substr(0, line.find('\n')));
    while (!path.empty()) {
      out.push_back("/sys/fs/cgroup/" + path);
      path.resize(path.find('/') == std::string::npos ? 0 : path.rfind('/'));
    }
  }
  out.emplace_back("/sys/fs/cgroup");
  return out;
}

std::optional<std::uint64_t> free_memory() {
  std::vector<std::optional<std::uint64_t>> all = {available_of_machine(read("/proc/meminfo")),
                                                   available_of_process()};
  for (const std::string& group : group_folders(read("/proc/self/cgroup")))
    all.push_back(available_of_group(read(group + "/memory.max"), read(group + "/memory.current"),
                                     read(group + "/memory.stat")));
  std::optional<std::uint64_t> out;
  for (const auto& each : all) {
    if (each) out = std::min(out.value_or(*each), *each);
  }
  return out;
}

Status fits(std::uint64_t bytes, std::optional<std::uint64_t> free, std::string_view what,
            std::string_view advice) {
  if (!free || bytes <= *free) return {};
  const auto gigabytes = [](std::uint64_t n) { return static_cast<double>(n) / 1e9; };
  return exhausted(fmt::format("{}: {:.1f} GB are needed, {:.1f} GB of memory are free: {}", what,
                               gigabytes(bytes), gigabytes(*free), advice));
}

}  // namespace baton::cli
