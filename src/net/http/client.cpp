#include "net/http/client.hpp"

#include <fmt/format.h>

#include <array>
#include <iterator>
#include <list>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include "base/async/watchdog.hpp"
#include "base/core/assert.hpp"
#include "net/http/async_resolve.hpp"
#include "net/http/client_message.hpp"
#include "net/http/parser.hpp"
#include "net/http/socket.hpp"
#include "net/http/wire.hpp"

namespace baton::http {

namespace {

// A head and a short answer, or a few tokens.
constexpr std::size_t kFirstAnswerRead = 1 << 10;

// One connection. Its expiry cancels what it waits for.
struct Connection {
  Connection(async::Watchdog& dog, SpareBuffers& buffers, const asio::any_io_executor& executor,
             std::size_t head_bytes)
      : wire(Tcp::socket(executor)),
        parser({.head_bytes = head_bytes}),
        in(head_bytes + kReadBytes, buffers),
        limit(dog, [this] {
          expired = true;
          boost::system::error_code ignored;
          wire.socket().cancel(ignored);
          if (on_idle_expiry) on_idle_expiry();  // destroys this
        }) {}
  ~Connection() { wire.say_end(); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void listen();
  bool answered();

  Wire wire;
  ResponseParser parser;
  InBuffer in;
  bool expired = false;
  bool kept = false;   // has carried an exchange before
  bool heard = false;  // the answer's head is parsed
  bool cut = false;    // the answer, or the end, came before the whole request had gone
  // What a receive has come to that nobody awaits yet.
  std::optional<std::tuple<boost::system::error_code, std::size_t>> early;
  std::function<void()> on_answer;  // while something is sent
  std::function<void()> on_idle_expiry;
  async::Watchdog::Entry limit;
};

// Keeps what comes until the answer is awaited.
void Connection::listen() {
  if (early) return;
  const auto keep = [this](const boost::system::error_code& ec, std::size_t size) {
    early.emplace(ec, size);
    if (on_answer && answered()) on_answer();
  };
  if (wire.reading()) {
    wire.redirect_read(keep);
  } else {
    wire.async_read(in, keep);
  }
}

// Whether no more is to be sent: the answer has begun and is no success (interim ones do not
// count), or the connection has ended.
bool Connection::answered() {
  if (cut || !early) return cut;
  const auto [ec, size] = *early;
  if (!ec) {
    early.reset();
    in.commit(size);
    const Step step = parser.next(in.view());
    in.consume(step.consumed);
    heard = step.event == Event::kHead;
    if (step.event == Event::kNeedMore) {
      listen();
      return false;
    }
    // One that has begun well may be made while the request is read: the rest goes on.
    if (heard && parser.head().status < 300) return false;
  }
  cut = true;
  return true;
}

// While one lives, an answer ends the wait to send more: of the kernel's, and of the body's.
class Listening {
 public:
  Listening(Connection& connection, BodySource* body) : connection_(connection) {
    connection.on_answer = [&connection, body] {
      boost::system::error_code ignored;
      connection.wire.socket().cancel(ignored);
      if (body != nullptr) body->stop();
    };
    connection.listen();
  }
  ~Listening() { connection_.on_answer = nullptr; }
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

 private:
  Connection& connection_;
};

// What a wait ended with, when it was not its own success. Throws when our caller was cancelled.
void check_cancelled(const boost::system::error_code& ec, const Connection& connection) {
  if (ec == asio::error::operation_aborted && !connection.expired) {
    throw boost::system::system_error(ec);
  }
}

}  // namespace

// Connections at rest, shared with the responses that give theirs back.
struct Pool {
  using Idle = std::list<std::unique_ptr<Connection>>;

  Pool(const asio::any_io_executor& executor, const Clock& c, const Client::Config& cfg)
      : clock(c), config(cfg), watchdog(executor) {}

  std::unique_ptr<Connection> take(const Endpoint& to, Resend resend);
  void put(const Endpoint& to, std::unique_ptr<Connection> connection);

