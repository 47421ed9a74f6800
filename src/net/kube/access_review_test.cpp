// Whether a visitor may: by an API server that knows two tokens.

#include "net/kube/access_review.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::kube {
namespace {

using ::testing::HasSubstr;
using Verdict = AccessReview::Verdict;

// Knows the tokens "scraper" and "stranger"; only the scraper may GET /metrics.
class Reviewer final : public Cluster {
 public:
  Result<Object> create(const Object& object, DryRun, Deadline) override {
    if (down) return unavailable("connection refused");
    EXPECT_EQ(object.find("metadata"), nullptr);  // an API server refuses it
    Object out = object;
    if (object.string_at({"kind"}) == "TokenReview") {
      ++token_reviews;
      const auto token = object.string_at({"spec", "token"});
      const bool known = token == "scraper" || token == "stranger";
      out["status"]["authenticated"] = known;
      if (known) {
        out["status"]["user"]["username"] = token;
        out["status"]["user"]["groups"].push_back("system:authenticated");
      }
      return out;
    }
    asked = object;
    out["status"]["allowed"] =
        object.string_at({"spec", "user"}) == "scraper" &&
        object.string_at({"spec", "nonResourceAttributes", "path"}) == "/metrics" &&
        object.string_at({"spec", "nonResourceAttributes", "verb"}) == "get";
    return out;
  }
  Result<Object> get(const ObjectKey&, Deadline) override { return unsupported("get"); }
  Result<List> list(const Query&, Deadline) override { return unsupported("list"); }
  Result<Object> update(const Object&, DryRun, Deadline) override { return unsupported("update"); }
  Result<Object> update_status(const Object&, Deadline) override { return unsupported("update"); }
  Result<Object> patch(const ObjectKey&, const Object&, DryRun, Deadline) override {
    return unsupported("patch");
  }
  Status remove(const ObjectKey&, const Removal&, Deadline) override {
    return unsupported("remove");
  }
  Result<std::unique_ptr<Watch>> watch(const Query&, const Version&, Deadline) override {
    return unsupported("watch");
  }

  bool down = false;
  int token_reviews = 0;
  Object asked;
};

class AccessReviewTest : public ::testing::Test {
 protected:
  Verdict ask(std::string_view token, std::string_view path = "/metrics") {
    return review_.ask(token, "get", path, {Mono::max()}).verdict;
  }
  ManualClock clock_;
  Reviewer cluster_;
  AccessReview review_{cluster_, clock_};
};

TEST_F(AccessReviewTest, AsksWhoseTokenItIsAndWhetherTheyMay) {
  EXPECT_EQ(ask("scraper"), Verdict::kAllowed);
  EXPECT_EQ(cluster_.asked.find_path({"spec", "groups"})->if_array()->size(), 1U);
  EXPECT_EQ(ask("scraper", "/debug/decisions"), Verdict::kDenied);
  EXPECT_EQ(ask("stranger"), Verdict::kDenied);
  EXPECT_EQ(ask("nobody"), Verdict::kUnknown);
  EXPECT_EQ(ask(""), Verdict::kUnknown);
  EXPECT_EQ(ask(std::string(AccessReview::kMaxToken + 1, 'x')), Verdict::kUnknown);
}

TEST_F(AccessReviewTest, RemembersAnswersForAWhile) {
  EXPECT_EQ(ask("scraper"), Verdict::kAllowed);
  EXPECT_EQ(ask("scraper"), Verdict::kAllowed);
  EXPECT_EQ(cluster_.token_reviews, 1);
  clock_.advance(AccessReview::kAllowedFor);
  EXPECT_EQ(ask("scraper"), Verdict::kAllowed);
  EXPECT_EQ(cluster_.token_reviews, 2);
  EXPECT_EQ(ask("nobody"), Verdict::kUnknown);
  clock_.advance(AccessReview::kDeniedFor);
  EXPECT_EQ(ask("nobody"), Verdict::kUnknown);
  EXPECT_EQ(cluster_.token_reviews, 4);
}

TEST_F(AccessReviewTest, WhatTheServerDoesNotSayIsNoAnswerAndIsAskedAgain) {
  cluster_.down = true;
  const auto answer = review_.ask("scraper", "get", "/metrics", {Mono::max()});
  EXPECT_EQ(answer.verdict, Verdict::kFailed);
  EXPECT_THAT(answer.why, HasSubstr("TokenReview: connection refused"));
  cluster_.down = false;
  EXPECT_EQ(ask("scraper"), Verdict::kAllowed);
}

TEST(BearerToken, IsWhatStandsBehindTheWord) {
  EXPECT_EQ(bearer_token("Bearer abc"), "abc");
  EXPECT_EQ(bearer_token("bearer  abc "), "abc");
  EXPECT_EQ(bearer_token("Basic abc"), "");
  EXPECT_EQ(bearer_token("Bearer"), "");
  EXPECT_EQ(bearer_token(""), "");
}

}  // namespace
}  // namespace baton::kube
