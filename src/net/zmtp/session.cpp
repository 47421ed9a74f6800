#include "net/zmtp/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace baton::zmtp {
namespace {

constexpr std::size_t kMaxHead = 9;                    // bytes of a frame before its body
constexpr std::size_t kKept = std::size_t{256} << 10;  // bytes of memory, between messages
constexpr std::uint8_t kMore = 1, kLong = 2, kCommand = 4;
constexpr std::string_view kNull = "NULL";
constexpr std::string_view kReadyName = "READY", kSocketType = "Socket-Type";

std::string greeting() {
  std::string out = "\xff";
  out.append(8, '\0').append("\x7f\x03").append(1, '\0').append(kNull);
  out.resize(kGreeting, '\0');
  return out;
}

void put_frame(std::string& out, std::uint8_t flags, std::string_view body) {
  const bool wide = body.size() > 0xff;
  out.push_back(static_cast<char>(flags | (wide ? kLong : 0)));
  for (int i = wide ? 7 : 0; i >= 0; --i) out.push_back(static_cast<char>(body.size() >> (8 * i)));
  out += body;
}

std::string command_body(std::string_view name, std::string_view data) {
  std::string out(1, static_cast<char>(name.size()));
  return out.append(name).append(data);
}

std::string_view type_name(Role role) {
  switch (role) {
    case Role::kPub:
      return "PUB";
    case Role::kSub:
      return "SUB";
    case Role::kRouter:
      return "ROUTER";
    case Role::kDealer:
      return "DEALER";
  }
  return "";
}

bool fits(Role role, std::string_view peer) {
  switch (role) {
    case Role::kPub:
      return peer == "SUB" || peer == "XSUB";
    case Role::kSub:
      return peer == "PUB" || peer == "XPUB";
    case Role::kRouter:
      return peer == "DEALER" || peer == "REQ" || peer == "ROUTER";
    case Role::kDealer:
      return peer == "ROUTER" || peer == "REP" || peer == "DEALER";
  }
  return false;
}

std::string ready_body(Role role) {
  const auto type = type_name(role);
  std::string data(1, static_cast<char>(kSocketType.size()));
  data.append(kSocketType).append(3, '\0').append(1, static_cast<char>(type.size())).append(type);
  return command_body(kReadyName, data);
}

}  // namespace

Session::Session(Role role, Limits limits) : role_(role), limits_(limits), out_(greeting()) {}

Status Session::greet() {
  const std::string_view peer = std::string_view(in_).substr(0, kGreeting);
  if (peer[0] != '\xff' || peer[9] != '\x7f') return invalid("ZMTP: not its signature");
  if (peer[10] < 3) return invalid(fmt::format("ZMTP: version {}, 3 is spoken here", +peer[10]));
  std::string_view mechanism = peer.substr(12, 20);
  mechanism = mechanism.substr(0, mechanism.find('\0'));
  if (mechanism != kNull) {
    return invalid(fmt::format("ZMTP: the peer wants mechanism '{}', NULL is spoken here",
                               mechanism.size() > 20 ? "" : mechanism));
  }
  taken_ = kGreeting;
  put_frame(out_, kCommand, ready_body(role_));
  state_ = State::kHandshake;
  return {};
}

// The next whole frame, taken; its view is valid until the next feed.
Result<std::optional<Session::Frame>> Session::frame() {
  const auto* at = reinterpret_cast<const unsigned char*>(in_.data()) + taken_;
  const std::size_t have = in_.size() - taken_;
  if (have < 2) return std::optional<Frame>();
  const std::uint8_t flags = at[0];
  if ((flags & ~(kMore | kLong | kCommand)) != 0 || (flags & kCommand && flags & kMore)) {
    return invalid(fmt::format("ZMTP: a frame with flags {:#x}", flags));
  }
  const std::size_t head = flags & kLong ? kMaxHead : 2;
  if (have < head) return std::optional<Frame>();
  std::uint64_t size = 0;
  for (std::size_t i = 1; i < head; ++i) size = size << 8 | at[i];
  const std::size_t most = flags & kCommand ? kMaxCommand : limits_.message - message_bytes_;
  if (size > most) return invalid(fmt::format("ZMTP: a frame of {} bytes, {} allowed", size, most));
  if (have - head < size) return std::optional<Frame>();
  taken_ += head + size;
  return std::optional(Frame{flags, {reinterpret_cast<const char*>(at) + head, size}});
}

