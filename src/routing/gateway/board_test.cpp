#include "routing/gateway/board.hpp"

#include <gtest/gtest.h>

namespace baton::gateway {
namespace {

class BoardTest : public ::testing::Test {
 protected:
  CardKeeper open(std::string id) { return {board_.open(id, clock_.wall(), clock_.now()), clock_}; }
  // The newest card of that id, as the page gets it.
  text::json::Value shown(std::string_view id) const {
    const auto all = board_.to_json(clock_.now());
    for (const auto& card : *all.if_array()) {
      if (card.string_at({"id"}) == id) return card;
    }
    return {};
  }
  std::string stage(std::string_view id) const {
    const auto card = shown(id);
    return card.is_null() ? "gone" : std::string(card.string_at({"stage"}));
  }

  ManualClock clock_;
  Board board_;
};

TEST_F(BoardTest, ACardMovesWithItsRequestAndKeepsWhatTheAnswerTold) {
  auto keeper = open("r");
  EXPECT_EQ(stage("r"), "picking");
  pick::Route route;
  route.decode.name = "d0";
  route.prefill.emplace().name = "p0";
  keeper->picked(route);
  EXPECT_EQ(stage("r"), "prefill");

  clock_.advance(std::chrono::milliseconds(7));
  keeper->answered({200,
                    {{"x-baton-prefill", "p0 1.2.3.4:8000"},
                     {"x-baton-prompt-tokens", "30"},
                     {"x-baton-remote-tokens", "29"},
                     {"x-baton-computed-tokens", "1"},
                     {"x-baton-kv-bytes", "512"},
                     {"server-timing", "prefill;dur=3"},
                     {"server-timing", "transfer;dur=1"}}},
                   clock_.now());
  EXPECT_EQ(stage("r"), "answering");
  clock_.advance(std::chrono::milliseconds(3));
  keeper.finish(200);

  const auto json = shown("r");
  EXPECT_EQ(board_.find(*json.find("serial")->if_uint())->id, "r");
  EXPECT_EQ(board_.find(77), nullptr);
  EXPECT_EQ(json.string_at({"stage"}), "done");
  EXPECT_EQ(json.find("remoteTokens")->if_uint(), 29u);
  EXPECT_EQ(json.string_at({"timing"}), "prefill;dur=3, transfer;dur=1");
  EXPECT_EQ(json.find("firstByteMs")->if_double(), 7.0);
  EXPECT_EQ(json.find("totalMs")->if_double(), 10.0);
}

TEST_F(BoardTest, ARequestThatIsNotFinishedWasLeftAndOneWithAnErrorFailed) {
  {
    const auto keeper = open("left");
  }
  auto failed = open("failed");
  failed.finish(503);
  EXPECT_EQ(stage("left"), "left");
  EXPECT_EQ(stage("failed"), "failed");
}

TEST_F(BoardTest, KeepsTheLastAndThoseOnTheirWay) {
  auto live = open("live");
  for (std::size_t i = 0; i < 3 * Board::kMost; ++i) open("r" + std::to_string(i)).finish(200);
  EXPECT_EQ(stage("live"), "picking");
  EXPECT_EQ(stage("r0"), "gone");
  EXPECT_EQ(stage("r299"), "done");
  EXPECT_EQ(board_.to_json(clock_.now()).if_array()->size(), Board::kMost);
  EXPECT_EQ(board_.to_json(clock_.now()).if_array()->front().string_at({"id"}), "r299");
}

TEST_F(BoardTest, ACardShowsWhatEnginesSayUntilItsAnswerBegins) {
  auto keeper = open("r");
  EXPECT_TRUE(board_.with_engines().empty());
  pick::Route route;
  route.decode.name = "d0";
  route.decode.host = "10.0.0.1";
  route.decode.port = 8000;
  route.prefill.emplace().name = "p0";
  keeper->picked(route);
  ASSERT_EQ(board_.with_engines().size(), 1U);
  Card& card = *board_.with_engines().front();
  EXPECT_EQ(card.decode_at, (http::Endpoint{"10.0.0.1", 8000}));
  card.told = {{"p0", {"r", openai::Phase::kPrefill, 2048, 512, 0}},
               {"d0", {"r", openai::Phase::kTransfer, 2048, 500, 0}}};

  const auto before = shown("r");
  keeper->answered({200, {}}, clock_.now());

  const auto& engines = *before.find("engines")->if_array();
  ASSERT_EQ(engines.size(), 2U);
  EXPECT_EQ(engines[0].string_at({"pod"}), "p0");
  EXPECT_EQ(engines[0].string_at({"phase"}), "prefill");
  EXPECT_EQ(engines[1].string_at({"phase"}), "transfer");
  EXPECT_EQ(engines[1].find("readyTokens")->if_uint(), 500U);
  EXPECT_EQ(engines[1].find("promptTokens")->if_uint(), 2048U);
  EXPECT_TRUE(shown("r").find("engines")->if_array()->empty());
  EXPECT_TRUE(board_.with_engines().empty());
}

TEST_F(BoardTest, CutsWhatAClientNamed) {
  open(std::string(5000, 'x')).finish(200);
  EXPECT_EQ(stage(std::string(128, 'x')), "done");
}

TEST_F(BoardTest, HoldsNoMoreThanItsBoundWhenNobodyEnds) {
  std::vector<CardKeeper> live;
  for (std::size_t i = 0; i < Board::kMost + 5; ++i) live.push_back(open(std::to_string(i)));
  EXPECT_EQ(board_.to_json(clock_.now()).if_array()->size(), Board::kMost);
  EXPECT_EQ(stage("0"), "gone");
  live.front().finish(200);  // its card outlives the board's place
}

TEST_F(BoardTest, WhatOthersNamedIsAlwaysJsonThatAnybodyReads) {
  const std::string cut_within_a_character = std::string(127, 'x') + "\xc3\xa9";
  auto keeper = open(cut_within_a_character);
  keeper->answered({200, {{"server-timing", "a\xff"}, {"x-baton-prefill", "none; \xc3"}}},
                   clock_.now());
  keeper->model = openai::legible("mod\xc3\xa8le");

  const auto page = text::json::parse(text::json::dump(board_.to_json(clock_.now())));
  ASSERT_TRUE(page) << page.error().message();
  const auto& card = page->if_array()->front();
  EXPECT_EQ(card.string_at({"id"}), std::string(127, 'x') + "?");
  EXPECT_EQ(card.string_at({"timing"}), "a?");
  EXPECT_EQ(card.string_at({"model"}), "mod??le");
}

}  // namespace
}  // namespace baton::gateway
