#include "formats/openai/member_scan.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/core/random.hpp"
#include "formats/openai/splice.hpp"

namespace baton::openai {
namespace {

constexpr std::string_view kName = "kv_transfer_params";

bool found_in(std::string_view body, std::size_t piece) {
  MemberScan scan(kName);
  for (std::size_t at = 0; at < body.size(); at += piece) (void)scan.feed(body.substr(at, piece));
  return scan.found();
}

TEST(MemberScan, FindsATopMemberInAnySpelling) {
  for (std::string_view body :
       {R"({"kv_transfer_params":null})", R"( { "kv_transfer_params" : 1})",
        R"({"a":{"b":[1,"]}"]},"kv_transfer_params":{}})", R"({"\u006bv_transfer_params":1})",
        R"({"kv\u005Ftransfer_param\u0073":1})", R"({"a":"\\","kv_transfer_params":1})",
        R"({"a":"\"","kv_transfer_params":1)"}) {
    for (std::size_t piece = 1; piece <= body.size(); ++piece) {
      EXPECT_TRUE(found_in(body, piece)) << body << " in pieces of " << piece;
    }
  }
}

TEST(MemberScan, PassesOverTheNameElsewhere) {
  for (std::string_view body :
       {R"({"a":"kv_transfer_params"})", R"({"a":{"kv_transfer_params":1}})",
        R"([{"kv_transfer_params":1}])", R"({"a":["kv_transfer_params"]})",
        R"({"kv_transfer_param":1,"kv_transfer_paramsx":1,"\kv_transfer_params":1})",
        R"({"a":"\"kv_transfer_params\":1"})", R"("kv_transfer_params":1)", "kv_transfer_params",
        R"({"kv_transfer_params"})", R"({"\u016bv_transfer_params":1})", ""}) {
    for (std::size_t piece = 1; piece <= body.size() + 1; ++piece) {
      EXPECT_FALSE(found_in(body, piece)) << body << " in pieces of " << piece;
    }
  }
}

// Whatever the bytes are: where the strict index takes them, both agree.
TEST(MemberScan, AgreesWithTheIndexOfABody) {
  SeededRandom random(7);
  static constexpr std::string_view kParts[] = {"\"kv_transfer_params\"",
                                                "\"a\"",
                                                ":",
                                                ":",
                                                ",",
                                                ",",
                                                "{",
                                                "}",
                                                "[",
                                                "]",
                                                "1",
                                                "\"\\\"\"",
                                                "\"\\u006bv_transfer_params\"",
                                                " "};
  int valid = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string body = "{";
    for (std::uint64_t i = random.below(12); i > 0; --i) {
      body += kParts[random.below(std::size(kParts))];
    }
    body += "}";
    auto index = BodyIndex::scan(body);
    if (!index) continue;
    ++valid;
    EXPECT_EQ(found_in(body, 1 + random.below(5)), index->find(kName).has_value()) << body;
  }
  EXPECT_GT(valid, 500);
}

}  // namespace
}  // namespace baton::openai
