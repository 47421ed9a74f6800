#include "net/grpc/client.hpp"

#include <fmt/format.h>

#include <array>
#include <boost/system/system_error.hpp>
#include <charconv>
#include <set>
#include <utility>

#include "base/async/task_group.hpp"
#include "base/async/watchdog.hpp"
#include "base/core/assert.hpp"
#include "net/grpc/call.hpp"
#include "net/grpc/connection.hpp"
#include "net/http/async_resolve.hpp"

namespace baton::grpc {

namespace {

using http::Tcp;

class ClientConnection;

class ClientCall final : public ClientStream, public Call {
 public:
  ClientCall(std::shared_ptr<ClientConnection> connection, http2::Stream& stream,
             std::size_t message_limit, Deadline deadline);
  ~ClientCall() override;

  Task<Status> write(std::span<const std::string_view> pieces) override {
    return Call::write(pieces);
  }
  void finish_writing() override { half_close(); }
  Task<Result<std::optional<std::string_view>>> read() override;
  const RpcStatus& status() const override { return status_; }

  void head(const http::Headers& fields);

 private:
  Error break_reason() const override;

  std::shared_ptr<ClientConnection> owner_;
  const Mono begun_;
  async::Watchdog::Entry limit_;
  RpcStatus status_{StatusCode::kUnknown, "the call has not ended"};
  bool told_ = false;  // the peer's grpc-status has come
  bool expired_ = false;
};

// Held by its calls and, while it is of use, by the client.
class ClientConnection final : public Connection {
 public:
  using Connection::Connection;
  ~ClientConnection() override = default;

  bool usable() const { return !gone() && !going_; }
  void add(ClientCall& call) { calls_.insert(&call); }
  void remove(ClientCall& call) {
    calls_.erase(&call);
    settle();
  }

 private:
  static ClientCall* call_of(const http2::Stream& stream) {
    return stream.owner == nullptr ? nullptr
                                   : static_cast<ClientCall*>(static_cast<Call*>(stream.owner));
  }
  void on_headers(http2::Stream& stream, http::Headers fields, http2::End end) override {
    ClientCall* call = call_of(stream);
    if (call == nullptr) return;
    call->head(fields);
    if (end == http2::End::kYes) call->ended();
  }
  void on_data(http2::Stream& stream, std::string_view bytes) override {
    if (ClientCall* call = call_of(stream)) {
      call->received(bytes);
    } else {
      session().consumed(stream, bytes.size());
    }
  }
  void on_end(http2::Stream& stream) override {
    if (ClientCall* call = call_of(stream)) call->ended();
  }
  void on_closed(http2::Stream& stream, http2::Reset reason) override {
    if (ClientCall* call = call_of(stream)) call->closed(reason);
  }
  void on_goaway() override { going_ = true; }
  void on_gone() override {
    for (ClientCall* call : calls_) call->closed(http2::Reset::kCancel);
  }
  void on_flushed() override {
    for (ClientCall* call : calls_) call->flushed();
  }
  bool busy() const override { return false; }

  std::set<ClientCall*> calls_;
  bool going_ = false;
};

ClientCall::ClientCall(std::shared_ptr<ClientConnection> connection, http2::Stream& stream,
                       std::size_t message_limit, Deadline deadline)
    : Call(*connection, stream, message_limit),
      owner_(std::move(connection)),
      begun_(owner_->clock().now()),
      limit_(owner_->watchdog(), [this] {
        expired_ = true;
        // The peer may be gone without a word: the next call shall have another connection.
        if (owner_->heard() < begun_) return owner_->abort();
        reset(http2::Reset::kCancel);
      }) {
  owner_->add(*this);
  if (deadline.at != Mono::max()) limit_.set(deadline.at);
}

ClientCall::~ClientCall() {
  if (stream_ != nullptr) {
    stream_->owner = nullptr;
    reset(http2::Reset::kCancel);
  }
  owner_->remove(*this);
}

void ClientCall::head(const http::Headers& fields) {
  if (const auto text = fields.get("grpc-status")) {
    unsigned code = 2;
    std::from_chars(text->data(), text->data() + text->size(), code);
    status_.code = code <= 16 ? static_cast<StatusCode>(code) : StatusCode::kUnknown;
    status_.message = percent_decode(fields.get("grpc-message").value_or(""));
    told_ = true;
    return;
  }
  const auto http_status = fields.get(":status");
  if (!http_status || *http_status == "200") return;
  status_ = {StatusCode::kUnavailable, fmt::format("HTTP status {}", *http_status)};
  told_ = true;
}

Error ClientCall::break_reason() const {
  if (expired_) return timed_out("the call's deadline passed");
  if (told_ && !status_.ok()) return to_error(status_);
  return unavailable(Call::break_reason().message());
}

Task<Result<std::optional<std::string_view>>> ClientCall::read() {
  auto message = co_await Call::read();
  if (!message) {
    if (!told_) status_ = to_status(message.error());
  } else if (!*message && !told_) {
    status_ = {StatusCode::kUnknown, "the stream ended without a grpc-status"};
  }
  co_return message;
}

}  // namespace

struct Client::Impl {
  Impl(const asio::any_io_executor& ex, const Clock& c, http::Endpoint e, Config cfg)
      : executor(ex),
        clock(c),
        to(std::move(e)),
        config(std::move(cfg)),
        watchdog(ex),
        changed(ex),
        tasks(ex) {}

