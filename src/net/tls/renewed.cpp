#include "net/tls/renewed.hpp"

#include <utility>

#include "base/core/log.hpp"
#include "net/tls/reload.hpp"

namespace baton::tls {

Result<std::shared_ptr<const ClientContext>> open_renewed(ClientContext::Config config,
                                                          const Clock& clock) {
  BATON_TRY_ASSIGN(const auto context, ClientContext::open(std::move(config), clock));
  std::shared_ptr<const ClientContext> out = context;
  if (context->files().empty()) return out;
  auto started = Reloader::start(context, clock);
  if (started) {
    // The reloader holds the context.
    const std::shared_ptr<Reloader> reloader = *std::move(started);
    out = std::shared_ptr<const ClientContext>(reloader, context.get());
  } else {
    log::warn("certificates are not watched: new ones need a restart",
              {{"reason", started.error().message()}});
  }
  return out;
}

}  // namespace baton::tls
