#include "base/text/base64.hpp"

#include <gtest/gtest.h>

namespace baton::text {
namespace {

// RFC 4648 section 10.
TEST(Base64, WritesAndReadsTheVectorsOfTheStandard) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(base64(plain), coded);
    EXPECT_EQ(parse_base64(coded).value_or("?"), plain);
  }
}

TEST(Base64, ReadsEveryByteBackAcrossLineBreaks) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  std::string coded = base64(bytes);
  coded.insert(76, "\n");
  coded += "\r\n";
  EXPECT_EQ(parse_base64(coded).value_or("?"), bytes);
}

TEST(Base64, RefusesWhatIsNot) {
  for (const auto* text : {"Zg", "Zg=", "Z===", "Zg==Zg==", "Z g=", "Zm9-", "Zh==", "====", "="}) {
    EXPECT_FALSE(parse_base64(text)) << text;
  }
  EXPECT_EQ(parse_base64("Zm9-").error().message(), "not base64: byte 0x2d at offset 3");
}

}  // namespace
}  // namespace baton::text
