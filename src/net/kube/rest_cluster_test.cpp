#include "net/kube/rest_cluster.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/core/log.hpp"
#include "net/kube/object.hpp"
#include "net/kube/testing/conformance.hpp"
#include "net/kube/testing/scripted_api.hpp"

namespace baton::kube {
namespace {

using testing::config_map;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::ScriptedApi;
using testing::status_body;
using Request = ScriptedApi::Request;
using Connection = ScriptedApi::Connection;

const Type kPod{"", "v1", "Pod"};
const Type kConfigMap{"", "v1", "ConfigMap"};

std::string pod(const std::string& name, const std::string& version) {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"ns","resourceVersion":")" + version +
         R"(","managedFields":[{"manager":"x"}]}})";
}
std::string pods(const std::vector<std::string>& names, const std::string& next = "") {
  std::string items;
  for (const auto& name : names) items += (items.empty() ? "" : ",") + pod(name, "1");
  return R"({"kind":"PodList","metadata":{"resourceVersion":"9","continue":")" + next +
         R"("},"items":[)" + items + "]}";
}
std::string event(const std::string& type, const std::string& name, const std::string& version) {
  return R"({"type":")" + type + R"(","object":)" + pod(name, version) + "}\n";
}

class RestClusterTest : public ::testing::Test {
 protected:
  // The n-th request (from 0) is answered by the n-th function, and those after the last by the
  // last one.
  using Answer = std::function<void(const Request&, Connection&)>;
  void serve(std::vector<Answer> answers) {
    api_ = std::make_unique<ScriptedApi>([this, answers](const Request& request, Connection& c) {
      answers[std::min<std::size_t>(served_++, answers.size() - 1)](request, c);
    });
    RestCluster::Config config = config_;
    config.api.access = api_->access();
    auto opened = RestCluster::open(std::move(config), clock_, random_);
    ASSERT_TRUE(opened);
    cluster_ = *std::move(opened);
  }
  static Answer says(int status, std::string body, std::string fields = "") {
    return [=](const Request&, Connection& c) { c.answer(status, body, fields); };
  }
  static Answer streams(const std::string& text) {
    return [=](const Request&, Connection& c) {
      c.begin_stream();
      c.chunk(text);
      c.wait_for_client();
    };
  }
  Deadline soon() const { return Deadline::in(clock_, std::chrono::seconds(20)); }
  Result<List> list() { return cluster_->list({kPod, "ns", {}}, soon()); }
  std::vector<std::string> names(const Result<List>& list) {
    std::vector<std::string> out;
    EXPECT_TRUE(list) << list.error().message();
    if (!list) return out;
    for (const auto& item : list->items) out.emplace_back(name_of(item));
    return out;
  }
  // "A name version" of the next event, or the error.
  std::string next(Watch& watch) {
    const auto got = watch.next(soon());
    if (!got) return std::string(name(got.error().code()));
    if (!*got) return "nothing";
    const char* kinds[] = {"added", "modified", "deleted"};
    return std::string(kinds[static_cast<int>((*got)->kind)]) + " " +
           std::string(name_of((*got)->object)) + " " +
           std::string((*got)->object.string_at({"metadata", "resourceVersion"}));
  }

  SystemClock clock_;
  SeededRandom random_{3};
  RestCluster::Config config_{.api = {.access = {},
                                      .attempts = 3,
                                      .attempt_timeout = std::chrono::seconds(10),
                                      .backoff = Millis(1)},
                              .page = 2,
                              .watch_idle = std::chrono::seconds(10)};
  std::atomic<std::size_t> served_ = 0;
  std::unique_ptr<ScriptedApi> api_;
  std::unique_ptr<RestCluster> cluster_;
};

TEST_F(RestClusterTest, ListsInPages) {
  serve({says(200, pods({"a", "b"}, "more/1")), says(200, pods({"c"}))});
  const auto got = list();
  EXPECT_THAT(names(got), ElementsAre("a", "b", "c"));
  EXPECT_EQ(got->version, "9");
  EXPECT_EQ(got->items[0].string_at({"kind"}), "Pod");
  EXPECT_EQ(got->items[0].find_path({"metadata", "managedFields"}), nullptr);
  EXPECT_THAT(api_->lines(),
              ElementsAre("GET /api/v1/namespaces/ns/pods?limit=2",
                          "GET /api/v1/namespaces/ns/pods?limit=2&continue=more%2F1"));
  EXPECT_EQ(api_->seen()[0].headers.get("Authorization"), "Bearer sesame");
  EXPECT_EQ(api_->seen()[0].headers.get("User-Agent"), "baton");
}

