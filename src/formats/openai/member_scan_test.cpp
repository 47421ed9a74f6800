#include "formats/openai/member_scan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "base/core/random.hpp"
#include "base/text/json.hpp"

namespace baton::openai {
namespace {

constexpr std::string_view kName = "kv_transfer_params";

bool found_in(std::string_view body, std::size_t piece) {
  MemberScan scan(kName);
  for (std::size_t at = 0; at < body.size(); at += piece) (void)scan.feed(body.substr(at, piece));
  return scan.found();
}

TEST(MemberScan, FindsAMemberOfAnyObjectInAnySpelling) {
  for (std::string_view body :
       {R"({"kv_transfer_params":null})", R"( { "kv_transfer_params" : 1})",
        R"({"a":{"b":[1,"]}"]},"kv_transfer_params":{}})", R"({"\u006bv_transfer_params":1})",
        R"({"kv\u005Ftransfer_param\u0073":1})", R"({"a":"\\","kv_transfer_params":1})",
        R"({"a":"\"","kv_transfer_params":1)", R"({"a":{"kv_transfer_params":1}})",
        R"({"a":[1,{"b":{"kv_transfer_params" :1}}]})"}) {
    for (std::size_t piece = 1; piece <= body.size(); ++piece) {
      EXPECT_TRUE(found_in(body, piece)) << body << " in pieces of " << piece;
    }
  }
}

TEST(MemberScan, PassesOverTheNameElsewhere) {
  for (std::string_view body :
       {R"({"a":"kv_transfer_params"})", R"({"a":["kv_transfer_params"]})",
        R"({"a":["kv_transfer_params",{}]})",
        R"({"kv_transfer_param":1,"kv_transfer_paramsx":1,"\kv_transfer_params":1})",
        R"({"a":"\"kv_transfer_params\":1"})", R"("kv_transfer_params":1)", "kv_transfer_params",
        R"({"kv_transfer_params"})", R"({"\u016bv_transfer_params":1})", ""}) {
    for (std::size_t piece = 1; piece <= body.size() + 1; ++piece) {
      EXPECT_FALSE(found_in(body, piece)) << body << " in pieces of " << piece;
    }
  }
}

TEST(MayName, SeesTheNameAndEscapesThatCanSpellItWhereverTheyStand) {
  for (std::string_view part : {std::string_view(R"("kv_transfer_params":1)"),
                                std::string_view(R"("\u006bv_transfer_params":1)"),
                                std::string_view(R"("kv\u005Ftransfer_params":1)")}) {
    for (std::size_t before = 0; before < 200; ++before) {
      for (std::size_t after : {std::size_t{0}, std::size_t{1}, std::size_t{100}}) {
        const std::string body =
            "{" + std::string(before, ' ') + std::string(part) + std::string(after, ' ') + "}";
        ASSERT_TRUE(found_in(body, body.size()));
        EXPECT_TRUE(may_name(body, kName)) << body;
      }
    }
  }
  const std::string others =
      R"({"prompt":"kv_transfer_param, kv cache \u4e2d\u6587 \n \"u00\" \\","k":)";
  for (std::size_t before = 0; before < 100; ++before) {
    EXPECT_FALSE(may_name(others + std::string(before, ' ') + "1}", kName));
  }
  EXPECT_FALSE(may_name("", kName));
  EXPECT_FALSE(may_name("k", kName));
}

// Time is in proportion to the text, escapes or not.
TEST(MemberScan, PassesALongTextOfEscapesInOneGo) {
  std::string body = R"({"prompt":")";
  for (int i = 0; i < 1'000'000; ++i) body += "\\n";
  const std::string with = body + R"(","kv_transfer_params":1})";
  EXPECT_TRUE(found_in(with, with.size()));
  EXPECT_FALSE(found_in(body + "\"}", body.size() + 2));
}

bool has_member(const text::json::Value& value) {
  if (const auto* items = value.if_array()) return std::ranges::any_of(*items, has_member);
  const auto* members = value.if_object();
  return members != nullptr && std::ranges::any_of(*members, [](const auto& member) {
           return member.key == kName || has_member(member.value);
         });
}

// Whatever the bytes are: where the strict parser takes them, both agree.
TEST(MemberScan, AgreesWithAParser) {
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
    auto parsed = text::json::parse(body);
    if (!parsed) continue;
    ++valid;
    const bool has = has_member(*parsed);
    EXPECT_EQ(found_in(body, 1 + random.below(5)), has) << body;
    EXPECT_TRUE(!has || may_name(body, kName)) << body;
  }
  EXPECT_GT(valid, 500);
}

}  // namespace
}  // namespace baton::openai
