#include "cli/model_pull.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "base/async/process.hpp"
#include "control/node/models.hpp"

namespace baton::cli {

namespace {

constexpr Nanos kStep = std::chrono::hours(1);  // signals and the end of the process wake

Code code_of(int exit) {
  for (const auto code : {Code::kInvalid, Code::kDenied, Code::kNotFound, Code::kExhausted,
                          Code::kUnavailable, Code::kTimeout, Code::kUnsupported}) {
    if (exit_code(code) == exit) return code;
  }
  return Code::kInternal;
}

}  // namespace

Status pull_model(const std::string& uri, const node::Config& node, const StopSignal& stop) {
  const auto here = node::find_model(uri, node);
  if (here) return {};
  auto command = node::pull_command(uri, node, "");
  if (!command || here.error().code() != Code::kNotFound) return {};
  BATON_TRY_ASSIGN(const auto environment, node::pull_environment({}, node));
  async::Process::Spec spec{*std::move(command), environment.lines(), "", STDERR_FILENO};
  BATON_TRY_ASSIGN(const auto process, async::Process::start(spec));
  while (true) {
    if (const auto ended = process->poll()) {
      if (ended->code == 0) return {};
      return Error(code_of(ended->code), fmt::format("model {} is not here", uri));
    }
    if (stop.wait_for(kStep, process->descriptor())) return cancelled("stopped");
  }
}

}  // namespace baton::cli
