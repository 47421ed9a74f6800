#include "net/http/blocking_client.hpp"

#include <fmt/format.h>

#include <array>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "net/http/blocking_connection.hpp"
#include "net/http/client_message.hpp"
#include "net/http/parser.hpp"
#include "net/http/socket.hpp"

namespace baton::http {

namespace {

struct HeldConnection {
  HeldConnection(const Clock& clock, std::size_t head_bytes)
      : link(clock), parser({.head_bytes = head_bytes}), in(head_bytes + kReadBytes, buffers) {}

  BlockingConnection link;
  ResponseParser parser;
  SpareBuffers buffers{4 << 10};
  InBuffer in;
  bool kept = false;  // has carried an exchange before
  Mono until{};       // at rest: when it is too old
};
using ConnectionPtr = std::unique_ptr<HeldConnection>;

// What an error of the connection means for the exchange.
std::unexpected<Failure> broken(const Endpoint& to, Error error) {
  if (error.code() == Code::kTimeout) return late(to);
  return failure(Failure::Kind::kLost, std::move(error).with(to_string(to)));
}

// Receives once into the connection's buffer. False at the end of the stream.
Sent<bool> receive(HeldConnection& connection, const Endpoint& to, Deadline deadline) {
  const asio::mutable_buffer room = connection.in.prepare();
  auto got = connection.link.receive({static_cast<char*>(room.data()), room.size()}, deadline);
  if (!got) return broken(to, std::move(got).error());
  if (*got > 0) connection.in.commit(*got);
  return *got > 0;
}

// Until the head of the answer is parsed.
Sent<void> await_head(HeldConnection& connection, const Endpoint& to, Deadline deadline) {
  for (;;) {
    const Step step = connection.parser.next(connection.in.view());
    connection.in.consume(step.consumed);
    if (step.event == Event::kHead) return {};
    if (step.event == Event::kError) return not_http(to, connection.parser.error().message);
    const auto more = receive(connection, to, deadline);
    if (!more) return std::unexpected(more.error());
    if (!*more) return lost(to, "the connection closed before an answer");
  }
}

}  // namespace

// Connections at rest, shared with the answers that give theirs back. Thread-safe.
struct BlockingPool {
  ConnectionPtr take(const Endpoint& to, Mono now) {
    const std::lock_guard lock(mutex);
    auto& list = idle[to];
    while (!list.empty()) {
      ConnectionPtr connection = std::move(list.back());  // the most recently used
      list.pop_back();
      if (now < connection->until && connection->link.quiet()) return connection;
    }
    return nullptr;
  }
  void put(const Endpoint& to, ConnectionPtr connection, std::size_t bound) {
    connection->kept = true;
    const std::lock_guard lock(mutex);
    auto& list = idle[to];
    if (bound == 0) return;
    while (list.size() >= bound) list.pop_front();
    list.push_back(std::move(connection));
  }

  std::mutex mutex;
  std::map<Endpoint, std::list<ConnectionPtr>> idle;  // guarded by mutex
};

struct BlockingClient::Impl {
  Sent<ConnectionPtr> connect(const Endpoint& to, Deadline deadline);

  const Clock& clock;
  const Config config;
  std::shared_ptr<BlockingPool> pool = std::make_shared<BlockingPool>();
};

struct BlockingResponse::Impl {
  Sent<std::string_view> read_some(Deadline deadline);
  void release();

