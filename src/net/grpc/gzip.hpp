#pragma once
// Messages that a peer compressed by gzip (RFC 1952), as `grpc-encoding: gzip` has them. Nothing is
// compressed on the way out: gRPC lets every message be plain.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/core/result.hpp"

namespace baton::grpc {

// What `grpc-accept-encoding` says.
inline constexpr std::string_view kEncodings = "identity,gzip";

// Holds some 40 KB once it is used, and room for its largest message. Confined to its owner.
class Gunzip {
 public:
  Gunzip();
  ~Gunzip();
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  // One message; the view is valid until the next call. kExhausted: it would be longer than `limit`
  // bytes. kInvalid: it is no gzip, or ends early.
  Result<std::string_view> expand(std::string_view compressed, std::size_t limit);

 private:
  struct Inflater;
  std::unique_ptr<Inflater> inflater_;  // null: not used yet
  std::string out_;
};

}  // namespace baton::grpc
