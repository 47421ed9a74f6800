#pragma once
// How to reach an API server and as whom: what a kubeconfig or a service account come down to.
// Values only; `credentials.hpp` reads the files and runs the plugins.

#include <map>
#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "net/http/message.hpp"

namespace baton::kube {

// PEM text, or a file that holds it; both empty: none.
struct Pem {
  std::string text;
  std::string file;
  bool empty() const { return text.empty() && file.empty(); }
  friend bool operator==(const Pem&, const Pem&) = default;
};

// client.authentication.k8s.io: a program that prints credentials.
struct ExecPlugin {
  std::string api_version;
  std::string command;  // a path, or a name looked up in PATH
  std::vector<std::string> args;
  std::map<std::string, std::string> env;  // added to the process's own
  std::string install_hint;                // shown when the program is missing
  bool provide_cluster_info = false;
  friend bool operator==(const ExecPlugin&, const ExecPlugin&) = default;
};

struct Access {
  std::string source;  // for messages: "context 'x' of /home/u/.kube/config"

  // The server.
  bool https = true;
  http::Endpoint server;
  std::string base_path;    // before /api and /apis; no slash at the end
  std::string server_name;  // to verify instead of the host; empty: the host
  Pem ca;                   // empty: the system's
  bool verify = true;

  // As whom. A certificate may come beside one of the others; a token file wins over a token.
  Pem certificate;
  Pem key;
  std::string token;
  std::string token_file;
  std::vector<ExecPlugin> exec;  // none or one

  std::string ns;  // where namespaced objects go that name none; "default" if nothing is said
  friend bool operator==(const Access&, const Access&) = default;
};

// "https://10.0.0.1:6443/prefix" into the server part of `access`. kInvalid: no such URL.
Status set_server(Access& access, std::string_view url);
// "https://host:port/prefix".
std::string server_url(const Access& access);

}  // namespace baton::kube
