// Whatever the text is: an answer or an error, and what resolves names a server that reads back.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "net/kube/kubeconfig.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace kube = baton::kube;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto config = kube::parse_kubeconfig(text, "/fuzz/config");
  if (!config) return 0;
  auto twice = *config;
  kube::merge(twice, *config);  // the earlier one wins: nothing changes
  for (const auto& [name, entry] : config->contexts) {
    const auto access = kube::resolve(*config, name);
    const auto again = kube::resolve(twice, name);
    if (access.has_value() != again.has_value()) std::abort();
    if (!access) continue;
    if (!(*access == *again)) std::abort();
    kube::Access read;
    if (!kube::set_server(read, kube::server_url(*access))) std::abort();
    if (read.server != access->server || read.base_path != access->base_path) std::abort();
  }
  return 0;
}
