#include "net/http/accept_watch.hpp"

#include <utility>

#include "base/core/log.hpp"

namespace baton::http {

namespace {

std::string_view reason_of(const boost::system::error_code& why) {
  using boost::system::errc::errc_t;
  if (why == errc_t::too_many_files_open || why == errc_t::too_many_files_open_in_system) {
    return "files";
  }
  bool memory = why == errc_t::not_enough_memory || why == errc_t::no_buffer_space;
  return memory ? "memory" : "other";
}

}  // namespace

void AcceptWatch::count(std::string_view reason) {
  if (registry_ == nullptr) return;
  registry_
      ->counter("baton_connections_held_total",
                "Times that connections had to wait, since none could be accepted.",
                {{"server", server_}, {"reason", std::string(reason)}})
      .add();
}

void AcceptWatch::failed(const boost::system::error_code& why, std::size_t open) {
  count(reason_of(why));
  if (std::exchange(starved_, true)) return;
  log::warn("connections wait: none can be accepted",
            {{"server", server_},
             {"reason", why.message()},
             {"open", open},
             {"what to do", "raise the limit of open files (ulimit -n), or spread the load"}});
}

void AcceptWatch::full(std::size_t limit) {
  count("limit");
  if (std::exchange(full_, true)) return;
  log::warn("connections wait: as many as may be are open",
            {{"server", server_},
             {"limit", limit},
             {"what to do", "spread the load over more pods; clients may keep fewer connections"}});
}

void AcceptWatch::accepted(std::size_t open, std::size_t limit) {
  if (std::exchange(starved_, false)) {
    log::info("connections are accepted again", {{"server", server_}});
  }
  if (open < limit - limit / 10) full_ = false;
}

}  // namespace baton::http
