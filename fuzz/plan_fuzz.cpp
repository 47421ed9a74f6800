// Manifests of any content: a plan or an error, never a crash. Every service of the text is planned
// with its configs.

#include <cstddef>
#include <cstdint>
#include <string>

#include "control/plan/describe.hpp"
#include "control/plan/group.hpp"
#include "control/plan/plan.hpp"
#include "formats/api/manifests.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as text
  const baton::api::Source source{"fuzz", std::string(reinterpret_cast<const char*>(data), size)};
  const auto manifests = baton::api::read_manifests({&source, 1});
  if (!manifests) return 0;
  baton::plan::ServiceView view;
  for (const auto& config : manifests->configs) view.configs.push_back(config.object);
  for (const auto& map : manifests->config_maps) view.config_maps.push_back(map.object);
  if (size % 3 == 0) baton::plan::use_upstream_picker(view.settings);
  for (const auto& service : manifests->services) {
    // Whatever the others are, they are its peers.
    view.peers.clear();
    for (const auto& other : manifests->services) {
      view.peers.push_back(baton::plan::as_if_running(other.object));
    }
    view.service = service.object;
    view.settings.enable_tls = size % 2 == 1;
    const auto planned = baton::plan::plan(view);
    if (planned) (void)baton::plan::describe(*planned);
  }
  return 0;
}
