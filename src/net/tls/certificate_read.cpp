#include <arpa/inet.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <ctime>

#include "net/tls/certificate.hpp"
#include "net/tls/openssl.hpp"

namespace baton::tls {

namespace {

// The end of a PEM, as opposed to a block that cannot be read.
bool at_end_of_pem() {
  const auto code = ERR_peek_last_error();
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

// ASN.1 knows years from 0 to 9999, Wall about 292 around 1970.
Wall wall_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) return {};
  const auto at = std::chrono::seconds(::timegm(&parts));
  constexpr auto kLatest = std::chrono::duration_cast<std::chrono::seconds>(
      Wall::max().time_since_epoch() - std::chrono::hours(24));
  return Wall(std::clamp(at, -kLatest, kLatest));
}

std::string text_of(const ASN1_STRING* text) {
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
          static_cast<std::size_t>(ASN1_STRING_length(text))};
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ASN1_STRING_length(bytes);
  if (size == 4) ::inet_ntop(AF_INET, ASN1_STRING_get0_data(bytes), text, sizeof text);
  if (size == 16) ::inet_ntop(AF_INET6, ASN1_STRING_get0_data(bytes), text, sizeof text);
  return text;
}

void read_names(const X509& certificate, CertificateInfo& into) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) into.dns.push_back(text_of(name->d.dNSName));
    if (name->type == GEN_IPADD) into.ips.push_back(address_text(name->d.iPAddress));
  }
  GENERAL_NAMES_free(names);
}

std::string serial_text(const X509& certificate) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr);
  char* hex = number == nullptr ? nullptr : BN_bn2hex(number);
  std::string text = hex == nullptr ? "" : hex;
  OPENSSL_free(hex);
  BN_free(number);
  return text;
}

std::string key_text(const X509& certificate) {
  const EVP_PKEY* key = X509_get0_pubkey(&certificate);
  if (key == nullptr) return "unknown";
  const char* type = EVP_PKEY_get0_type_name(key);
  return fmt::format("{} {}", type == nullptr ? "unknown" : type, EVP_PKEY_get_bits(key));
}

BioPtr reader(std::string_view pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Keys of Baton are not encrypted; without this the library would ask on the terminal.
int no_password(char* /*into*/, int /*size*/, int /*for_writing*/, void* /*user*/) { return -1; }

}  // namespace

std::string library_reason() {
  const auto code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  std::string text = reason == nullptr ? "no reason given" : reason;
  ERR_clear_error();
  return text;
}

std::string name_text(const X509_NAME* name) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  // OpenSSL 3.0 is not const-correct here.
  X509_NAME_print_ex(out.get(), const_cast<X509_NAME*>(name), 0,
                     (XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ) & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const auto size = BIO_get_mem_data(out.get(), &text);
  return size <= 0 ? std::string() : std::string(text, static_cast<std::size_t>(size));
}

std::string names_text(const CertificateInfo& info) {
  std::vector<std::string> all = info.dns;
  all.insert(all.end(), info.ips.begin(), info.ips.end());
  return all.empty() ? "no name at all" : fmt::format("{}", fmt::join(all, ", "));
}

CertificateInfo describe(const X509& certificate) {
  CertificateInfo info;
  info.subject = name_text(X509_get_subject_name(&certificate));
  info.issuer = name_text(X509_get_issuer_name(&certificate));
  info.serial = serial_text(certificate);
  info.key = key_text(certificate);
  info.not_before = wall_of(X509_get0_notBefore(&certificate));
  info.not_after = wall_of(X509_get0_notAfter(&certificate));
  // Caches what it computes in the certificate: hence not const.
  info.authority = X509_check_ca(const_cast<X509*>(&certificate)) == 1;
  read_names(certificate, info);
  ERR_clear_error();
  return info;
}

bool CertificateInfo::covers(const std::vector<std::string>& wanted_dns,
                             const std::vector<std::string>& wanted_ips) const {
  const auto all_in = [](const auto& wanted, const auto& present) {
    return std::ranges::all_of(
        wanted, [&](const auto& one) { return std::ranges::find(present, one) != present.end(); });
  };
  return all_in(wanted_dns, dns) && all_in(wanted_ips, ips);
}

Result<std::vector<CertificatePtr>> parse_certificates(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return invalid(fmt::format("a PEM of {} bytes, at most {} are read", pem.size(), kMaxPemBytes));
  }
  ERR_clear_error();
  const BioPtr in = reader(pem);
  std::vector<CertificatePtr> found;
  while (X509* one = PEM_read_bio_X509(in.get(), nullptr, no_password, nullptr)) {
    found.emplace_back(one);
    if (found.size() > kMaxCertificates) {
      return invalid(fmt::format("over {} certificates in one PEM", kMaxCertificates));
    }
  }
  if (!at_end_of_pem()) {
    return invalid(fmt::format("certificate {} of the PEM cannot be read: {}", found.size() + 1,
                               library_reason()));
  }
  ERR_clear_error();
  if (found.empty()) return invalid("no 'BEGIN CERTIFICATE' block in the PEM");
  return found;
}

Result<KeyPtr> parse_key(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return invalid(fmt::format("a PEM of {} bytes, at most {} are read", pem.size(), kMaxPemBytes));
  }
  if (pem.find("PRIVATE KEY-----") == std::string_view::npos) {
    return invalid("no 'BEGIN PRIVATE KEY' block in the PEM");
  }
  ERR_clear_error();
  const BioPtr in = reader(pem);
  KeyPtr key(PEM_read_bio_PrivateKey(in.get(), nullptr, no_password, nullptr));
  if (key) return key;
  if (pem.find("ENCRYPTED") != std::string_view::npos) {
    ERR_clear_error();
    return invalid("the private key is encrypted; only keys without a password are read");
  }
  return invalid(fmt::format("the private key cannot be read: {}", library_reason()));
}

Result<std::vector<CertificateInfo>> read_certificates(std::string_view pem) {
  BATON_TRY_ASSIGN(const auto certificates, parse_certificates(pem));
  std::vector<CertificateInfo> chain;
  for (const auto& one : certificates) chain.push_back(describe(*one));
  return chain;
}

Status check_pair(std::string_view certificate_pem, std::string_view key_pem, Wall now) {
  BATON_TRY_ASSIGN(const auto certificates, parse_certificates(certificate_pem));
  BATON_TRY_ASSIGN(const auto key, parse_key(key_pem));
  const X509& first = *certificates.front();
  const CertificateInfo info = describe(first);
  if (X509_check_private_key(&first, key.get()) != 1) {
    ERR_clear_error();
    return invalid(
        fmt::format("the private key is not that of the certificate '{}'", info.subject));
  }
  const auto day = [](Wall at) {
    return fmt::format("{:%FT%TZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(at)));
  };
  if (now >= info.not_after) {
    return invalid(
        fmt::format("the certificate '{}' expired at {}", info.subject, day(info.not_after)));
  }
  if (now < info.not_before) {
    return invalid(fmt::format("the certificate '{}' is valid only from {}", info.subject,
                               day(info.not_before)));
  }
  return {};
}

}  // namespace baton::tls