TEST_F(RestClusterTest, StartsAgainInOnePieceWhenAPageExpired) {
  serve({says(200, pods({"a", "b"}, "more")),
         says(410, status_body(410, "Expired", "the continue token is too old")),
         says(200, pods({"b", "c", "d"}))});
  EXPECT_THAT(names(list()), ElementsAre("b", "c", "d"));
  EXPECT_EQ(api_->lines().back(), "GET /api/v1/namespaces/ns/pods");
}

TEST_F(RestClusterTest, AsksAgainForAPageThatBrokeOff) {
  serve({says(200, pods({"a", "b"}, "more")),
         [](const Request&, Connection& c) {
           c.begin_stream();
           c.chunk(pods({"c", "d"}).substr(0, 150));
           c.close();
         },
         says(200, pods({"c", "d"}))});
  EXPECT_THAT(names(list()), ElementsAre("a", "b", "c", "d"));
}

TEST_F(RestClusterTest, GivesUpOnAListThatIsGarbageOrCutOff) {
  for (const std::string& body : {std::string("<html>"), pods({"a"}).substr(0, 120),
                                  std::string("{}"), std::string("\0\xff", 2)}) {
    served_ = 0;
    serve({says(200, body)});
    const auto got = list();
    ASSERT_FALSE(got) << body;
    EXPECT_EQ(got.error().code(), Code::kUnavailable);
    EXPECT_EQ(api_->lines().size(), 3U);
  }
}

TEST_F(RestClusterTest, KeepsOfListedAndWatchedObjectsOnlyWhatItIsTold) {
  config_.keep.emplace(std::pair("", "Pod"),
                       text::json::Keep::only({"metadata.name", "metadata.resourceVersion"}));
  serve({says(200, pods({"a"})), streams(event("ADDED", "b", "10"))});
  const auto got = list();
  ASSERT_TRUE(got);
  EXPECT_EQ(got->items[0].find_path({"metadata", "namespace"}), nullptr);
  const auto watch = cluster_->watch({kPod, "ns", {}}, "9", soon());
  ASSERT_TRUE(watch);
  const auto seen = (*watch)->next(soon());
  ASSERT_TRUE(seen && *seen);
  EXPECT_EQ((*seen)->object.find_path({"metadata", "namespace"}), nullptr);
  EXPECT_EQ(name_of((*seen)->object), "b");
}

TEST_F(RestClusterTest, WaitsAsLongAsTheServerAsksAndTriesAgain) {
  serve({says(429, status_body(429, "TooManyRequests", "later"), "Retry-After: 0\r\n"),
         says(503, "", "Retry-After: 0\r\n"), says(201, pod("a", "1"))});
  EXPECT_TRUE(cluster_->create(config_map("ns", "a"), DryRun::kNo, soon()));
  EXPECT_EQ(api_->lines().size(), 3U);

  serve({says(429, status_body(429, "TooManyRequests", "later"), "Retry-After: 25\r\n")});
  const auto before = clock_.now();
  const auto late = cluster_->create(config_map("ns", "a"), DryRun::kNo, soon());
  EXPECT_EQ(late.error().code(), Code::kExhausted);  // no time for that
  EXPECT_LT(clock_.now() - before, std::chrono::seconds(10));
}

TEST_F(RestClusterTest, RepeatsAReadThatFailedAndNotAWrite) {
  serve({says(500, status_body(500, "InternalError", "etcd")), says(200, pod("a", "1"))});
  EXPECT_TRUE(cluster_->get({kPod, "ns", "a"}, soon()));
  served_ = 0;
  serve({says(500, status_body(500, "InternalError", "etcd")), says(200, pod("a", "1"))});
  EXPECT_EQ(cluster_->create(config_map("ns", "a"), DryRun::kNo, soon()).error().code(),
            Code::kUnavailable);
  EXPECT_EQ(api_->lines().size(), 1U);
  served_ = 0;
  serve({says(500, "")});
  EXPECT_EQ(cluster_->get({kPod, "ns", "a"}, soon()).error().code(), Code::kUnavailable);
  EXPECT_EQ(api_->lines().size(), 3U);
}

TEST_F(RestClusterTest, ASlowServerCostsNoMoreThanTheDeadline) {
  serve({[](const Request&, Connection& c) { c.wait_for_client(); }});
  const auto got = cluster_->get({kPod, "ns", "a"}, Deadline::in(clock_, Millis(50)));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kTimeout);
}

TEST_F(RestClusterTest, TakesNoAnswerOverTheLimit) {
  serve({[](const Request&, Connection& c) {
    c.begin_stream();
    const std::string piece(1 << 20, ' ');
    for (int i = 0; i < 40 && c.open(); ++i) c.chunk(piece);
    c.close();
  }});
  const auto got = cluster_->get({kPod, "ns", "a"}, soon());
  ASSERT_FALSE(got);
  EXPECT_THAT(got.error().message(), HasSubstr("over"));
}

