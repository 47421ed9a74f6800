#include "net/http/server.hpp"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <boost/asio/ip/address.hpp>
#include <condition_variable>
#include <list>
#include <mutex>
#include <utility>

#include "base/async/task_group.hpp"
#include "base/async/watchdog.hpp"
#include "base/core/assert.hpp"
#include "net/http/accept_watch.hpp"
#include "net/http/acceptor.hpp"
#include "net/http/session.hpp"

namespace baton::http {

namespace {

constexpr int kAcceptBurst = 32;
constexpr std::size_t kFirstRead = 2 << 10;  // a head and a short prompt
constexpr Nanos kAcceptPause = Millis(50);   // after a failed accept (no descriptors left)
constexpr Nanos kUnwindTime =
    std::chrono::seconds(10);  // from cancellation to the end of a handler

}  // namespace

struct Server::Impl {
  struct Listener {
    explicit Listener(const asio::any_io_executor& executor) : acceptor(executor) {}
    Tcp::acceptor acceptor;
    bool pending = false;  // an accept is outstanding
  };

  Impl(async::Loop& l, const Clock& c, Config cfg, Handler h)
      : loop(l),
        clock(c),
        config(std::move(cfg)),
        handler(std::move(h)),
        watchdog(l.executor()),
        handshakes(c),
        accepts(config.registry, config.server_name),
        retry(l.executor()) {}

  void accept(Listener& listener);
  void accepted(Listener& listener, const boost::system::error_code& ec, Tcp::socket socket);
  void accept_burst(Listener& listener);
  void begin(Tcp::socket socket);
  void end(std::list<Session>::iterator it);
  void begin_stop();
  void cancel_all();
  void check_ended();
  bool wait_ended(Deadline deadline);

  async::Loop& loop;
  const Clock& clock;
  Config config;
  Handler handler;
  async::Watchdog watchdog;
  HandshakeLog handshakes;
  SpareBuffers buffers{kFirstRead};
  AcceptWatch accepts;
  std::list<Listener> listeners;
  std::list<Session> sessions;
  asio::steady_timer retry;
  bool retrying = false;
  bool stopping = false;
  std::atomic<std::size_t> open = 0;

