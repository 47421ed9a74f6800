#include "net/tls/certificate.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <ctime>

#include "net/tls/openssl.hpp"

namespace baton::tls {

namespace {

enum class Role : bool { kLeaf, kAuthority };

constexpr std::size_t kMaxName = 253;  // RFC 1035 2.3.4, as text

KeyPtr make_key(KeyKind kind) {
  switch (kind) {
    case KeyKind::kEcdsaP256:
      return KeyPtr(EVP_EC_gen("P-256"));
    case KeyKind::kRsa2048:
      return KeyPtr(EVP_RSA_gen(2048));
    case KeyKind::kRsa4096:
      return KeyPtr(EVP_RSA_gen(4096));
  }
  return nullptr;
}

std::string text_of(const BioPtr& bio) {
  char* text = nullptr;
  const auto size = BIO_get_mem_data(bio.get(), &text);
  return size <= 0 ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

std::string pem_of(X509& certificate) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), &certificate);
  return text_of(out);
}

std::string pem_of(const EVP_PKEY& key) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(out.get(), &key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(out);
}

bool dns_name(std::string_view name) {
  if (name.starts_with("*.")) name.remove_prefix(2);
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  };
  return !name.empty() && name.size() <= kMaxName && std::ranges::all_of(name, allowed);
}

Status check(const CertificateSpec& spec) {
  if (spec.not_after <= spec.not_before) return invalid("a certificate that is never valid");
  for (const auto& name : spec.dns) {
    if (!dns_name(name)) return invalid(fmt::format("'{}' is not a DNS name", name));
  }
  for (const auto& text : spec.ips) {
    std::array<unsigned char, 16> address;
    if (::inet_pton(AF_INET, text.c_str(), address.data()) != 1 &&
        ::inet_pton(AF_INET6, text.c_str(), address.data()) != 1) {
      return invalid(fmt::format("'{}' is not an IP address", text));
    }
  }
  return {};
}

bool set_subject(X509& certificate, const CertificateSpec& spec) {
  X509_NAME* name = X509_get_subject_name(&certificate);
  const auto add = [&](const char* field, const std::string& value) {
    return value.empty() ||
           X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8,
                                      reinterpret_cast<const unsigned char*>(value.data()),
                                      static_cast<int>(value.size()), -1, 0) == 1;
  };
  return add("O", spec.organization) && add("CN", spec.common_name);
}

bool set_serial(X509& certificate) {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) return false;
  bytes[0] = static_cast<unsigned char>((bytes[0] & 0x7F) | 0x40);  // positive, always 128 bits
  BIGNUM* number = BN_bin2bn(bytes.data(), static_cast<int>(bytes.size()), nullptr);
  const bool set =
      number != nullptr && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(&certificate));
  BN_free(number);
  return set;
}

bool set_times(X509& certificate, const CertificateSpec& spec) {
  const auto to_time = [](Wall at) { return std::chrono::system_clock::to_time_t(at); };
  return ASN1_TIME_set(X509_getm_notBefore(&certificate), to_time(spec.not_before)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(&certificate), to_time(spec.not_after)) != nullptr;
}

bool add_extension(X509& certificate, X509* issuer, int which, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, &certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, which, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(&certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

std::string usage_text(Usage usage) {
  switch (usage) {
    case Usage::kServer:
      return "serverAuth";
    case Usage::kClient:
      return "clientAuth";
    case Usage::kBoth:
      return "serverAuth,clientAuth";
  }
  return "";
}

bool add_extensions(X509& certificate, X509* issuer, const CertificateSpec& spec, Role role) {
  const bool authority = role == Role::kAuthority;
  bool good = add_extension(certificate, issuer, NID_basic_constraints,
                            authority ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
              add_extension(certificate, issuer, NID_key_usage,
                            authority ? "critical,keyCertSign,cRLSign,digitalSignature"
                                      : "critical,digitalSignature,keyEncipherment") &&
              add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
              add_extension(certificate, issuer, NID_authority_key_identifier, "keyid");
  if (!authority) {
    good = good && add_extension(certificate, issuer, NID_ext_key_usage, usage_text(spec.usage));
  }
  std::string names;
  for (const auto& name : spec.dns) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  for (const auto& text : spec.ips) names += (names.empty() ? "IP:" : ",IP:") + text;
  if (!names.empty()) {
    good = good && add_extension(certificate, issuer, NID_subject_alt_name, names);
  }
  return good;
}

struct Issuer {
  X509* certificate;  // the subject itself when null
  EVP_PKEY* key;
};

Result<CertifiedKey> make(const CertificateSpec& spec, Issuer issuer, Role role) {
  BATON_TRY(check(spec));
  ERR_clear_error();
  const KeyPtr key = make_key(spec.key);
  const CertificatePtr made(X509_new());
  if (!key || !made) return internal(fmt::format("making a key: {}", library_reason()));
  X509& certificate = *made;
  X509* const signer = issuer.certificate == nullptr ? &certificate : issuer.certificate;
  const bool filled = X509_set_version(&certificate, X509_VERSION_3) == 1 &&
                      set_serial(certificate) && set_times(certificate, spec) &&
                      set_subject(certificate, spec) &&
                      X509_set_issuer_name(&certificate, X509_get_subject_name(signer)) == 1 &&
                      X509_set_pubkey(&certificate, key.get()) == 1 &&
                      add_extensions(certificate, signer, spec, role);
  if (!filled) return invalid(fmt::format("making a certificate: {}", library_reason()));
  EVP_PKEY* const signing = issuer.certificate == nullptr ? key.get() : issuer.key;
  if (X509_sign(&certificate, signing, EVP_sha256()) == 0) {
    return internal(fmt::format("signing a certificate: {}", library_reason()));
  }
  return CertifiedKey{pem_of(certificate), pem_of(*key)};
}

}  // namespace

Result<CertifiedKey> make_authority(const CertificateSpec& spec) {
  return make(spec, {}, Role::kAuthority);
}

Result<CertifiedKey> make_self_signed(const CertificateSpec& spec) {
  return make(spec, {}, Role::kLeaf);
}

Result<CertifiedKey> make_signed(const CertificateSpec& spec, const CertifiedKey& authority) {
  BATON_TRY_ASSIGN(const auto chain, parse_certificates(authority.certificate_pem));
  BATON_TRY_ASSIGN(const auto key, parse_key(authority.key_pem));
  X509* const signer = chain.front().get();
  if (X509_check_ca(signer) != 1) {
    return invalid(fmt::format("'{}' is not a certificate authority", describe(*signer).subject));
  }
  if (X509_check_private_key(signer, key.get()) != 1) {
    ERR_clear_error();
    return invalid(fmt::format("the private key is not that of the certificate '{}'",
                               describe(*signer).subject));
  }
  BATON_TRY_ASSIGN(CertifiedKey made, make(spec, {signer, key.get()}, Role::kLeaf));
  made.certificate_pem += authority.certificate_pem;
  return made;
}

}  // namespace baton::tls