TEST_F(RestClusterTest, LogsAWarningOfTheServerOnce) {
  std::atomic<int> warnings = 0;
  log::redirect([&](std::string_view line) {
    if (line.find("use v2 instead") != line.npos) ++warnings;
  });
  serve({says(200, pod("a", "1"), "Warning: 299 - \"use v2 instead\"\r\n")});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(cluster_->get({kPod, "ns", "a"}, soon()));
  log::redirect(nullptr);
  EXPECT_EQ(warnings, 1);
  EXPECT_EQ(warning_text(R"(299 - "a \"b\"" "date")"), R"(a "b")");
  EXPECT_EQ(warning_text("299 -"), "");
}

TEST_F(RestClusterTest, AsksForNoObjectWhoseNameIsNoName) {
  serve({says(200, "{}")});
  EXPECT_EQ(cluster_->remove({kPod, "ns", ""}, {}, soon()).error().code(), Code::kInvalid);
  EXPECT_EQ(cluster_->get({kPod, "ns", "../x"}, soon()).error().code(), Code::kInvalid);
  EXPECT_EQ(cluster_->get({kPod, "", "x"}, soon()).error().code(), Code::kInvalid);
  EXPECT_TRUE(api_->lines().empty());
}

TEST_F(RestClusterTest, ReportsAKindThatIsNotServedAsNotFound) {
  serve({says(404, "404 page not found")});
  const auto got = cluster_->list({{"example.org", "v1", "Widget"}, "", {}}, soon());
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code(), Code::kNotFound);
  EXPECT_THAT(got.error().message(), HasSubstr("is its CRD installed?"));
  EXPECT_EQ(cluster_->update_status(config_map("ns", "a"), soon()).error().code(),
            Code::kUnsupported);
}

TEST_F(RestClusterTest, SaysInItsRequestsWhatIsMeant) {
  serve({says(200, pod("a", "5"))});
  Object object = config_map("ns", "a");
  EXPECT_TRUE(cluster_->apply(object, {"me", Force::kYes, DryRun::kYes}, soon()));
  object["metadata"]["resourceVersion"] = "4";
  EXPECT_TRUE(cluster_->update(object, DryRun::kYes, soon()));
  Removal how(Grace::kNone);
  how.propagation = Propagation::kForeground;
  how.uid = "u";
  EXPECT_TRUE(cluster_->remove({kPod, "ns", "a"}, how, soon()));
  EXPECT_TRUE(cluster_->patch({kPod, "ns", "a"}, object, DryRun::kNo, soon()));
  object["metadata"].if_object()->erase("resourceVersion");
  EXPECT_TRUE(cluster_->update(object, DryRun::kNo, soon()));

  EXPECT_THAT(
      api_->lines(),
      ElementsAre("PATCH /api/v1/namespaces/ns/configmaps/a?fieldManager=me&force=true&dryRun=All",
                  "PUT /api/v1/namespaces/ns/configmaps/a?fieldManager=baton&dryRun=All",
                  "DELETE /api/v1/namespaces/ns/pods/a",
                  "PATCH /api/v1/namespaces/ns/pods/a?fieldManager=baton",
                  "GET /api/v1/namespaces/ns/configmaps/a",
                  "PUT /api/v1/namespaces/ns/configmaps/a?fieldManager=baton"));
  const auto seen = api_->seen();
  EXPECT_EQ(seen[0].headers.get("Content-Type"), "application/apply-patch+yaml");
  EXPECT_EQ(seen[2].body,
            R"({"apiVersion":"v1","kind":"DeleteOptions","propagationPolicy":"Foreground",)"
            R"("gracePeriodSeconds":0,"preconditions":{"uid":"u"}})");
  EXPECT_EQ(seen[3].headers.get("Content-Type"), "application/merge-patch+json");
  EXPECT_THAT(seen[5].body, HasSubstr(R"("resourceVersion":"5")"));
}

TEST_F(RestClusterTest, LeavesToTheFinalizersOfAnEndedPodWhatGoesFirst) {
  serve({says(200, pod("a", "5"))});
  EXPECT_TRUE(cluster_->remove({kPod, "ns", "a"}, Grace::kNone, soon()));
  EXPECT_EQ(api_->seen()[0].body,
            R"({"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0})");
}

