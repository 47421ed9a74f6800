#include "engine/runtime/kv_server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <variant>

#include "base/core/log.hpp"
#include "engine/runtime/checksum.hpp"
#include "engine/runtime/kv_rows.hpp"

namespace baton::runtime {
namespace {

// Connections served at once; others wait in the backlog. Most of them wait for a prompt that is
// being computed.
constexpr std::size_t kServers = 16;
constexpr Nanos kSignOfLife = std::chrono::seconds(1);

// While it lives, the lease's blocks hold its prompt.
class Reading {
 public:
  static Result<Reading> begin(LeaseTable& leases, const kv::LeaseKey& key) {
    BATON_TRY_ASSIGN(const auto read, leases.begin_read(key));
    return Reading(leases, key.generation, read);
  }
  ~Reading() {
    if (leases_ != nullptr) leases_->end_read(generation_);
  }
  Reading(Reading&& other) noexcept
      : leases_(std::exchange(other.leases_, nullptr)),
        generation_(other.generation_),
        read_(other.read_) {}
  Reading& operator=(Reading&&) = delete;
  std::span<const BlockIndex> blocks() const { return read_.blocks; }
  bool complete() const { return read_.complete; }

 private:
  Reading(LeaseTable& leases, std::uint64_t generation, LeaseTable::Read read)
      : leases_(&leases), generation_(generation), read_(read) {}

