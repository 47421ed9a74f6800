// Requests that come at once must not all go to the pod that last said it has least to do.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <thread>

#include "routing/epp/testing/picker.hpp"

namespace baton::epp {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr std::size_t kPods = 4, kLoops = 4, kRequests = 50;  // requests of each loop
constexpr std::string_view kByQueue =
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: queue-scorer}]\n";

enum class Places : bool { kKept, kGivenBackAtOnce };

// How many requests each pod got. The first pod says that nothing waits, the others that four do;
// nobody says more while all loops pick at once.
std::array<std::size_t, kPods> placed(Places places) {
  SharedPool pool(pick::testing::service(kByQueue));
  std::vector<schedule::Endpoint> pods;
  for (std::size_t i = 0; i < kPods; ++i) {
    pods.push_back(pick::testing::endpoint("p" + std::to_string(i), "", "10.0.0.1",
                                           static_cast<std::uint16_t>(8000 + i)));
  }
  pool.update(pods);
  const auto now = ManualClock().now();
  const auto snapshot = pool.snapshot();
  for (std::size_t i = 0; i < kPods; ++i) {
    watch::Scraped scraped;
    scraped.waiting = i == 0 ? 0 : 4;
    pool.loaded((*snapshot.endpoints)[i], scraped, now);
  }
  std::array<std::vector<pick::ServicePool::Picked>, kLoops> kept;
  std::array<std::array<std::size_t, kPods>, kLoops> counts{};
  {
    std::barrier together(kLoops);
    std::vector<std::jthread> loops;
    for (std::size_t l = 0; l < kLoops; ++l) {
      loops.emplace_back([&, l] {
        SeededRandom random(l);
        together.arrive_and_wait();
        for (std::size_t i = 0; i < kRequests; ++i) {
          auto picked = pool.pick({.prompt_bytes = 100}, nullptr, now, random);
          ASSERT_TRUE(picked);
          ++counts[l][picked->route.decode.port - 8000U];
          if (places == Places::kKept) kept[l].push_back(*std::move(picked));
        }
      });
    }
  }
  std::array<std::size_t, kPods> out{};
  for (const auto& of_loop : counts) {
    for (std::size_t i = 0; i < kPods; ++i) out[i] += of_loop[i];
  }
  return out;
}

TEST(Herd, RequestsOfAllLoopsAtOnceGoEvenlyThoughNoPodTellsOfThem) {
  EXPECT_THAT(placed(Places::kKept), Each(kLoops * kRequests / kPods));
}

// What would be without reservations: the test above tells the two apart.
TEST(Herd, RequestsWhosePlacesDoNotCountAllFollowOneReading) {
  EXPECT_THAT(placed(Places::kGivenBackAtOnce), ElementsAre(kLoops * kRequests, 0, 0, 0));
}

}  // namespace
}  // namespace baton::epp
