#include "control/node/addresses.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace baton::node {

namespace {

namespace fs = std::filesystem;

constexpr int kMaxTries = 512;

std::string dotted(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255,
                     address & 255);
}

std::uint32_t count_of(const AddressRange& range) { return (1U << (24 - range.bits)) * 254; }

std::string address_at(const AddressRange& range, std::uint32_t n) {
  n %= count_of(range);
  return dotted(range.network + (n / 254 << 8) + n % 254 + 1);
}

// Whether the kernel takes connections for it here.
bool is_local(const std::string& address) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  ::inet_pton(AF_INET, address.c_str(), &at.sin_addr);
  const bool local = ::bind(socket, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0;
  ::close(socket);
  return local;
}

std::string read_text(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// As the kernel prints it: the bytes of the address in reverse, in hex.
std::string kernel_form(std::string_view address) {
  in_addr parsed{};
  if (::inet_pton(AF_INET, std::string(address).c_str(), &parsed) != 1) return "";
  return fmt::format("{:08X}", parsed.s_addr);
}

std::string owner_of(std::uint64_t inode) {
  const std::string wanted = fmt::format("socket:[{}]", inode);
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string pid = process.path().filename();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    std::error_code denied;
    for (fs::directory_iterator at(process.path() / "fd", denied), end; at != end;
         at.increment(denied)) {
      std::error_code gone;
      if (fs::read_symlink(at->path(), gone) != wanted) continue;
      std::string name = read_text(process.path() / "comm");
      if (!name.empty() && name.back() == '\n') name.pop_back();
      return fmt::format("pid {} ({})", pid, name);
    }
  }
  return "an unknown process";
}

std::vector<Listener> all_listeners(const std::string& address, std::uint16_t port) {
  auto found = listeners(read_text("/proc/net/tcp"), port, address);
  const auto more = listeners(read_text("/proc/net/tcp6"), port, address);
  found.insert(found.end(), more.begin(), more.end());
  return found;
}

}  // namespace

std::string to_string(const AddressRange& range) {
  return fmt::format("{}/{}", dotted(range.network), range.bits);
}

Result<AddressRange> parse_address_range(std::string_view text) {
  const auto wrong = [&] {
    return invalid(fmt::format(
        "'{}': expected a network of 8 to 24 bits, such as 10.244.0.0/24, zero after them", text));
  };
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return wrong();
  in_addr parsed{};
  if (::inet_pton(AF_INET, std::string(text.substr(0, slash)).c_str(), &parsed) != 1) {
    return wrong();
  }
  AddressRange out{.network = ntohl(parsed.s_addr)};
  const auto bits = text.substr(slash + 1);
  const auto [end, ec] = std::from_chars(bits.data(), bits.data() + bits.size(), out.bits);
  const bool whole = ec == std::errc{} && end == bits.data() + bits.size();
  if (!whole || out.bits < 8 || out.bits > 24) return wrong();
  if ((out.network & (0xFFFFFFFFU >> out.bits)) != 0) return wrong();
  return out;
}

AddressPool::AddressPool(AddressRange range, std::uint64_t seed)
    : range_(range), next_(static_cast<std::uint32_t>(seed % count_of(range))) {}

Result<std::string> AddressPool::take(const std::vector<std::uint16_t>& ports) {
  const std::lock_guard lock(mutex_);
  for (int tries = 0; tries < kMaxTries; ++tries) {
    std::string address = address_at(range_, next_++);
    if (taken_.contains(address)) continue;
    if (!is_local(address)) {
      return unavailable(
          fmt::format("pod address {} is not this machine's: give {} to it first, as "
                      "`ip route add local {} dev lo` does",
                      address, to_string(range_), to_string(range_)));
    }
    bool free = true;
    for (const auto port : ports) {
      if (is_free(address, port)) continue;
      free = false;
      for (const auto& listener : all_listeners(address, port)) {
        if (!listener.wildcard) continue;
        return conflict(fmt::format(
            "port {} of every address is taken by {}: a pod cannot listen on it; stop that program "
            "or let it listen on one address",
            port, owner_of(listener.inode)));
      }
    }
    if (!free) continue;
    taken_.insert(address);
    return address;
  }
  return exhausted(
      fmt::format("no free address for a pod in {} ({} tried)", to_string(range_), kMaxTries));
}

void AddressPool::give_back(const std::string& address) {
  const std::lock_guard lock(mutex_);
  taken_.erase(address);
}

bool is_free(const std::string& address, std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  const int yes = 1;  // connections in TIME_WAIT are no obstacle
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(port);
  ::inet_pton(AF_INET, address.c_str(), &at.sin_addr);
  const bool free =
      ::bind(socket, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0 && ::listen(socket, 1) == 0;
  ::close(socket);
  return free;
}

std::vector<Listener> listeners(std::string_view proc_net_tcp, std::uint16_t port,
                                std::string_view address) {
  std::vector<Listener> out;
  const std::string wanted_port = fmt::format("{:04X}", port);
  const std::string wanted_address = kernel_form(address);
  std::istringstream lines{std::string(proc_net_tcp)};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream columns(line);
    const std::vector<std::string> words{std::istream_iterator<std::string>(columns), {}};
    constexpr std::size_t kLocal = 1, kState = 3, kInode = 9;
    constexpr std::string_view kListening = "0A";
    if (words.size() <= kInode || words[kState] != kListening) continue;
    const auto colon = words[kLocal].find(':');
    if (colon == std::string::npos || words[kLocal].substr(colon + 1) != wanted_port) continue;
    const auto local = words[kLocal].substr(0, colon);
    const bool wildcard = local.find_first_not_of('0') == std::string::npos;
    if (!wildcard && local != wanted_address) continue;
    Listener found{.wildcard = wildcard};
    std::from_chars(words[kInode].data(), words[kInode].data() + words[kInode].size(), found.inode);
    out.push_back(found);
  }
  return out;
}

std::string who_listens(const std::string& address, std::uint16_t port) {
  const auto found = all_listeners(address, port);
  return found.empty() ? "an unknown process" : owner_of(found.front().inode);
}

}  // namespace baton::node
