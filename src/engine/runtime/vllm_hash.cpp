#include "engine/runtime/vllm_hash.hpp"

#include <openssl/evp.h>

#include <string>

#include "base/core/assert.hpp"

namespace baton::runtime {
namespace {

using token::TokenId;

VllmHash::Bytes sha256(std::string_view bytes) {
  VllmHash::Bytes out;
  unsigned size = 0;
  const int done = EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, EVP_sha256(), nullptr);
  BATON_ASSERT(done == 1 && size == out.size());
  return out;
}

std::string_view view(const VllmHash::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void put(std::string& out, std::initializer_list<unsigned> bytes) {
  for (const unsigned b : bytes) out.push_back(static_cast<char>(b));
}

// Pickle, protocol 5 (Python's Lib/pickle.py): what it writes for these shapes.
std::string framed(const std::string& body) {
  std::string out;
  put(out, {0x80, 0x05, 0x95});
  for (int i = 0; i < 8; ++i) out.push_back(static_cast<char>(body.size() >> (8 * i)));
  return out + body;
}

void pickle_int(std::string& out, TokenId id) {
  if (id <= 0xff) return put(out, {0x4b, id});
  if (id <= 0xffff) return put(out, {0x4d, id & 0xff, id >> 8});
  put(out, {0x4a, id & 0xff, id >> 8 & 0xff, id >> 16 & 0xff, id >> 24});
}

// A str and its place in the memo.
void pickle_str(std::string& out, std::string_view text) {
  const auto size = static_cast<unsigned>(text.size());
  if (size <= 0xff) {
    put(out, {0x8c, size});
  } else {
    put(out, {0x58, size & 0xff, size >> 8 & 0xff, size >> 16 & 0xff, size >> 24});
  }
  out += text;
  put(out, {0x94});
}

std::string pickle_text(std::string_view text) {
  std::string body;
  pickle_str(body, text);
  put(body, {0x2e});
  return framed(body);
}

std::string pickle(const VllmHash::Bytes& parent, std::span<const TokenId> block,
                   std::string_view salt) {
  std::string body;
  put(body, {0x43, 0x20});
  body += view(parent);
  put(body, {0x94});
  const bool is_short = block.size() <= 3;
  if (!is_short) put(body, {0x28});
  for (const TokenId id : block) pickle_int(body, id);
  put(body, {is_short ? 0x84U + static_cast<unsigned>(block.size()) : 0x74U, 0x94});
  if (salt.empty()) {
    put(body, {0x4e});
  } else {
    pickle_str(body, salt);
    put(body, {0x85, 0x94});
  }
  put(body, {0x87, 0x94, 0x2e});
  return framed(body);
}

// CBOR (RFC 8949), shortest forms.
void cbor_head(std::string& out, unsigned major, std::uint64_t n) {
  const unsigned type = major << 5;
  if (n < 24) return put(out, {type | static_cast<unsigned>(n)});
  const int bytes = n <= 0xff ? 1 : n <= 0xffff ? 2 : 4;
  put(out, {type | (bytes == 1 ? 24U : bytes == 2 ? 25U : 26U)});
  for (int i = bytes - 1; i >= 0; --i) put(out, {static_cast<unsigned>(n >> (8 * i) & 0xff)});
}

std::string cbor_text(std::string_view text) {
  std::string out;
  cbor_head(out, 3, text.size());
  return out.append(text);
}

std::string cbor(const VllmHash::Bytes& parent, std::span<const TokenId> block,
                 std::string_view salt) {
  std::string out;
  cbor_head(out, 4, 3);
  cbor_head(out, 2, parent.size());
  out += view(parent);
  cbor_head(out, 4, block.size());
  for (const TokenId id : block) cbor_head(out, 0, id);
  if (salt.empty()) {
    put(out, {0xf6});
  } else {
    cbor_head(out, 4, 1);
    out += cbor_text(salt);
  }
  return out;
}

}  // namespace

VllmHash::VllmHash(HashForm form, std::string_view seed)
    : form_(form), none_(sha256(form == HashForm::kCbor ? cbor_text(seed) : pickle_text(seed))) {
  BATON_ASSERT(seed.size() <= 0xff);
}

VllmHash::Bytes VllmHash::next(const Bytes& parent, std::span<const TokenId> block,
                               std::string_view salt) const {
  return sha256(form_ == HashForm::kCbor ? cbor(parent, block, salt) : pickle(parent, block, salt));
}

std::uint64_t VllmHash::number(const Bytes& hash) {
  std::uint64_t out = 0;
  for (std::size_t i = hash.size() - 8; i < hash.size(); ++i) out = out << 8 | hash[i];
  return out;
}

}  // namespace baton::runtime