  const Clock& clock;
  const Client::Config config;
  async::Watchdog watchdog;
  SpareBuffers buffers{kFirstAnswerRead};
  std::map<Endpoint, Idle> idle;
};

// The most recently used. One that its peer has closed, or on which it said something, left the
// pool in the loop's turn after that; what must not be sent twice looks closer.
std::unique_ptr<Connection> Pool::take(const Endpoint& to, Resend resend) {
  auto found = idle.find(to);
  if (found == idle.end()) return nullptr;
  Idle& list = found->second;
  while (!list.empty()) {
    std::unique_ptr<Connection> connection = std::move(list.back());
    list.pop_back();
    connection->on_idle_expiry = nullptr;
    connection->limit.clear();
    connection->listen();
    if (resend == Resend::kOnFresh || connection->wire.quiet()) return connection;
  }
  return nullptr;
}

void Pool::put(const Endpoint& to, std::unique_ptr<Connection> connection) {
  Idle& list = idle[to];
  if (list.size() >= config.idle_per_endpoint) return;
  Connection* kept = connection.get();
  list.push_back(std::move(connection));
  const auto at = std::prev(list.end());
  kept->kept = true;
  kept->on_idle_expiry = [&list, at] { list.erase(at); };
  kept->limit.set(clock.now() + config.idle_timeout);
  kept->wire.async_read(
      kept->in, [&list, at](const boost::system::error_code&, std::size_t) { list.erase(at); });
}

struct Client::Impl {
  Impl(const Clock& c, Config cfg) : clock(c), config(cfg) {}

  Task<Sent<std::unique_ptr<Connection>>> connect(Endpoint to, Deadline deadline);
  const Clock& clock;
  Config config;
  std::shared_ptr<Pool> pool;
};

class Response::Impl {
 public:
  Impl(Endpoint to, std::unique_ptr<Connection> connection, std::weak_ptr<Pool> pool)
      : to_(std::move(to)),
        connection_(std::move(connection)),
        pool_(std::move(pool)),
        head_(std::move(connection_->parser.head())) {}

  ResponseHead& head() { return head_; }
  Task<Sent<std::string_view>> read_some(Deadline deadline);
  Task<Sent<std::string>> read_all(std::size_t limit, Deadline deadline);

 private:
  std::optional<Sent<std::string_view>> take();
  Sent<void> take_received();
  void release();

