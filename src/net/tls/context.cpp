#include "net/tls/context.hpp"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ranges>

#include "net/tls/certificate.hpp"
#include "net/tls/context_impl.hpp"
#include "net/tls/openssl.hpp"
#include "net/tls/stream.hpp"

namespace baton::tls {

namespace {

constexpr std::size_t kMaxAlpnName = 255;  // RFC 7301 3.1

std::string where(const Source& source, std::string_view role) {
  return source.file.empty() ? fmt::format("the given {}", role)
                             : fmt::format("{} {}", role, source.file);
}

// Every file with certificates in these folders; those that are not there are passed over.
Result<std::string> load_folders(std::string_view folders, std::string_view role) {
  std::string all;
  for (const auto part : std::views::split(folders, ':')) {
    std::error_code ignored;
    const std::filesystem::directory_iterator folder(std::string_view(part), ignored);
    for (const auto& entry : folder) {
      if (!entry.is_regular_file(ignored)) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      std::string text(std::istreambuf_iterator<char>(in), {});
      if (!text.contains("-----BEGIN CERTIFICATE-----")) continue;
      if (all.size() + text.size() > kMaxPemBytes) {
        return invalid(fmt::format("{} {}: over {} bytes", role, folders, kMaxPemBytes));
      }
      all += text + "\n";
    }
  }
  return all;
}

bool names_folders(const std::string& file) {
  std::error_code ignored;
  return file.contains(':') || std::filesystem::is_directory(file, ignored);
}

Result<std::string> load(const Source& source, std::string_view role) {
  if (source.file.empty()) return source.text;
  if (names_folders(source.file)) return load_folders(source.file, role);
  std::ifstream in(source.file, std::ios::binary);
  if (!in) return not_found(fmt::format("{} {}: cannot be opened", role, source.file));
  std::string text(kMaxPemBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (in.bad()) return unavailable(fmt::format("{} {}: cannot be read", role, source.file));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

Result<std::string> alpn_list(const std::vector<std::string>& names) {
  std::string list;
  for (const auto& name : names) {
    if (name.empty() || name.size() > kMaxAlpnName) {
      return invalid(fmt::format("'{}' is not an ALPN protocol name", name));
    }
    list += static_cast<char>(name.size());
    list += name;
  }
  return list;
}

// Certificate chain and key into the context.
Status use_pair(SSL_CTX* context, const Source& certificate, const Source& key, Wall now) {
  BATON_TRY_ASSIGN(const auto chain_text, load(certificate, "certificate"));
  BATON_TRY_ASSIGN(const auto key_text, load(key, "key"));
  auto chain = parse_certificates(chain_text);
  if (!chain) return std::move(chain).error().with(where(certificate, "certificate"));
  auto parsed = parse_key(key_text);
  if (!parsed) return std::move(parsed).error().with(where(key, "key"));
  BATON_TRY(check_pair(chain_text, key_text, now)
                .with(fmt::format("{}, {}", where(certificate, "certificate"), where(key, "key"))));
  bool good = SSL_CTX_use_certificate(context, chain->front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(context, parsed->get()) == 1;
  for (std::size_t i = 1; good && i < chain->size(); ++i) {
    good = SSL_CTX_add1_chain_cert(context, (*chain)[i].get()) == 1;
  }
  if (!good) {
    return invalid(fmt::format("{}: {}", where(certificate, "certificate"), library_reason()));
  }
  return {};
}

// Returns what is now trusted.
Result<std::vector<CertificatePtr>> trust(SSL_CTX* context, const Source& authority) {
  BATON_TRY_ASSIGN(const auto text, load(authority, "CA file"));
  auto certificates = parse_certificates(text);
  if (!certificates) return std::move(certificates).error().with(where(authority, "CA file"));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  // A self-signed certificate that is no authority may be trusted as itself.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const auto& one : *certificates) X509_STORE_add_cert(store, one.get());
  ERR_clear_error();
  return certificates;
}

int number_of(Version version) {
  return version == Version::kTls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
}

Status limit_versions(SSL_CTX* context, Version least, Version most) {
  if (most < least) return invalid("the greatest TLS version is below the least");
  if (SSL_CTX_set_min_proto_version(context, number_of(least)) == 1 &&
      SSL_CTX_set_max_proto_version(context, number_of(most)) == 1) {
    return {};
  }
  return internal(fmt::format("TLS version: {}", library_reason()));
}

void set_common(SSL_CTX* context) {
  // Written once per record; the rest is offered again, from wherever it then is.
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_read_ahead(context, 1);  // one receive brings whole records
}

Status use_suites(SSL_CTX* context, const std::vector<std::string>& names) {
  if (names.empty()) return {};
  std::string list;
  for (const auto& name : names) {
    const char* known = OPENSSL_cipher_name(name.c_str());
    if (known == nullptr || std::string_view(known) == "(NONE)") {
      return invalid(fmt::format("'{}' is not a cipher suite", name));
    }
    list += (list.empty() ? "" : ":") + std::string(known);
  }
  // TLS 1.3's own suites cannot be chosen, and are never missing.
  if (SSL_CTX_set_cipher_list(context, list.c_str()) == 1) return {};
  return invalid(
      fmt::format("none of the cipher suites can be used for TLS 1.2: {}", library_reason()));
}

// The client's wishes are not ordered by us: the first of our own that it names.
int select_alpn(SSL* /*connection*/, const unsigned char** out, unsigned char* out_size,
                const unsigned char* in, unsigned int in_size, void* user) {
  const auto& ours = *static_cast<const std::string*>(user);
  unsigned char* chosen = nullptr;
  const int found =
      SSL_select_next_proto(&chosen, out_size, reinterpret_cast<const unsigned char*>(ours.data()),
                            static_cast<unsigned>(ours.size()), in, in_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

Status require_client(SSL_CTX* context, const Source& authority) {
  BATON_TRY_ASSIGN(const auto certificates, trust(context, authority));
  for (const auto& one : certificates) SSL_CTX_add_client_CA(context, one.get());
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, note_verification);
  return {};
}

Result<std::shared_ptr<const ServerState>> load_server(const ServerContext::Impl& impl,
                                                       const ServerContext::Config& config) {
  ContextPtr owner(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = owner.get();
  if (context == nullptr) return internal(fmt::format("TLS: {}", library_reason()));
  set_common(context);
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context, 1);
  BATON_TRY(limit_versions(context, config.min_version, config.max_version));
  BATON_TRY(use_suites(context, config.cipher_suites));
  BATON_TRY(use_pair(context, config.certificate, config.key, impl.clock.wall()));
  constexpr std::array<unsigned char, 5> kSessions = {'b', 'a', 't', 'o', 'n'};
  SSL_CTX_set_session_id_context(context, kSessions.data(), kSessions.size());
  if (config.client_authority) {
    BATON_TRY(require_client(context, *config.client_authority));
  }
  auto state = std::make_shared<ServerState>();
  state->alpn = impl.alpn;
  if (!impl.alpn.empty()) SSL_CTX_set_alpn_select_cb(context, select_alpn, &state->alpn);
  state->context = std::move(owner);
  return state;
}

Result<std::shared_ptr<const ClientState>> load_client(const ClientContext::Impl& impl) {
  const auto& config = impl.config;
  ContextPtr owner(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = owner.get();
  if (context == nullptr) return internal(fmt::format("TLS: {}", library_reason()));
  set_common(context);
  BATON_TRY(limit_versions(context, config.min_version, config.max_version));
  if (config.verify == ClientContext::Verify::kFull) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, note_verification);
    if (config.authority) {
      BATON_TRY(trust(context, *config.authority));
    } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
      return unavailable(fmt::format("the system's CA certificates: {}", library_reason()));
    }
  }
  if (config.certificate && config.key) {
    BATON_TRY(use_pair(context, *config.certificate, *config.key, impl.clock.wall()));
  }
  if (!impl.alpn.empty()) {
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(impl.alpn.data()),
                            static_cast<unsigned>(impl.alpn.size()));
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_sess_set_new_cb(context, keep_session);
  auto state = std::make_shared<ClientState>();
  state->context = std::move(owner);
  return state;
}

void add_file(std::vector<std::string>& files, const std::optional<Source>& source) {
  if (!source || source->file.empty()) return;
  if (!names_folders(source->file)) return files.push_back(source->file);
  for (const auto part : std::views::split(source->file, ':')) {  // as mounted Secrets name them
    const std::filesystem::path folder{std::string_view(part)};
    std::error_code ignored;
    if (!std::filesystem::is_directory(folder, ignored)) continue;
    for (const char* name : {"tls.crt", "ca.crt"}) files.push_back((folder / name).string());
  }
}

}  // namespace

SessionPtr ClientState::take(const std::string& peer) const {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(peer);
  if (found == sessions_.end()) return nullptr;
  SSL_SESSION_up_ref(found->second.get());
  return SessionPtr(found->second.get());
}

void ClientState::keep(const std::string& peer, SessionPtr session) const {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= kMaxSessions && !sessions_.contains(peer)) {
    sessions_.erase(sessions_.begin());
  }
  sessions_[peer] = std::move(session);
}

ServerContext::ServerContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<ServerContext>> ServerContext::open(Config config, const Clock& clock) {
  auto impl = std::make_unique<Impl>(std::move(config), clock);
  BATON_TRY_ASSIGN(impl->alpn, alpn_list(impl->config.alpn));
  std::shared_ptr<ServerContext> made(new ServerContext(std::move(impl)));
  BATON_TRY(made->reload());
  return made;
}

Status ServerContext::reload() {
  BATON_TRY_ASSIGN(auto next, load_server(*impl_, impl_->config));
  impl_->set(std::move(next));
  return {};
}

Status ServerContext::use(Source certificate, Source key) {
  Config config = impl_->config;
  config.certificate = std::move(certificate);
  config.key = std::move(key);
  BATON_TRY_ASSIGN(auto next, load_server(*impl_, config));
  impl_->set(std::move(next));
  return {};
}

std::vector<std::string> ServerContext::files() const {
  std::vector<std::string> files;
  add_file(files, impl_->config.certificate);
  add_file(files, impl_->config.key);
  add_file(files, impl_->config.client_authority);
  return files;
}

ClientContext::ClientContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientContext::~ClientContext() = default;

Result<std::shared_ptr<ClientContext>> ClientContext::open(Config config, const Clock& clock) {
  if (config.certificate.has_value() != config.key.has_value()) {
    return invalid("a client certificate and its key go together: only one of them is given");
  }
  auto impl = std::make_unique<Impl>(std::move(config), clock);
  BATON_TRY_ASSIGN(impl->alpn, alpn_list(impl->config.alpn));
  std::shared_ptr<ClientContext> made(new ClientContext(std::move(impl)));
  BATON_TRY(made->reload());
  return made;
}

Status ClientContext::reload() {
  BATON_TRY_ASSIGN(auto next, load_client(*impl_));
  impl_->set(std::move(next));
  return {};
}

std::vector<std::string> ClientContext::files() const {
  std::vector<std::string> files;
  add_file(files, impl_->config.authority);
  add_file(files, impl_->config.certificate);
  add_file(files, impl_->config.key);
  return files;
}

}  // namespace baton::tls
