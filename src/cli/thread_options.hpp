#pragma once
// Which threads an engine computes with: how many, in how many groups (`--tensor-parallel-size`),
// and bound to which CPUs (`--threads-bind`, VLLM_CPU_OMP_THREADS_BIND).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "engine/tensor/thread_pool.hpp"

namespace baton::cli {

struct ThreadOptions {
  std::size_t threads = 0;  // 0: one for each CPU that is given
  std::size_t groups = 1;
  // "nobind" or "": the kernel moves them. "auto": each on a CPU of its own, neighbours in one
  // group. "0-3|4-7": one list for each group, a thread for each CPU in it.
  std::string bind;
};

// "0,2-4" in its order. kInvalid: no such list.
Result<std::vector<int>> read_cpus(std::string_view list);

// `cpus`: those the process may use, neighbours together. kInvalid: what does not fit to them; the
// message says what to change. Pure.
Result<tensor::ThreadGroups> group_threads(const ThreadOptions& options,
                                           const std::vector<int>& cpus);

// The CPUs the process may use, of one NUMA node before those of the next.
std::vector<int> usable_cpus();

}  // namespace baton::cli
