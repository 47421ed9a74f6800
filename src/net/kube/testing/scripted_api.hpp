#pragma once
// An API server that answers what a test says: right, wrong, slowly, or half.

#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "net/http/message.hpp"
#include "net/kube/access.hpp"

namespace baton::kube::testing {

class ScriptedApi {
 public:
  struct Request {
    std::string method;
    std::string target;
    std::string body;
    http::Headers headers;
  };
  // One client's connection, while its request is answered.
  class Connection {
   public:
    explicit Connection(int socket) : socket_(socket) {}
    void send(std::string_view bytes);
    // A whole response with Content-Length.
    void answer(int status, std::string_view body, std::string_view fields = "");
    // The head of one whose body goes on until close().
    void begin_stream() { send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"); }
    void chunk(std::string_view bytes);
    void end_stream() { send("0\r\n\r\n"); }
    void close();
    // Until the client closes, or the server ends.
    void wait_for_client();
    bool open() const { return open_; }

   private:
    const int socket_;
    bool open_ = true;
  };
  // Called on a thread of the connection, one request at a time.
  using Script = std::function<void(const Request&, Connection&)>;

  // Answers discovery of core/v1 (Pod, and ConfigMap without status) itself.
  explicit ScriptedApi(Script script);
  ~ScriptedApi();

  Access access() const;
  // What the script has been asked, in order; discovery left out.
  std::vector<Request> seen() const;
  // "GET /api/v1/pods?limit=2" for each.
  std::vector<std::string> lines() const;

 private:
  void accept();
  void serve(int socket);

  const Script script_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  mutable std::mutex mutex_;  // guards the rest
  std::vector<Request> seen_;
  std::vector<int> sockets_;
  std::list<std::thread> connections_;
  bool stopping_ = false;
  std::thread acceptor_;
};

// A Status document.
std::string status_body(int code, const std::string& reason, const std::string& message);

}  // namespace baton::kube::testing
