#pragma once
// Serves leased KV to readers (formats/kv/kv_wire.hpp) on a few threads: each takes a connection,
// answers its requests and goes back to the listeners. A connection that stalls is cut.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "engine/runtime/engine.hpp"
#include "engine/runtime/lease_table.hpp"
#include "engine/runtime/socket.hpp"
#include "engine/runtime/socket_reader.hpp"

namespace baton::runtime {

// Thread-safe.
class KvServer {
 public:
  struct Deps {
    LeaseTable& leases;
    const model::KvMemory& memory;
    const Clock& clock;
  };

  // kInvalid: the host is no IP address. kUnavailable: cannot bind.
  static Result<std::unique_ptr<KvServer>> listen(const TransferConfig& config, kv::Digest model,
                                                  Deps deps);
  ~KvServer();

  std::uint16_t port() const { return port_; }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // of rows sent
  // Of these, while their prompt was still being computed.
  std::uint64_t early_bytes() const { return early_.load(std::memory_order_relaxed); }
  std::uint64_t refused() const { return refused_.load(std::memory_order_relaxed); }  // requests

  void start();
  // Cuts every connection and joins the threads.
  void stop();

 private:
  KvServer(const TransferConfig& config, kv::Digest model, Deps deps)
      : stall_(config.stall_timeout), tls_(config.serve_tls), model_(model), deps_(deps) {}
  void run();
  void serve(Socket peer);
  Status answer(const Socket& peer, SocketReader& from, const kv::Message& request);
  // Says so; what follows is the end of the connection.
  Error refuse(const Socket& peer, const Error& why);
  Status answer_pull(const Socket& peer, const kv::Pull& pull);
  // The reader copies from our memory, which stays the lease's until it is done.
  Status answer_shared(const Socket& peer, SocketReader& from, const kv::Pull& pull);
  Status check(const kv::Pull& pull) const;
  Status send_tokens(const Socket& peer, const kv::Pull& pull);
  // Until so many tokens of the layer are `there`; says so to the reader meanwhile.
  Status await(const Socket& peer, const kv::LeaseKey& key, std::uint32_t layer,
               std::uint32_t tokens, kv::Extent& there);
  bool is_complete(const kv::LeaseKey& key);
  Nanos sign_of_life() const;
  Status send_rows(const Socket& peer, const kv::Pull& pull, kv::Rows rows);
  Patience patience() const { return {deps_.clock, Deadline::in(deps_.clock, stall_), stopping_}; }

  const Nanos stall_;
  const std::shared_ptr<const tls::ServerContext> tls_;  // null: plain
  const kv::Digest model_;
  const Deps deps_;
  std::vector<Socket> listeners_;
  std::uint16_t port_ = 0;
  std::atomic<std::uint64_t> bytes_ = 0, early_ = 0, refused_ = 0;
  std::atomic<bool> stopping_ = false;
  Signal stop_;
  std::mutex turn_;  // of the thread that waits at the listeners: others are not woken for nothing
  std::vector<std::jthread> threads_;
};

// Shared with the reader. kUnavailable, kTimeout, kInvalid as the wire says.
Result<kv::FrameHead> receive_head(SocketReader& from, const Patience& patience);
// A whole control frame.
Result<kv::Message> receive_control(SocketReader& from, const Patience& patience);

}  // namespace baton::runtime
