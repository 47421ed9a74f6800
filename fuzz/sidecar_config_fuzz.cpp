// The sidecar's configuration: it is read, or an error; what is in effect prints as YAML again.

#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/core/log.hpp"
#include "base/text/yaml.hpp"
#include "cli/sidecar_options.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton;
  log::configure(log::Level::kOff, log::Style::kText, "fuzz");
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (text.find("self-schedule-config") != std::string::npos) return 0;  // names a file
  const auto options =
      cli::parse_sidecar({"--configuration=" + text, "--print-effective-config"},
                         [](const char*) -> std::optional<std::string> { return std::nullopt; });
  if (!options) return 0;
  const auto printed = text::yaml::parse(*(*options)->print, "printed");
  if (!printed || printed->find("kv-connector") == nullptr) std::abort();
  return 0;
}
