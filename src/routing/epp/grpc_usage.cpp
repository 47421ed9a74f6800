#include "routing/epp/grpc_usage.hpp"

#include "net/grpc/proto.hpp"

namespace baton::epp {
namespace {

using proto::Field;
using proto::Reader;
using proto::Wire;

// Counts in three neighbouring fields, of which `first` is that of the prompt's tokens.
bool read_counts(std::string_view message, std::uint32_t first, pick::Usage& into) {
  Reader reader(message);
  for (Field field; reader.next(field);) {
    if (field.wire != Wire::kVarint) continue;
    if (field.number == first) into.prompt = field.number_value;
    if (field.number == first + 1) into.completion = field.number_value;
    if (field.number == first + 2) into.cached = field.number_value;
  }
  return reader.status().has_value();
}

}  // namespace

void GrpcUsage::feed(std::string_view piece) {
  using State = grpc::Inbox::State;
  if (broken_) return;
  inbox_.add(piece);
  std::string_view message;
  while (!broken_) {
    const auto state = inbox_.next(message);
    if (state == State::kNeedMore) break;
    if (state == State::kMessage) {
      read(message);
    } else {
      broken_ = true;
    }
  }
  if (broken_) inbox_ = grpc::Inbox(kMaxUsageMessage);
}

void GrpcUsage::read(std::string_view message) {
  Reader reader(message);
  for (Field field; reader.next(field);) {
    const bool bytes = field.wire == Wire::kBytes;
    if (field.number == 1 && bytes) broken_ = !read_counts(field.bytes, 2, usage_);
    if (field.number == 2 && bytes) broken_ = !read_counts(field.bytes, 3, usage_);
    if (field.number == 2 && field.wire == Wire::kVarint) usage_.prompt = field.number_value;
    if (broken_) return;
  }
  broken_ = !reader.status();
}

}  // namespace baton::epp
