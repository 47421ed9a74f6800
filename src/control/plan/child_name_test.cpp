#include "control/plan/child_name.hpp"

#include <gtest/gtest.h>

#include "control/plan/md5.hpp"

namespace baton::plan {
namespace {

TEST(Md5, EqualsTheDigestsOfRfc1321) {
  EXPECT_EQ(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(
      md5_hex("12345678901234567890123456789012345678901234567890123456789012345678901234567890"),
      "57edf4a22be3c955ac49da2e2107b67a");
}

// B21. The expected names come from an independent program (Python, hashlib).
TEST(ChildName, FitsIn63CharactersAsOtherControllersNameIt) {
  struct Case {
    std::string_view parent, suffix, expected;
  };
  const Case cases[] = {
      {"storyteller", "-kserve", "storyteller-kserve"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "-kserve",
       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-kserve"},
      {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "-kserve",
       "aaaaaaaaaaaaaaaaaaaaaaaa652b906d60af96844ebd21b674f35e93-kserve"},
      {"llama-3-70b-instruct-for-the-customer-support-department-eu", "-kserve-self-signed-certs",
       "llama-d8bb617325fc257f706a280952a4d4d3-kserve-self-signed-certs"},
      {"short", "-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
       "short43ac0f6923ae03eed68b19d6c9d0b04e-xxxxxxxxxxxxxxxxxxxxxxxxx"},
      {"pppppppppppppppppppppppppppppppppppppppp", "-yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
       "pppppppppppppppppppppppppppppppff982b6be899d1b114c3ad7a255223f9"},
      {"llm", "-the-service-with-a-very-long-name-that-does-not-fit-epp-auth-rb",
       "llm30317937352cc1b2ff3407024fff974a-the-service-with-a-very-lon"},
      {"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "-inference-pool",
       "xxxxxxxxxxxxxxxx1198000c11968f9368e02d6da57ec147-inference-pool"},
      {"n", "---------------------------------------------------------------",
       "n9a49b99744599c2633a14ff95bb08753"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(child_name(c.parent, c.suffix), c.expected);
    EXPECT_LE(child_name(c.parent, c.suffix).size(), 63U);
  }
}

}  // namespace
}  // namespace baton::plan