  std::mutex mutex;  // guards ended, cancelling
  std::condition_variable changed;
  bool ended = false;
  bool cancelling = false;  // a posted cancellation has not run yet
};

void Server::Impl::accept(Listener& listener) {
  if (stopping || listener.pending) return;
  if (sessions.size() >= config.limits.connections) return accepts.full(config.limits.connections);
  listener.pending = true;
  listener.acceptor.async_accept(
      [this, &listener](const boost::system::error_code& ec, Tcp::socket socket) {
        listener.pending = false;
        accepted(listener, ec, std::move(socket));
      });
}

void Server::Impl::accepted(Listener& listener, const boost::system::error_code& ec,
                            Tcp::socket socket) {
  if (stopping) return check_ended();
  if (!ec) {
    begin(std::move(socket));
    accept_burst(listener);
    accepts.accepted(sessions.size(), config.limits.connections);
    return accept(listener);
  }
  if (retrying) return;
  accepts.failed(ec, sessions.size());
  retrying = true;
  retry.expires_after(kAcceptPause);
  retry.async_wait([this](const boost::system::error_code&) {
    retrying = false;
    if (stopping) return check_ended();
    for (Listener& each : listeners) accept(each);
  });
}

// Takes what else waits at once. One a turn of the loop, a queue of connections could overflow
// while the loop is busy with streams. What fails here shows at the next accept.
void Server::Impl::accept_burst(Listener& listener) {
  for (int i = 0; i < kAcceptBurst && sessions.size() < config.limits.connections; ++i) {
    Tcp::socket socket(loop.executor());
    boost::system::error_code ec;
    listener.acceptor.accept(socket, ec);
    if (ec) return;
    begin(std::move(socket));
  }
}

void Server::Impl::begin(Tcp::socket socket) {
  boost::system::error_code ec;
  Tcp::endpoint remote = socket.remote_endpoint(ec);
  socket.set_option(Tcp::no_delay(true), ec);
  std::string peer = to_string(Endpoint{remote.address().to_string(), remote.port()});
  std::unique_ptr<tls::Stream> tls;
  if (config.tls) tls = tls::Stream::accept(*config.tls, socket.native_handle());
  Session::Deps deps{clock, config, handler, stopping, watchdog, handshakes, buffers};
  auto it = sessions.emplace(sessions.end(), deps, Wire(std::move(socket), std::move(tls)),
                             std::move(peer));
  ++open;
  asio::co_spawn(loop.context(), it->run(),
                 asio::bind_cancellation_slot(it->signal().slot(),
                                              [this, it](const std::exception_ptr& failure) {
                                                async::report_failure(failure);
                                                // The session's signal may be emitting right now.
                                                asio::post(loop.context(), [this, it] { end(it); });
                                              }));
}

void Server::Impl::end(std::list<Session>::iterator it) {
  sessions.erase(it);
  --open;
  if (stopping) return check_ended();
  for (Listener& listener : listeners) accept(listener);
}

void Server::Impl::begin_stop() {
  stopping = true;
  boost::system::error_code ignored;
  for (Listener& listener : listeners) listener.acceptor.close(ignored);
  retry.cancel();
  for (Session& session : sessions) session.wake();
  check_ended();
}

void Server::Impl::cancel_all() {
  for (Session& session : sessions) session.cancel();
  {
    std::lock_guard lock(mutex);
    cancelling = false;
  }
  check_ended();
}

void Server::Impl::check_ended() {
  bool pending = retrying || !sessions.empty();
  for (const Listener& listener : listeners) pending = pending || listener.pending;
  if (!stopping || pending) return;
  std::lock_guard lock(mutex);
  if (cancelling) return;
  ended = true;
  changed.notify_all();
}

bool Server::Impl::wait_ended(Deadline deadline) {
  std::unique_lock lock(mutex);
  if (loop.running()) return changed.wait_until(lock, deadline.at, [this] { return ended; });
  while (!ended && std::chrono::steady_clock::now() < deadline.at) {
    lock.unlock();
    loop.context().restart();  // nobody runs the loop any more: finish its work here
    loop.context().run_one_for(Millis(10));
    lock.lock();
  }
  return ended;
}

Server::Server(async::Loop& loop, const Clock& clock, Config config, Handler handler)
    : impl_(std::make_unique<Impl>(loop, clock, std::move(config), std::move(handler))) {}

Server::~Server() { stop({Mono()}); }

Result<Endpoint> Server::listen(const Endpoint& at) {
  auto listener = std::make_unique<std::list<Impl::Listener>>();
  Tcp::acceptor& acceptor = listener->emplace_back(impl_->loop.executor()).acceptor;
  BATON_TRY_ASSIGN(Endpoint bound, open_acceptor(acceptor, at));
  impl_->loop.post([impl = impl_.get(), added = std::move(listener)]() mutable {
    impl->listeners.splice(impl->listeners.end(), *added);
    impl->accept(impl->listeners.back());
  });
  return bound;
}

void Server::stop(Deadline deadline) {
  Impl& impl = *impl_;
  {
    std::lock_guard lock(impl.mutex);
    if (impl.ended) return;
  }
  impl.loop.post([&impl] { impl.begin_stop(); });
  if (impl.wait_ended(deadline)) return;
  {
    std::lock_guard lock(impl.mutex);
    if (impl.ended) return;
    impl.cancelling = true;
  }
  impl.loop.post([&impl] { impl.cancel_all(); });
  bool unwound = impl.wait_ended({std::chrono::steady_clock::now() + kUnwindTime});
  BATON_ASSERT(unwound && "a handler ignores its cancellation");
}

std::size_t Server::open_connections() const { return impl_->open; }

Task<Status> Exchange::write(std::string_view piece) {
  std::array<std::string_view, 1> pieces = {piece};
  co_return co_await write(pieces);
}

int body_error_status(const Error& error) {
  switch (error.code()) {
    case Code::kExhausted:
      return 413;
    case Code::kTimeout:
      return 408;
    case Code::kCancelled:
      return 499;
    default:
      return http_status(error.code());
  }
}

std::string plain_error_body(int status, std::string_view message) {
  std::string type;
  for (char c : reason(status)) {
    if (c != ' ') type += c;
  }
  std::string text;
  for (char c : message) {
    if (c == '"' || c == '\\') text += '\\';
    text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return fmt::format(R"({{"error":{{"message":"{}","type":"{}Error","param":null,"code":{}}}}})",
                     text, type, status);
}

}  // namespace baton::http