  LeaseTable* leases_;
  std::uint64_t generation_;
  LeaseTable::Read read_;
};

// Bytes of a pull's rows that are in `extent`.
std::uint64_t bytes_in(const kv::Extent& extent, const kv::Pull& pull, std::size_t row_bytes) {
  std::uint64_t rows = 0;
  for (std::uint32_t layer = 0; layer < pull.shape.layers; ++layer)
    rows += std::clamp(extent.of(layer), pull.begin, pull.end) - pull.begin;
  return rows * row_bytes;
}

}  // namespace

Result<kv::FrameHead> receive_head(SocketReader& from, const Patience& patience) {
  std::array<char, kv::kFrameHead> bytes{};
  BATON_TRY(from.receive(bytes, patience));
  return kv::decode_head({bytes.data(), bytes.size()});
}

Result<kv::Message> receive_control(SocketReader& from, const Patience& patience) {
  BATON_TRY_ASSIGN(const auto head, receive_head(from, patience));
  if (head.kind == kv::FrameKind::kRows) return invalid("KV frame: rows where none are due");
  std::string body(head.length, '\0');
  BATON_TRY(from.receive(std::span(body), patience));
  return kv::decode_body(head.kind, body);
}

Result<std::unique_ptr<KvServer>> KvServer::listen(const TransferConfig& config, kv::Digest model,
                                                   Deps deps) {
  std::unique_ptr<KvServer> server(new KvServer(config, model, deps));
  BATON_TRY_ASSIGN(Listener tcp, listen_tcp(config.host, config.port));
  server->port_ = tcp.port;
  server->listeners_.push_back(std::move(tcp.socket));
  if (config.local_socket == LocalSocket::kOn) {
    BATON_TRY_ASSIGN(Socket local, listen_local(config.host, tcp.port));
    server->listeners_.push_back(std::move(local));
  }
  return server;
}

KvServer::~KvServer() { stop(); }

void KvServer::start() {
  for (std::size_t i = 0; i < kServers; ++i) threads_.emplace_back([this] { run(); });
}

void KvServer::stop() {
  stopping_ = true;
  stop_.raise();
  threads_.clear();
}

void KvServer::run() {
  while (true) {
    std::unique_lock turn(turn_);
    auto peer = accept_any(listeners_, stop_);
    turn.unlock();
    if (!peer) return;
    serve(*std::move(peer));
  }
}

void KvServer::serve(Socket peer) {
  if (tls_ && !peer.is_local()) {
    if (const auto secured = peer.secure(*tls_, patience()); !secured) {
      return log::debug("KV reader turned away", {{"why", secured.error().message()}});
    }
  }
  SocketReader from(peer);
  while (true) {
    const auto request = receive_control(from, patience());
    if (!request) {
      if (request.error().code() == Code::kInvalid) (void)refuse(peer, request.error());
      return;
    }
    if (!answer(peer, from, *request)) return;
  }
}

Status KvServer::answer(const Socket& peer, SocketReader& from, const kv::Message& request) {
  Status done;
  if (const auto* pull = std::get_if<kv::Pull>(&request)) {
    done = check(*pull);
    const bool here =
        pull->shared && peer.is_of_same_user() && deps_.memory.pages().descriptor() >= 0;
    if (done) return here ? answer_shared(peer, from, *pull) : answer_pull(peer, *pull);
  } else if (const auto* renew = std::get_if<kv::Renew>(&request)) {
    done = deps_.leases.renew(renew->key);
  } else if (const auto* release = std::get_if<kv::Release>(&request)) {
    done = deps_.leases.release(release->key);
  } else if (const auto* await = std::get_if<kv::Await>(&request)) {
    const auto now = deps_.leases.await(await->key, await->copied, sign_of_life());
    if (now) return peer.send(kv::encode(kv::Ready{await->key.generation, now->there}), patience());
    done = now.error();
  } else {
    done = invalid("KV frame: not a request");
  }
  if (done) return peer.send(kv::encode(kv::Done{}), patience());
  return refuse(peer, done.error());
}

// No reader of ours goes on after that, and a stranger is not to hold the thread.
Error KvServer::refuse(const Socket& peer, const Error& why) {
  if (refused_++ == 0)
    log::warn("a KV reader is turned away; said once, counted always", {{"why", why.message()}});
  (void)peer.send(kv::encode(kv::Failed{why.code(), why.message()}), patience());
  return why;
}

Status KvServer::check(const kv::Pull& pull) const {
  if (pull.model != model_) return conflict("the KV is of another model");
  if (pull.shape != wire_shape(deps_.memory.shape()))
    return conflict("the KV has another shape or element type");
  BATON_TRY(deps_.leases.check(pull.key, pull.prompt, pull.prompt_tokens));
  if (pull.begin > pull.end || pull.end > pull.prompt_tokens)
    return invalid(fmt::format("tokens {} to {} of {} are no range", pull.begin, pull.end,
                               pull.prompt_tokens));
  return {};
}

Status KvServer::answer_pull(const Socket& peer, const kv::Pull& pull) {
  BATON_TRY(peer.send(kv::encode(kv::Accepted{pull.key.generation}), patience()));
  if (const Status sent = send_tokens(peer, pull); !sent) {
    // Between frames the reader can be told why; inside one the cut connection says it.
    if (sent.error().code() == Code::kNotFound)
      (void)peer.send(kv::encode(kv::Failed{Code::kNotFound, sent.error().message()}), patience());
    return sent;
  }
  return peer.send(kv::encode(kv::End{pull.key.generation}), patience());
}

// All layers of some tokens before the next ones: what a reader has when the connection breaks, it
// need not ask for again. Tokens that are being computed go layer by layer, as these come.
Status KvServer::send_tokens(const Socket& peer, const kv::Pull& pull) {
  const auto most = static_cast<std::uint32_t>(rows_per_frame(deps_.memory.shape()));
  kv::Extent there;
  for (std::uint32_t first = pull.begin; first < pull.end;) {
    BATON_TRY(await(peer, pull.key, 0, first + 1, there));
    const std::uint32_t end = std::min(
        pull.end, there.tokens > first ? std::min(there.tokens, first + most) : there.until);
    for (std::uint32_t layer = 0; layer < pull.shape.layers; ++layer) {
      BATON_TRY(await(peer, pull.key, layer, end, there));
      for (std::uint32_t at = first; at < end; at += most) {
        BATON_TRY(
            send_rows(peer, pull, {pull.key.generation, layer, at, std::min(most, end - at), 0}));
      }
    }
    first = end;
  }
  return {};
}

Status KvServer::await(const Socket& peer, const kv::LeaseKey& key, std::uint32_t layer,
                       std::uint32_t tokens, kv::Extent& there) {
  while (there.of(layer) < tokens) {
    BATON_TRY_ASSIGN(const auto now, deps_.leases.await(key, there, sign_of_life()));
    if (!now.there.exceeds(there)) {
      BATON_TRY(peer.send(kv::encode(kv::Ready{key.generation, there}), patience()));
    }
    there = now.there;
  }
  return {};
}

bool KvServer::is_complete(const kv::LeaseKey& key) {
  const auto now = deps_.leases.await(key, {}, Nanos(0));
  return now && now->complete;
}

// Well before the reader takes us for dead.
Nanos KvServer::sign_of_life() const { return std::min(kSignOfLife, stall_ / 4); }

Status KvServer::answer_shared(const Socket& peer, SocketReader& from, const kv::Pull& pull) {
  const model::KvMemory& memory = deps_.memory;
  kv::Shared where{.generation = pull.key.generation,
                   .blocks = static_cast<std::uint32_t>(memory.blocks()),
                   .block_size = static_cast<std::uint32_t>(memory.block_size()),
                   .first = static_cast<std::uint32_t>(pull.begin / memory.block_size()),
                   .table = {}};
  const std::size_t end = (pull.end + memory.block_size() - 1) / memory.block_size();
  const std::size_t row_bytes = memory.shape().row_bytes();
  std::uint64_t early = 0;  // bytes copied before the prompt was complete
  kv::Message request;
  {
    BATON_TRY_ASSIGN(const Reading reading, Reading::begin(deps_.leases, pull.key));
    for (std::size_t i = where.first; i < end; ++i)
      where.table.push_back(static_cast<std::uint32_t>(reading.blocks()[i]));
    BATON_TRY(peer.send(kv::encode(where), patience()));
    BATON_TRY(peer.send_descriptor(memory.pages().descriptor(), patience()));
    while (true) {
      BATON_TRY_ASSIGN(request, receive_control(from, patience()));
      const auto* await = std::get_if<kv::Await>(&request);
      const bool over = await == nullptr && !std::holds_alternative<kv::Renew>(request);
      if ((await != nullptr || over) && !is_complete(pull.key)) {
        const auto copied = await != nullptr ? await->copied : kv::Extent::whole(pull.end);
        const std::uint64_t before = std::exchange(early, bytes_in(copied, pull, row_bytes));
        early_ += early - before;
      }
      if (over) break;
      BATON_TRY(answer(peer, from, request));
    }
  }
  if (!std::holds_alternative<kv::Release>(request))
    return invalid("KV frame: a shared pull ends with a release");
  bytes_ += bytes_in(kv::Extent::whole(pull.end), pull, row_bytes);
  return answer(peer, from, request);
}

Status KvServer::send_rows(const Socket& peer, const kv::Pull& pull, kv::Rows rows) {
  BATON_TRY_ASSIGN(const Reading reading, Reading::begin(deps_.leases, pull.key));
  std::vector<iovec> parts =
      rows_of(deps_.memory, rows.layer, reading.blocks(), rows.first, rows.count);
  rows.checksum = checksum(parts);
  const std::size_t payload = rows.count * deps_.memory.shape().row_bytes();
  std::string head = kv::encode(rows, payload);
  parts.insert(parts.begin(), iovec{head.data(), head.size()});
  const Status sent = peer.send(std::span(parts), patience());
  if (sent) bytes_ += payload;
  if (sent && !reading.complete()) early_ += payload;
  return sent;
}

}  // namespace baton::runtime