TEST_F(RestClusterTest, RenewsARefusedTokenOnce) {
  serve({says(401, status_body(401, "Unauthorized", "no"))});
  const auto got = cluster_->get({kPod, "ns", "a"}, soon());
  EXPECT_EQ(got.error().code(), Code::kDenied);
  EXPECT_EQ(api_->lines().size(), 1U);  // a fixed token will not get better
}

TEST_F(RestClusterTest, AWatchGoesOnFromTheLastVersionWhenItEndsOrIsCut) {
  serve({[](const Request&, Connection& c) {
           c.begin_stream();
           c.chunk(event("ADDED", "a", "11") + event("BOOKMARK", "", "15"));
           c.end_stream();
         },
         [](const Request&, Connection& c) {
           c.begin_stream();
           c.chunk(event("MODIFIED", "a", "16") + event("MODIFIED", "a", "17").substr(0, 30));
           c.close();
         },
         says(503, ""), says(503, ""), says(503, ""),
         streams(event("MODIFIED", "a", "17") + event("DELETED", "a", "18"))});
  const auto watch = cluster_->watch({kPod, "ns", {{"app", "x"}}}, "10", soon());
  ASSERT_TRUE(watch);
  EXPECT_EQ(next(**watch), "added a 11");
  EXPECT_EQ(next(**watch), "modified a 16");
  EXPECT_EQ(next(**watch), "modified a 17");
  EXPECT_EQ(next(**watch), "deleted a 18");
  const auto lines = api_->lines();
  const std::string start = "GET /api/v1/namespaces/ns/pods?watch=true&allowWatchBookmarks=true&";
  EXPECT_EQ(lines[0], start + "resourceVersion=10&timeoutSeconds=300&labelSelector=app%3Dx");
  EXPECT_THAT(lines[1], HasSubstr("resourceVersion=15&"));
  EXPECT_THAT(lines[2], HasSubstr("resourceVersion=16&"));
}

TEST_F(RestClusterTest, AWatchExpiresAtOnceOrLater) {
  serve({says(410, status_body(410, "Gone", "too old"))});
  EXPECT_EQ(cluster_->watch({kPod, "ns", {}}, "1", soon()).error().code(), Code::kConflict);
  served_ = 0;
  serve({streams(event("ADDED", "a", "11") + R"({"type":"ERROR","object":)" +
                 status_body(410, "Expired", "too old") + "}\n")});
  const auto watch = cluster_->watch({kPod, "ns", {}}, "1", soon());
  ASSERT_TRUE(watch);
  EXPECT_EQ(next(**watch), "added a 11");
  EXPECT_EQ(next(**watch), "conflict");
  EXPECT_EQ(next(**watch), "conflict");
}

TEST_F(RestClusterTest, AWatchThatIsSilentTooLongIsOpenedAgain) {
  config_.watch_idle = Millis(300);
  serve({streams(event("BOOKMARK", "", "11")), streams(event("ADDED", "a", "12"))});
  const auto watch = cluster_->watch({kPod, "ns", {}}, "10", soon());
  ASSERT_TRUE(watch);
  EXPECT_EQ(next(**watch), "added a 12");
  EXPECT_THAT(api_->lines()[1], HasSubstr("resourceVersion=11&"));
}

TEST_F(RestClusterTest, AWatchGivesUpWhenTheServerStaysAway) {
  config_.resume_for = Millis(1);
  serve({streams("garbage\n"), says(500, "")});
  const auto watch = cluster_->watch({kPod, "ns", {}}, "10", soon());
  ASSERT_TRUE(watch);
  EXPECT_EQ(next(**watch), "unavailable");
}

TEST_F(RestClusterTest, AWatchGivesUpOnAnEventThatItNeverGetsPast) {
  for (const std::string& text :
       {std::string("garbage\n"),
        R"({"type":"ERROR","object":)" + status_body(500, "InternalError", "etcd") + "}\n"}) {
    serve({streams(text)});
    const auto watch = cluster_->watch({kPod, "ns", {}}, "10", soon());
    ASSERT_TRUE(watch);
    EXPECT_EQ(next(**watch), "unavailable") << text;
    EXPECT_EQ(api_->lines().size(), 3U);
  }
}

TEST_F(RestClusterTest, AWatchWaitsUntilItsDeadlineAndIsClosedFromAnotherThread) {
  serve({streams("\n")});
  const auto watch = cluster_->watch({kPod, "ns", {}}, "10", soon());
  ASSERT_TRUE(watch);
  const auto nothing = (*watch)->next(Deadline::in(clock_, Millis(20)));
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(nothing->has_value());
  std::thread closer([&] { (*watch)->close(); });
  EXPECT_EQ(next(**watch), "cancelled");
  closer.join();
  EXPECT_EQ(next(**watch), "cancelled");
}

}  // namespace
}  // namespace baton::kube
