// The protobuf wire format: reading ends in fields or an error, and what is read is written back
// the same, nested messages too.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "net/grpc/proto.hpp"

namespace {

using namespace baton;

// Copies every field; false when the message is broken.
bool copy(std::string_view message, std::string& into, int depth) {
  proto::Reader reader(message);
  proto::Writer writer(into);
  for (proto::Field field; reader.next(field);) {
    writer.raw(field.raw);
    if (field.wire == proto::Wire::kBytes && depth < 8) {
      std::string inner;
      if (copy(field.bytes, inner, depth + 1) && inner != field.bytes) std::abort();
    }
  }
  return static_cast<bool>(reader.status());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  std::string back;
  if (copy(message, back, 0) && back != message) std::abort();
  std::string nested;
  proto::Writer(nested).message(3, [&](proto::Writer& inner) { inner.raw(message); });
  proto::Reader reader(nested);
  proto::Field field;
  if (!reader.next(field) || field.bytes != message || reader.next(field)) std::abort();
  return 0;
}
