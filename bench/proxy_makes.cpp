#include "proxy_makes.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace baton::bench {
namespace {

std::string named(const char* variable) {
  const char* value = std::getenv(variable);
  return value == nullptr ? "" : value;
}

std::string write_file(std::string_view name, const std::string& text) {
  const auto folder =
      std::filesystem::temp_directory_path() / fmt::format("proxy_bench_{}", ::getpid());
  std::filesystem::create_directories(folder);
  const auto file = folder / name;
  std::ofstream(file) << text;
  return file.string();
}

Listening start_sidecar(std::vector<std::string> argv, EnginePorts engines, Legs legs,
                        std::uint16_t port) {
  for (std::string flag :
       {fmt::format("--port={}", port), fmt::format("--model-server-port={}", engines.decode),
        std::string("--secure-proxy=false"), std::string("--zap-log-level=error")}) {
    argv.push_back(std::move(flag));
  }
  if (legs == Legs::kTls) {
    argv.emplace_back("--enable-tls=prefiller,decoder");
    argv.emplace_back("--tls-insecure-skip-verify=prefiller,decoder");
  }
  return {std::move(argv), port};
}

// no-delay: what a streamed answer needs of it.
Listening start_haproxy(const std::string& program, EnginePorts engines) {
  const auto port = free_port();
  const auto file = write_file("haproxy.cfg", fmt::format(R"(global
  nbthread 1
  maxconn 8000
defaults
  mode http
  option http-no-delay
  timeout connect 5s
  timeout client 120s
  timeout server 120s
  http-reuse always
frontend in
  bind 127.0.0.1:{}
  default_backend engine
backend engine
  server decode 127.0.0.1:{} pool-max-conn 1024
)",
                                                          port, engines.decode));
  return {{program, "-q", "-db", "-f", file}, port};
}

Listening start_nginx(const std::string& program, EnginePorts engines) {
  const auto port = free_port();
  const auto folder = std::filesystem::path(write_file("nginx.pid", "")).parent_path().string();
  const auto file = write_file("nginx.conf", fmt::format(R"(daemon off;
master_process off;
pid {0}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0}; scgi_temp_path {0};
  client_max_body_size 64m;
  keepalive_requests 1000000;
  upstream engine {{ server 127.0.0.1:{2}; keepalive 1024; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{1};
    location / {{
      proxy_pass http://engine;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
)",
                                                         folder, port, engines.decode));
  return {{program, "-p", folder, "-c", file}, port};
}

}  // namespace

std::vector<Make> all_makes(const std::string& baton) {
  std::vector<Make> out;
  out.push_back({"baton", true, true, [baton](EnginePorts engines, Legs legs) {
                   return start_sidecar(
                       {baton, "sidecar", "--host=127.0.0.1", "--decoder-host=127.0.0.1"}, engines,
                       legs, free_port());
                 }});
  if (const auto program = named("HAPROXY"); !program.empty()) {
    out.push_back({"haproxy", false, true, [program](EnginePorts engines, Legs) {
                     return start_haproxy(program, engines);
                   }});
  }
  if (const auto program = named("NGINX"); !program.empty()) {
    out.push_back({"nginx", false, true,
                   [program](EnginePorts engines, Legs) { return start_nginx(program, engines); }});
  }
  if (const auto program = named("PEER_SIDECAR"); !program.empty()) {
    out.push_back({"peer", true, false, [program](EnginePorts engines, Legs legs) {
                     return start_sidecar({program}, engines, legs, free_port());
                   }});
  }
  return out;
}

std::vector<std::string> absent_makes() {
  std::vector<std::string> out;
  for (const char* variable : {"HAPROXY", "NGINX", "PEER_SIDECAR"}) {
    if (named(variable).empty()) out.emplace_back(variable);
  }
  return out;
}

}  // namespace baton::bench
