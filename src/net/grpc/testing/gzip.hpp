#pragma once
// What a peer that compresses sends, for tests.

#define ZLIB_CONST
#include <zlib.h>

#include <string>
#include <string_view>

namespace baton::grpc::testing {

inline std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2_(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY,
                ZLIB_VERSION, static_cast<int>(sizeof(z_stream)));
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<const Bytef*>(text.data());
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace baton::grpc::testing
