#pragma once
// What the files of net/tls share about OpenSSL: owners, its errors as text. Internal to net/tls.

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "net/tls/certificate.hpp"

namespace baton::tls {

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    kFree(object);
  }
};
using BioPtr = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using CertificatePtr = std::unique_ptr<X509, Freed<X509_free>>;
using ContextPtr = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION_free>>;
using ConnectionPtr = std::unique_ptr<SSL, Freed<SSL_free>>;

// The oldest reason in this thread's error queue, which is emptied.
std::string library_reason();

std::string name_text(const X509_NAME* name);  // "CN=a, O=b"
// SANs and the rest of one certificate.
CertificateInfo describe(const X509& certificate);
std::string names_text(const CertificateInfo& info);  // "a.b, 10.0.0.1"; "no name at all"

// All certificates of a PEM, in order. kInvalid: none, or one that cannot be read.
Result<std::vector<CertificatePtr>> parse_certificates(std::string_view pem);
Result<KeyPtr> parse_key(std::string_view pem);

}  // namespace baton::tls
