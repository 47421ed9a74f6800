#include "routing/watch/kv_callers.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace baton::watch {
namespace {

using schedule::Endpoint;

Endpoint endpoint(const std::string& name, const std::string& host, std::uint16_t port,
                  std::optional<std::uint16_t> rank = {}) {
  Endpoint out;
  out.ns = "default", out.name = name, out.host = host, out.port = port, out.rank = rank;
  return out;
}

const std::vector<Endpoint> kEndpoints = {
    endpoint("a", "10.0.0.1", 8000, 0), endpoint("b", "10.0.0.2", 8000, 0),
    endpoint("b", "10.0.0.2", 8001, 1), endpoint("c", "fd00::3", 8000, 0)};

// Its id; "" when nobody is meant.
std::string publisher(std::string_view topic, std::string_view host,
                      std::optional<std::uint32_t> rank = {}) {
  std::vector<const Endpoint*> endpoints;
  for (const auto& each : kEndpoints) endpoints.push_back(&each);
  const auto* found = publisher_of(topic, host, rank, endpoints);
  return found == nullptr ? "" : found->id();
}

TEST(PublisherOf, TheTopicNamesThePodByAddressOrName) {
  EXPECT_EQ(publisher("kv@10.0.0.1:8000@m", "1.1.1.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@10.0.0.1@org/m@v2", "1.1.1.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@a@m", "1.1.1.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@[fd00::3]:8000@m", "1.1.1.1"), "c-rank-0");
  EXPECT_EQ(publisher("kv@fd00::3@m", "1.1.1.1"), "c-rank-0");
}

TEST(PublisherOf, ATopicThatNamesNobodyLeavesItToTheAddressOfTheConnection) {
  EXPECT_EQ(publisher("kv@elsewhere@m", "10.0.0.1"), "a-rank-0");
  EXPECT_EQ(publisher("events", "10.0.0.1"), "a-rank-0");
  EXPECT_EQ(publisher("kv@10.0.0.1:8001@m", "1.1.1.1"), "");
}

TEST(PublisherOf, RanksOfOnePodAreToldApartByPortOrByTheBatch) {
  EXPECT_EQ(publisher("kv@10.0.0.2:8001@m", "1.1.1.1"), "b-rank-1");
  EXPECT_EQ(publisher("kv@b@m", "1.1.1.1", 1), "b-rank-1");
  EXPECT_EQ(publisher("kv@elsewhere@m", "10.0.0.2", 0), "b-rank-0");
  EXPECT_EQ(publisher("kv@b@m", "1.1.1.1"), "");
  EXPECT_EQ(publisher("kv@b@m", "1.1.1.1", 2), "");
}

}  // namespace
}  // namespace baton::watch
