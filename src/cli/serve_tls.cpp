#include "cli/serve_tls.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <fstream>

#include "base/core/log.hpp"
#include "base/text/base64.hpp"
#include "cli/text_file.hpp"
#include "net/kube/object.hpp"
#include "net/tls/certificate.hpp"

namespace baton::cli {
namespace {

namespace fs = std::filesystem;

constexpr auto kBackdated = std::chrono::hours(1);
constexpr auto kValid = std::chrono::hours(24 * 365);
constexpr std::string_view kTlsSecret = "kubernetes.io/tls";

bool is_address(const std::string& host) {
  std::array<unsigned char, 16> out{};
  return inet_pton(AF_INET, host.c_str(), out.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), out.data()) == 1;
}

Status write_whole(const fs::path& file, std::string_view text) {
  const fs::path fresh = file.string() + ".new";
  {
    std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
    out << text;
    if (!out.flush()) return unavailable("writing " + file.string() + " failed");
  }
  std::error_code error;
  fs::rename(fresh, file, error);
  if (error) return unavailable(fmt::format("writing {}: {}", file.string(), error.message()));
  return {};
}

Result<tls::CertifiedKey> self_signed(const std::string& host, const Clock& clock) {
  tls::CertificateSpec spec;
  spec.organization = "Baton gateway";
  spec.dns = {"localhost"};
  spec.ips = {"127.0.0.1", "::1"};
  (is_address(host) ? spec.ips : spec.dns).push_back(host);
  spec.not_before = clock.wall() - kBackdated;
  spec.not_after = clock.wall() + kValid;
  return tls::make_self_signed(spec);
}

}  // namespace

Result<std::unique_ptr<ServeTls>> ServeTls::open(const Options& options, const Clock& clock) {
  std::unique_ptr<ServeTls> out(new ServeTls());
  out->folder_ = options.state_dir + "/tls";
  std::error_code error;
  fs::create_directories(out->folder_, error);
  if (error) return unavailable(fmt::format("making {}: {}", out->folder_, error.message()));
  BATON_TRY(out->make_listener(options, clock));
  BATON_TRY(out->write_authorities());
  BATON_TRY_ASSIGN(
      out->dialler_,
      tls::ClientContext::open(
          {.authority = tls::Source::of_file(out->folder_ + "/authorities.pem")}, clock));
  return out;
}

Status ServeTls::make_listener(const Options& options, const Clock& clock) {
  if (!options.certificate.empty()) {
    const auto& key = options.key.empty() ? options.certificate : options.key;
    BATON_TRY_ASSIGN(listener_, tls::ServerContext::open(
                                    {.certificate = tls::Source::of_file(options.certificate),
                                     .key = tls::Source::of_file(key)},
                                    clock));
    BATON_TRY_ASSIGN(authorities_[""], read_text_file(options.certificate));
    BATON_TRY_ASSIGN(reloader_, tls::Reloader::start(listener_, clock));
    return {};
  }
  BATON_TRY_ASSIGN(const auto pair, self_signed(options.host, clock));
  BATON_TRY_ASSIGN(listener_, tls::ServerContext::open(
                                  {.certificate = tls::Source::of_text(pair.certificate_pem),
                                   .key = tls::Source::of_text(pair.key_pem)},
                                  clock));
  certificate_file_ = folder_ + "/gateway.crt";
  authorities_[""] = pair.certificate_pem;  // a file without any would be refused
  return write_whole(certificate_file_, pair.certificate_pem);
}

void ServeTls::note(const kube::Event& event) {
  if (event.object.string_at({"type"}) != kTlsSecret) return;
  const auto name =
      fmt::format("{}/{}", kube::namespace_of(event.object), kube::name_of(event.object));
  const auto pem = text::parse_base64(event.object.string_at({"data", "ca.crt"}));
  const bool gone = event.kind == kube::Event::Kind::kDeleted || !pem || pem->empty();
  if (gone) {
    authorities_.erase(name);
  } else {
    authorities_[name] = *pem;
  }
  Status done = write_authorities();
  if (done) done = dialler_->reload();
  if (!done) {
    log::error("pods of a service may not be verified",
               {{"secret", name}, {"error", done.error().message()}});
  }
}

Status ServeTls::write_authorities() const {
  std::string text;
  for (const auto& [name, pem] : authorities_) text += pem;
  return write_whole(folder_ + "/authorities.pem", text);
}

}  // namespace baton::cli
