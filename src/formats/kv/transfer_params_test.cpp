#include "formats/kv/transfer_params.hpp"

#include <gtest/gtest.h>

namespace baton::kv {
namespace {

Result<TransferParams> decoded(std::string_view json) { return decode(*text::json::parse(json)); }

std::string message(std::string_view json) {
  auto result = decoded(json);
  return result ? "accepted" : result.error().message();
}

TransferParams complete() {
  TransferParams p;
  p.do_remote_prefill = true;
  p.remote_engine_id = "e1";
  p.remote_request_id = "cmpl-1";
  p.remote_host = "127.0.0.1";
  p.remote_port = 5600;
  p.remote_block_ids = {1, 2, 3};
  p.remote_num_tokens = 40;
  p.generation = 0xffff'ffff'ffff'fff0;
  p.lease_token = "00112233445566778899aabbccddeeff";
  return p;
}

TEST(TransferParams, SurviveARoundTrip) {
  auto back = decode(encode(complete()));

  ASSERT_TRUE(back) << back.error().message();
  EXPECT_EQ(*back, complete());
}

TEST(TransferParams, NullEmptyAndUnknownMembersMeanNothingToDo) {
  EXPECT_EQ(*decoded("null"), TransferParams{});
  EXPECT_EQ(*decoded("{}"), TransferParams{});
  EXPECT_EQ(*decoded(R"({"transfer_mode":"pull","remote_host":null})"), TransferParams{});
}

TEST(TransferParams, TakeThePrefillLegOfTheSidecar) {
  auto p = decoded(R"({"do_remote_decode":true,"do_remote_prefill":false,"remote_engine_id":null,
                       "remote_block_ids":null,"remote_host":null,"remote_port":null})");

  ASSERT_TRUE(p);
  EXPECT_TRUE(p->do_remote_decode);
  EXPECT_FALSE(p->do_remote_prefill);
}

TEST(TransferParams, TakeFlatAndNestedBlockLists) {
  EXPECT_EQ(decoded(R"({"remote_block_ids":[4,5]})")->remote_block_ids,
            (std::vector<std::uint64_t>{4, 5}));
  EXPECT_EQ(decoded(R"({"remote_block_ids":[[4,5]]})")->remote_block_ids,
            (std::vector<std::uint64_t>{4, 5}));
}

TEST(TransferParams, NameTheMemberThatIsWrong) {
  EXPECT_EQ(message(R"([1])"), "kv_transfer_params: expected an object, got array");
  EXPECT_EQ(message(R"({"remote_port":70000})"),
            "kv_transfer_params.remote_port: expected an integer from 0 to 65535, got number");
  EXPECT_EQ(message(R"({"do_remote_prefill":"yes"})"),
            "kv_transfer_params.do_remote_prefill: expected a boolean, got string");
  EXPECT_EQ(message(R"({"remote_block_ids":[1,"DUMMY_ID"]})"),
            "kv_transfer_params.remote_block_ids[1]: expected a block id, got string");
  EXPECT_EQ(message(R"({"remote_block_ids":[[1],[2]]})"),
            "kv_transfer_params.remote_block_ids[0]: expected a block id, got array");
  EXPECT_EQ(message(R"({"do_remote_prefill":true,"do_remote_decode":true})"),
            "kv_transfer_params: do_remote_decode and do_remote_prefill exclude each other");
}

// vllm-live §5: an invented request kills the upstream engine; here it is a 400.
TEST(TransferParams, RefuseAPullWithoutEverythingItNeeds) {
  EXPECT_EQ(message(R"({"do_remote_prefill":true})"),
            "kv_transfer_params.remote_engine_id: needed with do_remote_prefill");
  for (const char* member :
       {"remote_engine_id", "remote_request_id", "remote_host", "remote_port", "remote_block_ids",
        "remote_num_tokens", "baton_lease_token", "baton_generation"}) {
    auto value = encode(complete());
    value[member] = nullptr;

    auto result = decode(value);

    ASSERT_FALSE(result) << member;
    EXPECT_EQ(result.error().code(), Code::kInvalid);
    EXPECT_NE(result.error().message().find(member), std::string::npos);
  }
}

TEST(TransferParams, RefuseOverlongText) {
  auto value = encode(complete());
  value["remote_host"] = std::string(257, 'h');

  EXPECT_FALSE(decode(value));
}

}  // namespace
}  // namespace baton::kv
