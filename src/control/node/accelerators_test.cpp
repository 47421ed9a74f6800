#include "control/node/accelerators.hpp"

#include <gtest/gtest.h>

#include "base/text/json.hpp"

namespace baton::node {
namespace {

kube::Object parse(const std::string& text) { return *text::json::parse(text); }

TEST(Accelerators, HandOutWhatIsThereAndSayWhatIsMissing) {
  const auto pod = parse(R"({"spec":{"containers":[{"resources":{
    "requests":{"nvidia.com/gpu":"2","cpu":"1"},"limits":{"nvidia.com/gpu":"2"}}}]}})");
  Accelerators two(2, Accelerators::Emulate::kNo);
  EXPECT_EQ(*two.take(pod), "0,1");
  const auto second = two.take(pod);
  EXPECT_EQ(second.error().message(),
            "insufficient nvidia.com/gpu: 2 wanted, 0 free of 2 on this machine; --stand-in "
            "storyteller emulates accelerators");
  two.give_back("0,1");
  EXPECT_TRUE(two.take(pod));
  EXPECT_EQ(*Accelerators(0, Accelerators::Emulate::kYes).take(pod), "");
}

}  // namespace
}  // namespace baton::node
