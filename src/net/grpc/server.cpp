#include "net/grpc/server.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <utility>

#include "base/async/task_group.hpp"
#include "base/async/watchdog.hpp"
#include "base/core/assert.hpp"
#include "base/core/log.hpp"
#include "net/grpc/server_connection.hpp"
#include "net/http/accept_watch.hpp"
#include "net/http/acceptor.hpp"

namespace baton::grpc {

namespace {

using http::Tcp;

constexpr Nanos kAcceptPause = Millis(50);  // after a failed accept (no descriptors left)
constexpr Nanos kUnwindTime = std::chrono::seconds(10);  // from cancellation to a handler's end

// Dead peers are noticed within two minutes, however quiet a connection is.
void keep_alive(int socket) {
  const auto set = [&](int level, int option, int value) {
    ::setsockopt(socket, level, option, &value, sizeof value);
  };
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 60);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 20);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
  set(IPPROTO_TCP, TCP_NODELAY, 1);
}

Task<RpcStatus> answer_one(const UnaryHandler& handler, ServerStream& stream) {
  auto request = co_await stream.read();
  if (!request) co_return to_status(request.error());
  if (!*request) co_return RpcStatus{StatusCode::kInternal, "a request without a message"};
  Result<std::string> answer = handler(**request);
  if (!answer) co_return to_status(answer.error());
  (void)co_await stream.write(*answer);
  co_return RpcStatus();
}

// The connections of one loop. Confined to it.
struct Shard {
  explicit Shard(async::Loop& l) : loop(l), watchdog(l.executor()) {}

  async::Loop& loop;
  async::Watchdog watchdog;
  std::list<ServerConnection> connections;
  bool stopping = false;
  std::atomic<std::size_t> open = 0;
};

}  // namespace

struct Server::Impl {
  Impl(const std::vector<async::Loop*>& loops, const Clock& c, Config cfg)
      : clock(c),
        config(std::move(cfg)),
        handshakes(c),
        accepts(config.registry, config.server_name),
        acceptor(loops.front()->executor()),
        retry(loops.front()->executor()) {
    for (async::Loop* loop : loops) shards.emplace_back(*loop);
  }

  std::size_t open() const {
    std::size_t sum = 0;
    for (const Shard& shard : shards) sum += shard.open;
    return sum;
  }
  Shard& least_busy();
  void accept();
  void accepted(Shard& shard, const boost::system::error_code& ec, Tcp::socket socket);
  void begin(Shard& shard, Tcp::socket socket);
  Task<void> serve(ServerConnection& connection);
  void end(Shard& shard, std::list<ServerConnection>::iterator at);
  // Contract: announce() has counted it.
  void on_each(void (ServerConnection::*what)());
  bool announce();
  void begin_stop();
  void check_ended();
  bool wait_ended(Deadline deadline);

  const Clock& clock;
  const Config config;
  Handlers handlers;
  std::list<Shard> shards;  // stays where it is
  std::mutex log_mutex;     // guards handshakes
  http::HandshakeLog handshakes;

  // Of the first loop.
  http::AcceptWatch accepts;
  Tcp::acceptor acceptor;
  asio::steady_timer retry;
  bool accepting = false;
  bool retrying = false;
  bool stopping = false;

  std::mutex mutex;  // guards ended, pending
  std::condition_variable changed;
  bool ended = false;
  std::size_t pending = 0;  // of on_each: not done yet
};

Shard& Server::Impl::least_busy() {
  Shard* least = &shards.front();
  for (Shard& shard : shards) {
    if (shard.open < least->open) least = &shard;
  }
  return *least;
}

void Server::Impl::accept() {
  if (stopping || accepting || retrying) return;
  if (open() >= config.connections) return accepts.full(config.connections);
  accepting = true;
  Shard& shard = least_busy();
  acceptor.async_accept(shard.loop.context(),
                        [this, &shard](const boost::system::error_code& ec, Tcp::socket socket) {
                          accepting = false;
                          accepted(shard, ec, std::move(socket));
                        });
}

void Server::Impl::accepted(Shard& shard, const boost::system::error_code& ec, Tcp::socket socket) {
  if (stopping) return check_ended();
  if (!ec) {
    ++shard.open;
    accepts.accepted(open(), config.connections);
    shard.loop.post(
        [this, &shard, mine = std::move(socket)]() mutable { begin(shard, std::move(mine)); });
    return accept();
  }
  accepts.failed(ec, open());
  retrying = true;
  retry.expires_after(kAcceptPause);
  retry.async_wait([this](const boost::system::error_code&) {
    retrying = false;
    if (stopping) return check_ended();
    accept();
  });
}