  Endpoint to_;
  std::unique_ptr<Connection> connection_;
  std::weak_ptr<Pool> pool_;
  ResponseHead head_;
  bool ended_ = false;
};

namespace {

// What a receive into the connection's buffer came to. False at the end of the stream.
Sent<bool> received(Connection& connection, const Endpoint& to) {
  const auto [ec, size] = *std::exchange(connection.early, std::nullopt);
  if (connection.expired) return late(to);
  check_cancelled(ec, connection);
  if (ec == asio::error::eof) return false;
  if (ec) return lost(to, connection.wire.reason(ec));
  connection.in.commit(size);
  return true;
}

// Sends what the kernel did not take at once; false when the peer answered before it took all, or
// broke the connection (its answer may still be there).
Task<Sent<bool>> transmit(Connection& connection, const Endpoint& to, Outgoing& out) {
  while (!connection.answered()) {
    auto [ec] = co_await connection.wire.socket().async_wait(Tcp::socket::wait_write, kOutcome);
    if (connection.expired) co_return late(to);
    if (connection.answered()) break;
    check_cancelled(ec, connection);
    if (ec) break;
    Outgoing::State state = connection.wire.write(out);
    if (state == Outgoing::State::kDone) co_return true;
    if (state == Outgoing::State::kBroken) break;
  }
  connection.cut = true;
  co_return false;
}

// The head, then the body as it comes; false as transmit().
Task<Sent<bool>> transmit_body(Connection& connection, const Endpoint& to, std::string framing,
                               BodySource& body, bool chunked) {
  const Listening listening(connection, &body);
  for (bool more = true; more;) {
    auto piece = co_await body.next();
    if (connection.answered()) co_return false;
    if (!piece) co_return failure(Failure::Kind::kLost, std::move(piece).error());
    if (connection.expired) co_return late(to);
    more = !piece->empty();
    if (chunked && more) fmt::format_to(std::back_inserter(framing), "{:x}\r\n", piece->size());
    std::array<std::string_view, 3> pieces = {framing, *piece, ""};
    if (chunked) pieces[2] = more ? "\r\n" : "0\r\n\r\n";
    Outgoing out(pieces);
    Outgoing::State state = connection.wire.write(out);
    if (state == Outgoing::State::kBlocked) {
      auto sent = co_await transmit(connection, to, out);
      if (!sent || !*sent) co_return sent;
    }
    if (state == Outgoing::State::kBroken) {
      connection.cut = true;
      co_return false;
    }
    framing.clear();
  }
  co_return true;
}

// Until the head of the answer is parsed.
Task<Sent<void>> await_head(Connection& connection, const Endpoint& to) {
  while (!connection.heard) {
    Step step = connection.parser.next(connection.in.view());
    connection.in.consume(step.consumed);
    if (step.event == Event::kHead) break;
    if (step.event == Event::kError) {
      co_return not_http(to, connection.parser.error().message);
    }
    if (!connection.early) {
      const auto came = co_await connection.wire.read(connection.in);
      connection.early = came;
    }
    auto more = received(connection, to);
    if (!more) co_return std::unexpected(std::move(more).error());
    if (!*more) co_return lost(to, "the connection closed before an answer");
  }
  co_return Sent<void>();
}

}  // namespace

void Response::Impl::release() {
  ended_ = true;
  std::unique_ptr<Connection> connection = std::move(connection_);
  connection->limit.clear();
  std::shared_ptr<Pool> pool = pool_.lock();
  if (!pool || !connection->parser.keep_alive() || connection->cut || !connection->in.empty()) {
    return;
  }
  pool->put(to_, std::move(connection));
}

// What has come of the body: a piece, or nothing at its end. nullopt: more is to be received.
std::optional<Sent<std::string_view>> Response::Impl::take() {
  if (!connection_) return std::string_view();
  if (!ended_) {
    Sent<std::string_view> piece = gather(connection_->parser, connection_->in, to_, ended_);
    if (!piece || !piece->empty()) return piece;
    if (!ended_) return std::nullopt;
  }
  release();
  return std::string_view();
}

// What a receive came to.
Sent<void> Response::Impl::take_received() {
  Sent<bool> more = received(*connection_, to_);
  if (!more) return std::unexpected(std::move(more).error());
  if (*more) return {};
  ended_ = connection_->parser.end_of_input().event == Event::kEnd;
  if (!ended_) return lost(to_, connection_->parser.error().message);
  return {};
}

Task<Sent<std::string_view>> Response::Impl::read_some(Deadline deadline) {
  if (connection_) connection_->limit.set(deadline.at);
  for (;;) {
    if (auto piece = take()) co_return *std::move(piece);
    if (!connection_->early) {
      const auto came = co_await connection_->wire.read(connection_->in);
      connection_->early = came;
    }
    Sent<void> well = take_received();
    if (!well) co_return std::unexpected(std::move(well).error());
  }
}

Task<Sent<std::string>> Response::Impl::read_all(std::size_t limit, Deadline deadline) {
  if (connection_) connection_->limit.set(deadline.at);
  std::string all;
  for (;;) {
    while (auto piece = take()) {
      if (!*piece) co_return std::unexpected(std::move(*piece).error());
      if ((*piece)->empty()) co_return all;
      if (all.size() + (*piece)->size() > limit) {
        co_return failure(Failure::Kind::kMalformed,
                          exhausted(fmt::format("an answer is over {} bytes", limit)));
      }
      all += **piece;
    }
    if (!connection_->early) {
      const auto came = co_await connection_->wire.read(connection_->in);
      connection_->early = came;
    }
    Sent<void> well = take_received();
    if (!well) co_return std::unexpected(std::move(well).error());
  }
}

Response::Response(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Response::Response(Response&&) noexcept = default;
Response& Response::operator=(Response&&) noexcept = default;
Response::~Response() = default;

const ResponseHead& Response::head() const { return impl_->head(); }

ResponseHead Response::take_head() {
  ResponseHead& head = impl_->head();
  return {head.status, std::move(head.headers)};
}

Task<Sent<std::string_view>> Response::read_some(Deadline deadline) {
  return impl_->read_some(deadline);
}

Task<Sent<std::string>> Response::read_all(std::size_t limit, Deadline deadline) {
  return impl_->read_all(limit, deadline);
}

Client::Client(const Clock& clock, Config config) : impl_(std::make_unique<Impl>(clock, config)) {}
Client::~Client() = default;

void Client::close_idle() { impl_->pool.reset(); }

Task<Sent<std::unique_ptr<Connection>>> Client::Impl::connect(Endpoint to, Deadline deadline) {
  auto executor = co_await asio::this_coro::executor;
  auto connection =
      std::make_unique<Connection>(pool->watchdog, pool->buffers, executor, config.head_bytes);
  Deadline limit = deadline.earlier({clock.now() + config.connect_timeout});
  auto target = co_await resolve(to, limit);
  if (!target && deadline.passed(clock.now())) co_return late(to);
  if (!target) co_return refused(to, target.error().message());
  connection->limit.set(limit.at);
  Wire& wire = connection->wire;
  auto [ec] = co_await wire.socket().async_connect(*target, kOutcome);
  check_cancelled(ec, *connection);
  boost::system::error_code ignored;
  if (!ec) wire.socket().set_option(Tcp::no_delay(true), ignored);
  if (!ec && !connection->expired && config.tls) {
    wire.secure(tls::Stream::connect(*config.tls, wire.socket().native_handle(), to.host, to.port));
    ec = co_await wire.handshake();
    check_cancelled(ec, *connection);
  }
  connection->limit.clear();
  if (connection->expired && deadline.passed(clock.now())) co_return late(to);
  if (ec || connection->expired) {
    co_return refused(to, connection->expired ? "no connection in time" : wire.reason(ec));
  }
  co_return connection;
}

Task<Sent<Response>> Client::send(const Endpoint& to, const RequestHead& head,
                                  std::span<const std::string_view> body, Deadline deadline,
                                  Resend resend) {
  Impl& impl = *impl_;
  auto executor = co_await asio::this_coro::executor;
  if (!impl.pool) impl.pool = std::make_shared<Pool>(executor, impl.clock, impl.config);
  std::size_t length = 0;
  for (std::string_view piece : body) length += piece.size();
  std::string head_bytes;
  write_request_head(to, head, length, head_bytes);
  std::vector<std::string_view> pieces;
  pieces.reserve(1 + body.size());
  pieces.push_back(head_bytes);
  pieces.insert(pieces.end(), body.begin(), body.end());

  std::unique_ptr<Connection> connection = impl.pool->take(to, resend);
  for (;;) {
    if (!connection) {
      auto fresh = co_await impl.connect(to, deadline);
      if (!fresh) co_return std::unexpected(std::move(fresh).error());
      connection = std::move(*fresh);
    }
    connection->expired = connection->heard = false;
    connection->limit.set(deadline.at);
    connection->parser.expect(head.method);
    Outgoing out(pieces);
    const Outgoing::State state = connection->wire.write(out);
    connection->cut = state == Outgoing::State::kBroken;
    if (state == Outgoing::State::kBlocked) {
      const Listening listening(*connection, nullptr);
      auto sent = co_await transmit(*connection, to, out);
      if (!sent) co_return std::unexpected(std::move(sent).error());
    }
    auto answered = co_await await_head(*connection, to);
    if (answered) break;
    bool stale =
        connection->kept && answered.error().kind == Failure::Kind::kLost && connection->in.empty();
    if (!stale || resend == Resend::kNever) {
      Failure why = std::move(answered).error();
      why.kept = stale;
      co_return std::unexpected(std::move(why));
    }
    connection = nullptr;  // closed while idle: once more, on a connection of our own
  }
  co_return Response(std::make_unique<Response::Impl>(to, std::move(connection), impl.pool));
}

Task<Sent<Response>> Client::send(const Endpoint& to, const RequestHead& head, BodySource& body,
                                  std::optional<std::uint64_t> length, Deadline deadline) {
  Impl& impl = *impl_;
  auto executor = co_await asio::this_coro::executor;
  if (!impl.pool) impl.pool = std::make_shared<Pool>(executor, impl.clock, impl.config);
  std::string head_bytes;
  write_request_head(to, head, length, head_bytes);
  auto fresh = co_await impl.connect(to, deadline);
  if (!fresh) co_return std::unexpected(std::move(fresh).error());
  std::unique_ptr<Connection> connection = std::move(*fresh);
  connection->limit.set(deadline.at);
  connection->parser.expect(head.method);
  auto sent = co_await transmit_body(*connection, to, std::move(head_bytes), body, !length);
  if (!sent) co_return std::unexpected(std::move(sent).error());
  auto answered = co_await await_head(*connection, to);
  if (!answered) co_return std::unexpected(std::move(answered).error());
  co_return Response(std::make_unique<Response::Impl>(to, std::move(connection), impl.pool));
}

}  // namespace baton::http
