#include "net/grpc/gzip.hpp"

#define ZLIB_CONST  // input is const
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <limits>

#include "base/core/assert.hpp"

namespace baton::grpc {

namespace {

constexpr int kGzipWindow = 15 + 16;  // zlib.h: the largest window, with a gzip header
constexpr std::size_t kFirstRoom = 4096;

}  // namespace

struct Gunzip::Inflater {
  Inflater() {
    const int made =
        inflateInit2_(&stream, kGzipWindow, ZLIB_VERSION, static_cast<int>(sizeof(z_stream)));
    BATON_ASSERT(made == Z_OK);  // else there is no memory, or another library
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
};

Gunzip::Gunzip() = default;
Gunzip::~Gunzip() = default;

Result<std::string_view> Gunzip::expand(std::string_view compressed, std::size_t limit) {
  if (inflater_ == nullptr) inflater_ = std::make_unique<Inflater>();
  auto& stream = inflater_->stream;
  inflateReset(&stream);
  constexpr std::size_t kMost = std::numeric_limits<uInt>::max();
  BATON_ASSERT(compressed.size() <= kMost && limit < kMost);
  stream.next_in = reinterpret_cast<const Bytef*>(compressed.data());
  stream.avail_in = static_cast<uInt>(compressed.size());
  out_.resize(std::min(std::max(kFirstRoom, 4 * compressed.size()), limit + 1));
  std::size_t size = 0;
  while (size <= limit) {
    if (size == out_.size()) out_.resize(std::min(2 * size, limit + 1));
    stream.next_out = reinterpret_cast<Bytef*>(out_.data() + size);
    stream.avail_out = static_cast<uInt>(out_.size() - size);
    const int state = inflate(&stream, Z_NO_FLUSH);
    size = out_.size() - stream.avail_out;
    if (state == Z_STREAM_END && stream.avail_in == 0 && size <= limit) {
      return std::string_view(out_).substr(0, size);
    }
    if (state == Z_STREAM_END) {  // another member follows (RFC 1952, 2.2)
      inflateReset(&stream);
      continue;
    }
    if (state != Z_OK) {  // there was room, so that Z_BUF_ERROR means that input is missing
      return invalid(fmt::format("a compressed message is no gzip, or ends early: {}",
                                 stream.msg == nullptr ? "it is cut off" : stream.msg));
    }
  }
  return exhausted(fmt::format("a compressed message comes to more than {} bytes", limit));
}

}  // namespace baton::grpc