void Server::Impl::begin(Shard& shard, Tcp::socket socket) {
  boost::system::error_code ec;
  const Tcp::endpoint remote = socket.remote_endpoint(ec);
  keep_alive(socket.native_handle());
  std::string peer = http::to_string({remote.address().to_string(), remote.port()});
  std::unique_ptr<tls::Stream> tls;
  if (config.tls) tls = tls::Stream::accept(*config.tls, socket.native_handle());
  const ServerConnection::Deps deps{clock, shard.watchdog, handlers, config};
  const auto at =
      shard.connections.emplace(shard.connections.end(), deps,
                                http::Wire(std::move(socket), std::move(tls)), std::move(peer));
  asio::co_spawn(shard.loop.context(), serve(*at),
                 [this, &shard, at](const std::exception_ptr& failure) {
                   async::report_failure(failure);
                   asio::post(shard.loop.context(), [this, &shard, at] { end(shard, at); });
                 });
  if (shard.stopping) at->abort();
}

Task<void> Server::Impl::serve(ServerConnection& connection) {
  const Status secured = co_await connection.handshake();
  if (!secured) {
    if (!connection.gone() && !connection.silent()) {
      const std::lock_guard lock(log_mutex);
      handshakes.failed(connection.peer(), secured.error().message());
    }
    co_return;
  }
  co_await connection.run();
}

void Server::Impl::end(Shard& shard, std::list<ServerConnection>::iterator at) {
  shard.connections.erase(at);
  // Counted down where the end of all is looked at, so that none of this comes after it.
  shards.front().loop.post([this, &shard] {
    --shard.open;
    if (stopping) return check_ended();
    accept();
  });
}

void Server::Impl::on_each(void (ServerConnection::*what)()) {
  for (Shard& shard : shards) {
    shard.loop.post([this, &shard, what] {
      shard.stopping = true;
      for (ServerConnection& connection : shard.connections) (connection.*what)();
      shards.front().loop.post([this] {
        {
          const std::lock_guard lock(mutex);
          --pending;
        }
        check_ended();
      });
    });
  }
}

// False: all has ended already.
bool Server::Impl::announce() {
  const std::lock_guard lock(mutex);
  if (ended) return false;
  pending += shards.size();
  return true;
}

void Server::Impl::begin_stop() {
  stopping = true;
  boost::system::error_code ignored;
  acceptor.close(ignored);
  retry.cancel();
  if (announce()) on_each(&ServerConnection::drain);
}

void Server::Impl::check_ended() {
  if (!stopping || accepting || retrying || open() > 0) return;
  const std::lock_guard lock(mutex);
  if (pending > 0) return;
  ended = true;
  changed.notify_all();
}

bool Server::Impl::wait_ended(Deadline deadline) {
  std::unique_lock lock(mutex);
  if (shards.front().loop.running()) {
    return changed.wait_until(lock, deadline.at, [this] { return ended; });
  }
  while (!ended && std::chrono::steady_clock::now() < deadline.at) {
    lock.unlock();
    for (Shard& shard : shards) {
      shard.loop.context().restart();  // nobody runs the loops any more: finish their work here
      shard.loop.context().run_one_for(Millis(1));
    }
    lock.lock();
  }
  return ended;
}

Server::Server(std::vector<async::Loop*> loops, const Clock& clock, Config config)
    : impl_(std::make_unique<Impl>(loops, clock, std::move(config))) {}

Server::~Server() { stop({Mono()}); }

void Server::handle(std::string path, Handler handler) {
  impl_->handlers.insert_or_assign(std::move(path), std::move(handler));
}

Result<http::Endpoint> Server::listen(const http::Endpoint& at) {
  BATON_TRY_ASSIGN(http::Endpoint bound, http::open_acceptor(impl_->acceptor, at));
  impl_->shards.front().loop.post([impl = impl_.get()] { impl->accept(); });
  return bound;
}

void Server::stop(Deadline deadline) {
  Impl& impl = *impl_;
  {
    const std::lock_guard lock(impl.mutex);
    if (impl.ended) return;
  }
  async::Loop& first = impl.shards.front().loop;
  first.post([&impl] { impl.begin_stop(); });
  if (impl.wait_ended(deadline)) return;
  if (!impl.announce()) return;
  impl.on_each(&ServerConnection::abort);
  const bool unwound = impl.wait_ended({std::chrono::steady_clock::now() + kUnwindTime});
  BATON_ASSERT(unwound && "a handler ignores its cancellation");
}

std::size_t Server::open_connections() const { return impl_->open(); }

Task<Status> ServerStream::write(std::string_view message) {
  const std::array<std::string_view, 1> pieces = {message};
  co_return co_await write(pieces);
}

Handler unary(UnaryHandler handler) {
  return
      [handler = std::move(handler)](ServerStream& stream) { return answer_one(handler, stream); };
}

}  // namespace baton::grpc
