#include "formats/kv/transfer_params.hpp"

#include <fmt/format.h>

#include <limits>
#include <string_view>

namespace baton::kv {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::size_t kMaxText = 256;  // bytes of an id, host or token
constexpr std::size_t kMaxBlocks = std::size_t{1} << 20;
constexpr std::uint64_t kMaxTpSize = 4096;

Error wrong(std::string_view member, std::string_view expected, const Value& got) {
  return invalid(
      fmt::format("kv_transfer_params.{}: expected {}, got {}", member, expected, got.kind_name()));
}

// Reads members of one object; null counts as absent.
class ParamsReader {
 public:
  explicit ParamsReader(const Object& object) : object_(object) {}

  Status read(std::string_view member, bool& into) const {
    const Value* value = present(member);
    if (!value) return {};
    const bool* b = value->if_bool();
    if (!b) return wrong(member, "a boolean", *value);
    into = *b;
    return {};
  }
  Status read(std::string_view member, std::string& into) const {
    const Value* value = present(member);
    if (!value) return {};
    const std::string* s = value->if_string();
    if (!s) return wrong(member, "a string", *value);
    if (s->size() > kMaxText)
      return invalid(fmt::format("kv_transfer_params.{}: {} bytes, at most {} allowed", member,
                                 s->size(), kMaxText));
    into = *s;
    return {};
  }
  Status read(std::string_view member, std::uint64_t& into, std::uint64_t most) const {
    const Value* value = present(member);
    if (!value) return {};
    const auto n = value->if_uint();
    if (!n || *n > most) return wrong(member, fmt::format("an integer from 0 to {}", most), *value);
    into = *n;
    return {};
  }
  Status read_blocks(std::string_view member, std::vector<std::uint64_t>& into) const {
    const Value* value = present(member);
    if (!value) return {};
    const Array* outer = value->if_array();
    if (!outer) return wrong(member, "a list of block ids", *value);
    // One list per KV group, with one group; or the flat list of older engines.
    if (outer->size() == 1 && (*outer)[0].is_array()) outer = (*outer)[0].if_array();
    if (outer->size() > kMaxBlocks)
      return invalid(fmt::format("kv_transfer_params.{}: {} blocks, at most {} allowed", member,
                                 outer->size(), kMaxBlocks));
    into.reserve(outer->size());
    for (const Value& id : *outer) {
      const auto n = id.if_uint();
      if (!n) return wrong(fmt::format("{}[{}]", member, into.size()), "a block id", id);
      into.push_back(*n);
    }
    return {};
  }

 private:
  const Value* present(std::string_view member) const {
    const Value* value = object_.find(member);
    return value && !value->is_null() ? value : nullptr;
  }
  const Object& object_;
};

// The first member that a pull needs and `p` lacks; empty: none.
std::string_view missing_for_pull(const TransferParams& p) {
  if (p.remote_engine_id.empty()) return "remote_engine_id";
  if (p.remote_request_id.empty()) return "remote_request_id";
  if (p.remote_host.empty()) return "remote_host";
  if (p.remote_port == 0) return "remote_port";
  if (p.remote_block_ids.empty()) return "remote_block_ids";
  if (p.remote_num_tokens == 0) return "remote_num_tokens";
  if (p.lease_token.empty()) return "baton_lease_token";
  if (p.generation == 0) return "baton_generation";
  return {};
}

}  // namespace

Result<TransferParams> decode(const Value& value) {
  TransferParams out;
  if (value.is_null()) return out;
  const Object* object = value.if_object();
  if (!object)
    return invalid(
        fmt::format("kv_transfer_params: expected an object, got {}", value.kind_name()));

  const ParamsReader reader(*object);
  std::uint64_t port = 0;
  BATON_TRY(reader.read("do_remote_decode", out.do_remote_decode));
  BATON_TRY(reader.read("do_remote_prefill", out.do_remote_prefill));
  BATON_TRY(reader.read("remote_engine_id", out.remote_engine_id));
  BATON_TRY(reader.read("remote_request_id", out.remote_request_id));
  BATON_TRY(reader.read("remote_host", out.remote_host));
  BATON_TRY(reader.read("remote_port", port, std::numeric_limits<std::uint16_t>::max()));
  BATON_TRY(reader.read_blocks("remote_block_ids", out.remote_block_ids));
  BATON_TRY(reader.read("remote_num_tokens", out.remote_num_tokens,
                        std::numeric_limits<std::uint32_t>::max()));
  BATON_TRY(reader.read("tp_size", out.tp_size, kMaxTpSize));
  BATON_TRY(
      reader.read("baton_generation", out.generation, std::numeric_limits<std::uint64_t>::max()));
  BATON_TRY(reader.read("baton_lease_token", out.lease_token));
  BATON_TRY(reader.read("baton_announced", out.announced));
  out.remote_port = static_cast<std::uint16_t>(port);

  if (out.do_remote_decode && out.do_remote_prefill)
    return invalid("kv_transfer_params: do_remote_decode and do_remote_prefill exclude each other");
  if (out.do_remote_prefill) {
    const std::string_view missing = missing_for_pull(out);
    if (!missing.empty())
      return invalid(fmt::format("kv_transfer_params.{}: needed with do_remote_prefill", missing));
  }
  return out;
}

Value encode(const TransferParams& params) {
  Array blocks;
  blocks.reserve(params.remote_block_ids.size());
  for (const std::uint64_t id : params.remote_block_ids) blocks.emplace_back(id);
  Object out;
  out.append("do_remote_prefill", true);
  out.append("do_remote_decode", false);
  out.append("remote_block_ids", Array{Value(std::move(blocks))});
  out.append("remote_engine_id", params.remote_engine_id);
  out.append("remote_request_id", params.remote_request_id);
  out.append("remote_host", params.remote_host);
  out.append("remote_port", params.remote_port);
  out.append("tp_size", params.tp_size);
  out.append("remote_num_tokens", params.remote_num_tokens);
  out.append("baton_generation", params.generation);
  out.append("baton_lease_token", params.lease_token);
  if (params.announced) out.append("baton_announced", true);
  return out;
}

}  // namespace baton::kv
