#pragma once
// The server's end of one connection, and its calls. Internal to net/grpc.

#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/watchdog.hpp"
#include "net/grpc/call.hpp"
#include "net/grpc/connection.hpp"
#include "net/grpc/server.hpp"

namespace baton::grpc {

using Handlers = std::map<std::string, Handler, std::less<>>;

class ServerConnection;

// Lives until its handler has returned and its stream is closed.
class ServerCall final : public ServerStream, public Call {
 public:
  ServerCall(ServerConnection& connection, http2::Stream& stream, http::Headers metadata,
             Deadline deadline);

  std::string_view path() const override { return *metadata_.get(":path"); }
  const http::Headers& metadata() const override { return metadata_; }
  std::string_view peer() const override;
  Deadline deadline() const override { return deadline_; }
  Task<Result<std::optional<std::string_view>>> read() override { return Call::read(); }
  void interrupt() override { Call::interrupt(); }
  Task<Status> write(std::span<const std::string_view> pieces) override {
    return Call::write(pieces);
  }

  void start(const Handler& handler);
  void cancel() { signal_.emit(asio::cancellation_type::terminal); }
  bool running() const { return running_; }

  // Its connection's:
  std::list<ServerCall>::iterator place;
  bool forgotten = false;

 private:
  void begin() override;
  Task<void> serve(const Handler& handler);
  void finished(const std::exception_ptr& failure);
  void conclude(const RpcStatus& status);
  void on_expiry();

  ServerConnection& owner_;
  http::Headers metadata_;
  const Deadline deadline_;
  async::Watchdog::Entry limit_;
  asio::cancellation_signal signal_;
  std::optional<RpcStatus> status_;
  bool running_ = true;
  bool started_ = false;  // the response's head is out
  bool expired_ = false;
};

class ServerConnection final : public Connection {
 public:
  struct Deps {
    const Clock& clock;
    async::Watchdog& watchdog;
    const Handlers& handlers;
    const Server::Config& config;
  };
  ServerConnection(const Deps& deps, http::Wire wire, std::string peer);
  ~ServerConnection() override = default;

  const std::string& peer() const { return peer_; }
  std::size_t message_limit() const;
  void drain();
  void cancel_calls();
  // Removes the call soon, once its handler has returned and its stream is closed.
  void forget_if_ended(ServerCall& call);

 private:
  void on_headers(http2::Stream& stream, http::Headers fields, http2::End end) override;
  void on_data(http2::Stream& stream, std::string_view bytes) override;
  void on_end(http2::Stream& stream) override;
  void on_closed(http2::Stream& stream, http2::Reset reason) override;
  void on_goaway() override {}
  void on_gone() override;
  void on_flushed() override;
  bool busy() const override { return !calls_.empty(); }

  void refuse(http2::Stream& stream, const RpcStatus& status);

  const Deps deps_;
  const std::string peer_;
  std::list<ServerCall> calls_;
  std::vector<ServerCall*> ended_;  // to be removed, once each
};

}  // namespace baton::grpc
