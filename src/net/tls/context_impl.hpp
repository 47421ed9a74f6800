#pragma once
// What stands behind the handles of context.hpp. Internal to net/tls.

#include <map>
#include <mutex>
#include <string>

#include "net/tls/context.hpp"
#include "net/tls/openssl.hpp"

namespace baton::tls {

// One loading of a server's files. Connections keep it, also beyond the ServerContext.
struct ServerState {
  std::string alpn;  // length-prefixed names; what `context` points at
  ContextPtr context;
};

// One loading of a client's files, with the sessions that its connections left for resumption.
struct ClientState {
  ContextPtr context;

  static constexpr std::size_t kMaxSessions = 1024;
  SessionPtr take(const std::string& peer) const;
  void keep(const std::string& peer, SessionPtr session) const;

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::string, SessionPtr> sessions_;  // by "host port"; guarded by mutex_
};

template <class State, class Config>
struct Loaded {
  Loaded(Config c, const Clock& k) : config(std::move(c)), clock(k) {}

  std::shared_ptr<const State> state() const {
    const std::lock_guard lock(mutex_);
    return current_;
  }
  void set(std::shared_ptr<const State> next) {
    const std::lock_guard lock(mutex_);
    current_ = std::move(next);
  }

  const Config config;
  const Clock& clock;
  std::string alpn;  // length-prefixed names

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const State> current_;  // guarded by mutex_
};

struct ServerContext::Impl : Loaded<ServerState, ServerContext::Config> {
  using Loaded::Loaded;
};
struct ClientContext::Impl : Loaded<ClientState, ClientContext::Config> {
  using Loaded::Loaded;
};

}  // namespace baton::tls
