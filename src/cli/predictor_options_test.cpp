#include "cli/predictor_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace baton::cli {
namespace {

using ::testing::HasSubstr;
using Set = std::map<std::string, std::string>;

std::vector<std::string> warnings;
Result<epp::PredictorConfig> read(const Set& set) {
  warnings.clear();
  const EppEnvironment environment = [&](const char* name) -> std::optional<std::string> {
    const auto it = set.find(name);
    return it == set.end() ? std::nullopt : std::optional(it->second);
  };
  return read_predictor(environment, warnings);
}

TEST(PredictorOptions, TakeTheVariablesOfThePlannersContainers) {
  const auto made = read({{"PREDICTION_SERVER_URL", "http://localhost:8001, http://10.0.0.2:81/p/"},
                          {"TRAINING_SERVER_URL", "http://trainer"},
                          {"LATENCY_MAX_SAMPLE_SIZE", "10000"},
                          {"LATENCY_MAX_CONCURRENT_DISPATCHES", "36"},
                          {"LATENCY_COALESCE_WINDOW_MS", "0"},
                          {"LATENCY_FLUSH_INTERVAL_SEC", "2"},
                          {"LATENCY_USE_NATIVE_XGBOOST", "true"}});
  ASSERT_TRUE(made) << made.error().message();
  ASSERT_EQ(made->prediction.size(), 2);
  EXPECT_EQ(made->prediction[0].at, (http::Endpoint{"localhost", 8001}));
  EXPECT_EQ(made->prediction[1].at, (http::Endpoint{"10.0.0.2", 81}));
  EXPECT_EQ(made->prediction[1].path, "/p");
  EXPECT_EQ(made->training.at, (http::Endpoint{"trainer", 80}));
  EXPECT_EQ(made->samples, 10000);
  EXPECT_EQ(made->window, Nanos(0));
  EXPECT_EQ(made->flush, std::chrono::seconds(2));
  EXPECT_EQ(made->rows, 100);
  ASSERT_EQ(warnings.size(), 1);
  EXPECT_THAT(warnings[0], HasSubstr("LATENCY_USE_NATIVE_XGBOOST has no effect"));
}

TEST(PredictorOptions, AreThoseOfLlmdWhenNothingIsSet) {
  const auto made = read({});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->prediction[0].at, (http::Endpoint{"localhost", 8001}));
  EXPECT_EQ(made->training.at, (http::Endpoint{"localhost", 8000}));
  EXPECT_EQ(made->calls, 36);
  EXPECT_EQ(made->window, Millis(1));
}

TEST(PredictorOptions, NameTheVariableThatIsWrong) {
  EXPECT_THAT(read({{"TRAINING_SERVER_URL", "trainer:8000"}}).error().message(),
              HasSubstr("TRAINING_SERVER_URL"));
  EXPECT_THAT(read({{"PREDICTION_SERVER_URL", "https://x"}}).error().message(),
              HasSubstr("over http:// only"));
  EXPECT_THAT(read({{"LATENCY_MAX_BULK_SIZE", "101"}}).error().message(),
              HasSubstr("LATENCY_MAX_BULK_SIZE: '101' is no number from 1 to 100"));
}

}  // namespace
}  // namespace baton::cli
