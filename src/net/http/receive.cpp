#include "net/http/receive.hpp"

#include <boost/asio/detail/reactor.hpp>
#include <boost/asio/detail/reactor_op.hpp>
#include <boost/asio/error.hpp>
#include <boost/version.hpp>
#include <cerrno>

#include "base/core/assert.hpp"
#include "net/tls/socket_receive.hpp"
#include "net/tls/stream.hpp"

// Operations of one's own on Asio's reactor are not part of what it documents.
static_assert(BOOST_VERSION / 100 == 1081, "look whether epoll_reactor::start_op is the same");

namespace baton::http {

namespace {

using Reactor = asio::detail::reactor;

// The reactor's side of a socket.
struct Inside : Receive::Socket {
  static auto& of(Receive::Socket& socket) {
    return (socket.*(&Inside::impl_)).get_implementation();
  }
};

}  // namespace

struct Receive::Operation : asio::detail::reactor_op {
  Operation(Reactor& r, int s, tls::Stream* t)
      : reactor_op({}, perform_one, complete_one), reactor(r), socket(s), tls(t) {
    if (tls == nullptr) tls::tell_left_behind(socket);
    cancellation_key_ = this;
  }

  status receive(asio::mutable_buffer into) {
    const auto [got, drained] = tls::receive_some(socket, into.data(), into.size());
    if (got < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return not_done;
      ec_ = boost::system::error_code(errno, asio::error::get_system_category());
      return done;
    }
    if (got == 0) ec_ = asio::error::eof;
    bytes_transferred_ = static_cast<std::size_t>(got);
    return drained ? done_and_exhausted : done;
  }

  status read_tls(asio::mutable_buffer into) {
    using Became = tls::Stream::State;
    switch (tls->read({static_cast<char*>(into.data()), into.size()}, bytes_transferred_)) {
      case Became::kDone:
        return tls->drained() ? done_and_exhausted : done;
      case Became::kEnd:
        ec_ = asio::error::eof;
        return done;
      case Became::kBroken:
        ec_ = asio::error::connection_reset;  // the stream has the words
        return done;
      case Became::kWantRead:
      case Became::kWantWrite:  // only of a renegotiation, which is off
        break;
    }
    return not_done;
  }

  static status perform_one(reactor_op* base) {
    auto& self = *static_cast<Operation*>(base);
    const auto into = self.room.prepare();
    const status told = self.tls == nullptr ? self.receive(into) : self.read_tls(into);
    if (told == not_done) self.room.rest();
    return told;
  }

  // Without an owner the loop is being destroyed.
  static void complete_one(void* owner, asio::detail::operation* base,
                           const boost::system::error_code& /*ec*/, std::size_t /*size*/) {
    auto* const self = static_cast<Operation*>(base);
    self->outstanding = false;
    if (self->given_up) {
      delete self;
      return;
    }
    Done done = std::move(self->done_);
    const auto ec = self->ec_;
    const std::size_t size = self->bytes_transferred_;
    if (owner != nullptr) done(ec, size);
  }

  Reactor& reactor;
  const int socket;
  tls::Stream* const tls;
  Room room = asio::mutable_buffer();
  Done done_;
  bool outstanding = false;
  bool given_up = false;
};

Receive::~Receive() {
  if (operation_ == nullptr) return;
  if (!operation_->outstanding) {
    delete operation_;
    return;
  }
  operation_->given_up = true;
  operation_->done_ = nullptr;
}

bool Receive::outstanding() const { return operation_ != nullptr && operation_->outstanding; }

void Receive::start(Socket& socket, tls::Stream* tls, Room into, Done done) {
  auto& inside = Inside::of(socket);
  if (operation_ == nullptr) {
    auto& reactor = asio::use_service<Reactor>(socket.get_executor().context());
    operation_ = new Operation(reactor, inside.socket_, tls);
  }
  BATON_ASSERT(!operation_->outstanding);
  operation_->outstanding = true;
  operation_->room = into;
  into.rest();
  operation_->done_ = std::move(done);
  operation_->ec_ = {};
  operation_->bytes_transferred_ = 0;
  operation_->reactor.start_op(Reactor::read_op, inside.socket_, inside.reactor_data_, operation_,
                               /*is_continuation=*/true, /*allow_speculative=*/true);
}

void Receive::redirect(Done done) {
  BATON_ASSERT(outstanding());
  operation_->done_ = std::move(done);
}

void Receive::cancel(Socket& socket) {
  if (!outstanding()) return;
  auto& inside = Inside::of(socket);
  operation_->reactor.cancel_ops_by_key(inside.socket_, inside.reactor_data_, Reactor::read_op,
                                        operation_);
}

}  // namespace baton::http