  Endpoint to;
  ConnectionPtr connection;  // stays until the end: close() may come at any time
  std::shared_ptr<BlockingPool> pool;
  const Clock& clock;
  BlockingClient::Config config;
  ResponseHead head;
  bool ended = false;
  std::mutex mutex;  // guards what close() and release() do to the connection
  bool closed = false;
};

void BlockingResponse::Impl::release() {
  const std::lock_guard lock(mutex);
  ended = true;
  ConnectionPtr mine = std::move(connection);
  if (!mine || closed || !mine->parser.keep_alive() || !mine->in.empty()) return;
  mine->until = clock.now() + config.idle_timeout;
  pool->put(to, std::move(mine), config.idle_per_endpoint);
}

Sent<std::string_view> BlockingResponse::Impl::read_some(Deadline deadline) {
  if (!connection) return std::string_view();
  if (ended) {
    release();
    return std::string_view();
  }
  HeldConnection& c = *connection;
  for (;;) {
    auto piece = gather(c.parser, c.in, to, ended);
    if (!piece || !piece->empty()) return piece;
    if (ended) break;
    const auto more = receive(c, to, deadline);
    if (!more) return std::unexpected(more.error());
    if (*more) continue;
    if (c.parser.end_of_input().event == Event::kEnd) break;
    return lost(to, c.parser.error().message);
  }
  release();
  return std::string_view();
}

BlockingResponse::BlockingResponse(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BlockingResponse::~BlockingResponse() = default;

const ResponseHead& BlockingResponse::head() const { return impl_->head; }

Sent<std::string_view> BlockingResponse::read_some(Deadline deadline) {
  return impl_->read_some(deadline);
}

Sent<std::string> BlockingResponse::read_all(std::size_t limit, Deadline deadline) {
  std::string all;
  for (;;) {
    auto piece = read_some(deadline);
    if (!piece) return std::unexpected(std::move(piece).error());
    if (piece->empty()) return all;
    if (all.size() + piece->size() > limit) {
      return failure(Failure::Kind::kMalformed,
                     exhausted(fmt::format("an answer is over {} bytes", limit)));
    }
    all += *piece;
  }
}

void BlockingResponse::close() {
  const std::lock_guard lock(impl_->mutex);
  impl_->closed = true;
  if (impl_->connection) impl_->connection->link.close();
}

BlockingClient::BlockingClient(const Clock& clock, Config config)
    : impl_(std::make_unique<Impl>(clock, std::move(config))) {}
BlockingClient::~BlockingClient() = default;

Sent<ConnectionPtr> BlockingClient::Impl::connect(const Endpoint& to, Deadline deadline) {
  auto connection = std::make_unique<HeldConnection>(clock, config.head_bytes);
  const Deadline limit = deadline.earlier({clock.now() + config.connect_timeout});
  Status done = connection->link.connect(to, limit);
  if (done && config.tls) done = connection->link.secure(*config.tls, to, limit);
  if (done) return connection;
  if (deadline.passed(clock.now())) return late(to);
  if (done.error().code() == Code::kTimeout) return refused(to, "no connection in time");
  return failure(Failure::Kind::kRefused, std::move(done).error().with(to_string(to)));
}

Sent<std::unique_ptr<BlockingResponse>> BlockingClient::open(const Endpoint& to,
                                                             const RequestHead& head,
                                                             std::string_view body,
                                                             Deadline deadline) {
  Impl& impl = *impl_;
  std::string head_bytes;
  write_request_head(to, head, body.size(), head_bytes);
  const std::array<std::string_view, 2> pieces = {head_bytes, body};
  ConnectionPtr connection = impl.pool->take(to, impl.clock.now());
  for (;;) {
    if (!connection) {
      auto fresh = impl.connect(to, deadline);
      if (!fresh) return std::unexpected(std::move(fresh).error());
      connection = std::move(*fresh);
    }
    connection->parser.expect(head.method);
    const Status sent = connection->link.send(pieces, deadline);
    if (!sent && sent.error().code() == Code::kTimeout) return late(to);
    // A peer that broke the connection may have answered before.
    const auto answered = await_head(*connection, to, deadline);
    if (answered) break;
    const bool stale =
        connection->kept && answered.error().kind == Failure::Kind::kLost && connection->in.empty();
    if (!stale) return std::unexpected(answered.error());
    connection = nullptr;  // closed while idle: once more, on a connection of our own
  }
  ResponseHead answer = std::move(connection->parser.head());
  return std::make_unique<BlockingResponse>(std::unique_ptr<BlockingResponse::Impl>(
      new BlockingResponse::Impl{.to = to,
                                 .connection = std::move(connection),
                                 .pool = impl.pool,
                                 .clock = impl.clock,
                                 .config = impl.config,
                                 .head = std::move(answer),
                                 .mutex = {}}));
}

Sent<BlockingAnswer> BlockingClient::send(const Endpoint& to, const RequestHead& head,
                                          std::string_view body, std::size_t limit,
                                          Deadline deadline) {
  auto response = open(to, head, body, deadline);
  if (!response) return std::unexpected(std::move(response).error());
  auto all = (*response)->read_all(limit, deadline);
  if (!all) return std::unexpected(std::move(all).error());
  return BlockingAnswer{(*response)->head(), *std::move(all)};
}

}  // namespace baton::http
