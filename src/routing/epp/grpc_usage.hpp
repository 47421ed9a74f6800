#pragma once
// The token counts in the answer of an engine's gRPC server, found while it passes by.
//
//   vllm_engine.proto  GenerateResponse        chunk 1, complete 2
//                      GenerateStreamChunk     prompt_tokens 2  completion_tokens 3  cached_tokens
//                      4 GenerateComplete        prompt_tokens 3  completion_tokens 4 cached_tokens
//                      5 EmbedResponse           prompt_tokens 2

#include <string_view>

#include "net/grpc/inbox.hpp"
#include "routing/pick/usage.hpp"

namespace baton::epp {

inline constexpr std::size_t kMaxUsageMessage = std::size_t{4} << 20;  // bytes

// Fed with the body in pieces cut anywhere; the last message wins, member by member.
class GrpcUsage {
 public:
  void feed(std::string_view piece);
  const pick::Usage& usage() const { return usage_; }
  // Whether a message came by that is compressed, too long, no protobuf, or not whole yet.
  bool unread() const { return broken_ || !inbox_.empty(); }

 private:
  void read(std::string_view message);

  grpc::Inbox inbox_{kMaxUsageMessage};
  pick::Usage usage_;
  bool broken_ = false;
};

}  // namespace baton::epp