Status Session::handshake(std::string_view data) const {
  while (!data.empty()) {
    const auto name_size = static_cast<unsigned char>(data[0]);
    if (data.size() < std::size_t{5} + name_size) break;
    const auto name = data.substr(1, name_size);
    data.remove_prefix(1 + std::size_t{name_size});
    std::uint32_t size = 0;
    for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(data[i]);
    data.remove_prefix(4);
    if (data.size() < size) break;
    const auto value = data.substr(0, size);
    data.remove_prefix(size);
    if (name != kSocketType) continue;
    if (fits(role_, value)) return {};
    return invalid(fmt::format("ZMTP: the peer is a '{}' socket, which does not fit a {}",
                               value.substr(0, 16), type_name(role_)));
  }
  return invalid("ZMTP: a READY without socket type");
}

Result<std::optional<Message>> Session::command(std::string_view body) {
  const std::size_t size = body.empty() ? 0 : static_cast<unsigned char>(body[0]);
  if (body.empty() || body.size() < 1 + size) return invalid("ZMTP: a malformed command");
  const auto name = body.substr(1, size);
  const auto data = body.substr(1 + size);
  if (name == "ERROR") {
    return invalid(
        fmt::format("ZMTP: the peer refuses: {}", data.empty() ? data : data.substr(1, 255)));
  }
  if (state_ == State::kHandshake) {
    if (name != kReadyName) return invalid("ZMTP: a command before READY");
    BATON_TRY(handshake(data));
    state_ = State::kReady;
    out_ += std::exchange(later_, {});
  } else if (name == "PING" && data.size() >= 2) {
    put_frame(out_, kCommand, command_body("PONG", data.substr(2, 16)));
  } else if (name == "SUBSCRIBE" || name == "CANCEL") {
    std::string wish(1, name == "SUBSCRIBE" ? '\1' : '\0');
    return std::optional(Message{wish.append(data)});
  }
  return std::optional<Message>();
}

Result<std::optional<Message>> Session::next() {
  if (state_ == State::kGreeting) {
    if (in_.size() < kGreeting) return std::optional<Message>();
    BATON_TRY(greet());
  }
  while (true) {
    BATON_TRY_ASSIGN(const auto frame, this->frame());
    if (!frame) {
      in_.erase(0, std::exchange(taken_, 0));
      if (in_.capacity() > std::max(kKept, 2 * in_.size())) in_.shrink_to_fit();
      return std::optional<Message>();
    }
    if (frame->flags & kCommand) {
      BATON_TRY_ASSIGN(auto wish, command(frame->body));
      if (wish) return wish;
      continue;
    }
    if (state_ != State::kReady) return invalid("ZMTP: a message before READY");
    message_.emplace_back(frame->body);
    message_bytes_ += frame->body.size();
    if (message_.size() > kMaxFrames) {
      return invalid(fmt::format("ZMTP: a message of more than {} frames", kMaxFrames));
    }
    if (frame->flags & kMore) continue;
    message_bytes_ = 0;
    return std::optional(std::exchange(message_, {}));
  }
}

bool Session::full() const {
  return in_.size() - taken_ >= std::max(limits_.message, kMaxCommand) + kMaxHead;
}

void Session::send(const Message& message) { (ready() ? out_ : later_) += encode(message); }

std::string encode(const Message& message) {
  std::string out;
  for (std::size_t i = 0; i < message.size(); ++i) {
    put_frame(out, i + 1 < message.size() ? kMore : 0, message[i]);
  }
  return out;
}

}  // namespace baton::zmtp
