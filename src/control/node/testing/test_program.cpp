// Stands in for an engine or a sidecar in the tests of the node agent: writes down how it was
// started, answers GET /health on $BATON_POD_IP:PORT, and does what it is told:
//   --port N          where to listen (default 8000)
//   --exit-code N     ends at once
//   --ignore-term     survives SIGTERM
//   --version         ends at once
//   --print FILE      writes the file's first line to the log
//   --write FILE      makes the file, with its own process id
//   GET /crash        ends with code 3
//   GET /sick         /health answers 503 from now on
//   GET /metrics      vllm:num_requests_running 0

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

#include "control/node/mount_launcher.hpp"

extern char** environ;

namespace {

void record_start(int argc, char** argv) {
  std::printf("argv:");
  for (int i = 0; i < argc; ++i) std::printf(" %s", argv[i]);
  std::printf("\n");
  for (char** entry = environ; *entry != nullptr; ++entry) std::printf("env: %s\n", *entry);
  std::fflush(stdout);
}

void print_file(const char* name) {
  std::ifstream in(name);
  std::string line;
  std::getline(in, line);
  std::printf("%s: %s\n", name, in ? line.c_str() : "cannot be read");
  std::fflush(stdout);
}

void write_file(const char* name) {
  std::ofstream out(name);
  out << ::getpid() << std::flush;
  std::printf("%s: %s\n", name, out ? "written" : "cannot be written");
  std::fflush(stdout);
}

int listen_at(const char* address, int port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address, &at.sin_addr);
  if (::bind(socket, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(socket, 16) != 0) {
    std::perror("listen");
    std::exit(1);
  }
  return socket;
}

void answer(int connection, int status, std::string_view body) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " X\r\nConnection: close\r\n\r\n";
  text += body;
  [[maybe_unused]] const auto sent = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
}

void serve(int listener) {
  bool healthy = true;
  while (true) {
    const int connection = ::accept(listener, nullptr, nullptr);
    char buffer[2048];
    const auto got = ::recv(connection, buffer, sizeof buffer, 0);
    const std::string_view request(buffer, got > 0 ? static_cast<std::size_t>(got) : 0);
    if (request.starts_with("GET /crash")) std::_Exit(3);
    if (request.starts_with("GET /sick")) healthy = false;
    if (request.starts_with("GET /metrics")) {
      answer(connection, 200, "vllm:num_requests_running 0\n");
    } else {
      answer(connection, healthy ? 200 : 503, "");
    }
    ::close(connection);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (const auto code = baton::node::run_as_mount_launcher(argc, argv)) return *code;
  record_start(argc, argv);
  int port = 8000;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--version") return 0;
    if (word == "--exit-code" && i + 1 < argc) return std::atoi(argv[i + 1]);
    if (word == "--print" && i + 1 < argc) print_file(argv[i + 1]);
    if (word == "--write" && i + 1 < argc) write_file(argv[i + 1]);
    if (word == "--ignore-term") std::signal(SIGTERM, SIG_IGN);
    if (word == "--port" && i + 1 < argc) port = std::atoi(argv[i + 1]);
    if (word.starts_with("--port=")) port = std::atoi(argv[i] + std::string_view("--port=").size());
  }
  const char* address = std::getenv("BATON_POD_IP");
  serve(listen_at(address == nullptr ? "127.0.0.1" : address, port));
}
