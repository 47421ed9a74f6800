#pragma once
// One connection of a server: reads heads, calls the handler, watches the client meanwhile.
// Internal to net/http.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/watchdog.hpp"
#include "net/http/parser.hpp"
#include "net/http/server.hpp"
#include "net/http/socket.hpp"
#include "net/http/wire.hpp"

namespace baton::http {

// Confined to its loop. What waits for bytes awaits a receive itself. While a handler runs that has
// the whole body, one is outstanding too, if there is room for its bytes: it is what notices that
// the client left.
//
//   (handshake ->) idle -> head -> handler (body, writes) -> idle ...      -> linger -> closed
class Session final : public Exchange {
 public:
  struct Deps {
    const Clock& clock;
    const Server::Config& config;
    const Handler& handler;
    const bool& stopping;
    async::Watchdog& watchdog;
    HandshakeLog& handshakes;
    SpareBuffers& buffers;
  };
  Session(const Deps& deps, Wire wire, std::string peer);

  // Until the connection is closed. Never throws.
  Task<void> run();
  // The slot that run() is spawned with.
  asio::cancellation_signal& signal() { return signal_; }
  // Lets an idle session see that the server stops; ends a handshake.
  void wake();
  void cancel() { signal_.emit(asio::cancellation_type::terminal); }

  const RequestHead& head() const override { return head_; }
  std::string_view peer() const override { return peer_; }
  Mono arrived() const override { return arrived_; }
  Task<Result<std::string>> read_body(std::size_t limit) override;
  Task<Result<std::string_view>> read_some(std::size_t limit) override;
  void drop_body() override;
  Task<Status> respond(ResponseHead head, std::string_view body) override;
  Task<Status> start(ResponseHead head) override;
  Task<Status> write(std::span<const std::string_view> pieces) override;
  Task<Status> finish() override;
  bool started() const override { return started_; }

 private:
  enum class Phase : std::uint8_t { kNone, kHandshake, kIdle, kHead, kBody, kWrite };
  enum class Reply : std::uint8_t { kNone, kLength, kChunked, kUntilClose };

  Task<void> serve();
  Task<bool> secure();
  Task<bool> next_head();
  Task<bool> answer();
  Task<void> refuse(int status, std::string_view message);
  Task<void> linger();
  Status admits_body(std::size_t limit) const;
  bool waits_to_be_asked() const;
  Result<bool> take_body(std::string& body, std::size_t limit);
  Task<Result<bool>> fill_body(std::string& body, std::size_t limit);
  Task<Status> receive_into(std::string& body);
  Task<Status> send(std::span<const std::string_view> pieces);
  void serialize(const ResponseHead& head, std::uint64_t length);
  void received(const boost::system::error_code& ec, std::size_t size);
  void watch();
  void on_expiry();
  void enter(Phase phase, Nanos budget);
  void leave();
  void end_body();

  Deps deps_;
  Wire wire_;
  std::string peer_;
  RequestParser parser_;
  InBuffer in_;
  async::Watchdog::Entry limit_;
  asio::cancellation_signal signal_;

  RequestHead head_;
  Mono arrived_{};
  std::string out_;                         // head or chunk framing of the write in progress
  std::vector<std::string_view> gathered_;  // the same, with the handler's pieces
  std::uint64_t reply_left_ = 0;            // of a kLength reply
  std::uint64_t body_taken_ = 0;            // by read_some()
  Nanos body_left_{};                       // for read_some() to wait
  Phase phase_ = Phase::kNone;
  Reply reply_ = Reply::kNone;
  bool gone_ = false;      // the client closed or broke the connection
  bool expired_ = false;   // limit_ fired
  bool handling_ = false;  // the handler runs
  bool body_done_ = false;
  bool body_dropped_ = false;
  bool started_ = false;
  bool finished_ = false;
  bool keep_ = false;    // the connection survives this answer
  bool unread_ = false;  // closing now would reset the connection under the answer
};

}  // namespace baton::http