  Task<Status> connect();
  Task<Result<http::Wire>> dial();

  const asio::any_io_executor executor;
  const Clock& clock;
  const http::Endpoint to;
  const Config config;
  async::Watchdog watchdog;
  std::shared_ptr<ClientConnection> connection;
  async::Event changed;  // an attempt to connect is over
  bool connecting = false;
  async::TaskGroup tasks;
};

namespace {

// Keeps the connection while it runs.
Task<void> run(std::shared_ptr<ClientConnection> connection) { co_await connection->run(); }

}  // namespace

Task<Result<http::Wire>> Client::Impl::dial() {
  const Deadline in_time = Deadline::in(clock, config.connect_timeout);
  const auto target = co_await http::resolve(to, in_time);
  if (!target) {
    co_return unavailable(fmt::format("{}: {}", http::to_string(to), target.error().message()));
  }
  Tcp::socket socket(executor);
  bool expired = false;
  async::Watchdog::Entry limit(watchdog, [&socket, &expired] {
    expired = true;
    boost::system::error_code ignored;
    socket.cancel(ignored);
  });
  limit.set(in_time.at);
  const auto [ec] = co_await socket.async_connect(*target, http::kOutcome);
  limit.clear();
  if (expired) co_return timed_out(fmt::format("{}: no connection in time", http::to_string(to)));
  // Our caller was cancelled.
  if (ec == asio::error::operation_aborted) throw boost::system::system_error(ec);
  if (ec) co_return unavailable(fmt::format("{}: {}", http::to_string(to), ec.message()));
  boost::system::error_code ignored;
  socket.set_option(Tcp::no_delay(true), ignored);
  std::unique_ptr<tls::Stream> tls;
  if (config.tls) {
    tls = tls::Stream::connect(*config.tls, socket.native_handle(), to.host, to.port);
  }
  co_return http::Wire(std::move(socket), std::move(tls));
}

Task<Status> Client::Impl::connect() {
  while (connecting) co_await changed.wait();
  if (connection && connection->usable()) co_return Status();
  connecting = true;
  struct Done {
    Impl& impl;
    ~Done() {
      impl.connecting = false;
      impl.changed.notify();
    }
  } const done{*this};
  auto wire = co_await dial();
  if (!wire) co_return std::move(wire).error();
  const ConnectionLimits times{.handshake_timeout = config.connect_timeout};
  auto fresh = std::make_shared<ClientConnection>(clock, watchdog, *std::move(wire),
                                                  http2::Role::kClient, config.http2, times);
  const Status secured = co_await fresh->handshake();
  if (!secured) co_return secured.error().with(http::to_string(to));
  connection = std::move(fresh);
  tasks.spawn(run(connection));
  co_return Status();
}

Client::Client(asio::any_io_executor executor, const Clock& clock, http::Endpoint to, Config config)
    : impl_(std::make_unique<Impl>(executor, clock, std::move(to), std::move(config))) {}
Client::~Client() = default;

Task<Result<std::unique_ptr<ClientStream>>> Client::open(std::string_view path, Deadline deadline,
                                                         http::Headers metadata) {
  Impl& impl = *impl_;
  BATON_CO_TRY(co_await impl.connect());
  http::Headers fields{
      {":method", "POST"},          {":scheme", impl.config.tls ? "https" : "http"},
      {":path", std::string(path)}, {":authority", http::to_string(impl.to)},
      {"te", "trailers"},           {"content-type", "application/grpc"}};
  if (deadline.at != Mono::max()) {
    fields.add("grpc-timeout", timeout_text(deadline.left(impl.clock.now())));
  }
  for (const http::Field& field : metadata) fields.add(field.name, field.value);
  http2::Stream* stream = impl.connection->session().request(fields);
  if (stream == nullptr) {
    co_return unavailable(fmt::format("{}: takes no new calls", http::to_string(impl.to)));
  }
  impl.connection->schedule_flush();
  co_return std::unique_ptr<ClientStream>(
      std::make_unique<ClientCall>(impl.connection, *stream, impl.config.message_bytes, deadline));
}

Task<Result<std::string>> Client::unary(std::string_view path, std::string_view message,
                                        Deadline deadline, http::Headers metadata) {
  BATON_CO_TRY_ASSIGN(auto call, co_await open(path, deadline, std::move(metadata)));
  // A server may answer with an error before it has read the message.
  (void)co_await call->write(message);
  call->finish_writing();
  std::optional<std::string> answer;
  for (;;) {
    auto next = co_await call->read();
    if (!next) co_return std::move(next).error();
    if (!*next) break;
    answer = std::string(**next);
  }
  if (!call->status().ok()) co_return to_error(call->status());
  if (!answer) co_return internal("an answer without a message");
  co_return *std::move(answer);
}

Task<void> Client::stop() {
  if (impl_->connection) impl_->connection->abort();
  co_await impl_->tasks.join();
  impl_->connection = nullptr;
}

Task<Status> ClientStream::write(std::string_view message) {
  const std::array<std::string_view, 1> pieces = {message};
  co_return co_await write(pieces);
}

}  // namespace baton::grpc
