#pragma once
// One connection of ZeroMQ's wire protocol, ZMTP 3.0 with the NULL mechanism, as a state machine:
// bytes in, bytes out, messages out. Source: rfc.zeromq.org/spec/23.
//
//   greeting  ff 00x8 7f | 03 00 | "NULL" 00x16 | as-server 00 | 00x31                    64 bytes
//   frame     [flags: 1 more, 2 long, 4 command][size, 1 byte; 8 big-endian when long][body]
//   command   [length of name][name][data]; READY carries ([length][name][length, 4 BE][value])…
//
//   kGreeting ──64 bytes──> kHandshake ──READY of a fitting socket type──> kReady
//
// A subscriber's wishes are messages 01 topic (00 to end it); those of ZMTP 3.1 (commands
// SUBSCRIBE, CANCEL) are given as such. PING is answered.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::zmtp {

inline constexpr std::size_t kGreeting = 64;                       // bytes
inline constexpr std::size_t kMaxCommand = 4096;                   // bytes
inline constexpr std::size_t kMaxMessage = std::size_t{40} << 20;  // bytes, all frames
inline constexpr std::size_t kMaxFrames = 8;                       // of a message

enum class Role : std::uint8_t { kPub, kSub, kRouter, kDealer };

using Message = std::vector<std::string>;  // frames

// Confined to its owner.
class Session {
 public:
  struct Limits {
    std::size_t message = kMaxMessage;  // bytes that the peer may send as one message
  };
  explicit Session(Role role) : Session(role, Limits()) {}
  Session(Role role, Limits limits);

  void feed(std::string_view bytes) { in_.append(bytes); }
  // The next whole message. nullopt: more bytes are needed. kInvalid: not ZMTP, a peer that does
  // not fit, or over a limit; the session is then over.
  Result<std::optional<Message>> next();
  bool ready() const { return state_ == State::kReady; }
  // Whether a message is here, whole or over its limit: next() gives it without more bytes.
  bool full() const;
  // Bytes of memory that what came takes: of a message, as a rule, that is not whole yet.
  std::size_t held() const { return in_.capacity() + message_bytes_; }

  // Waits for the end of the handshake.
  void send(const Message& message);
  // What is to be sent now.
  std::string& out() { return out_; }

 private:
  enum class State : std::uint8_t { kGreeting, kHandshake, kReady };
  struct Frame {
    std::uint8_t flags;
    std::string_view body;
  };

  Status greet();
  Result<std::optional<Frame>> frame();
  Result<std::optional<Message>> command(std::string_view body);
  Status handshake(std::string_view data) const;

  const Role role_;
  const Limits limits_;
  State state_ = State::kGreeting;
  std::string in_;
  std::size_t taken_ = 0;  // of in_
  std::string out_;
  std::string later_;  // behind the handshake
  Message message_;    // so far
  std::size_t message_bytes_ = 0;
};

// The frames of a message as bytes.
std::string encode(const Message& message);

}  // namespace baton::zmtp
