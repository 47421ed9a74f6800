// Scheduling without a picker, as a decision and on sockets.

#include "routing/sidecar/self_schedule.hpp"

#include <fmt/format.h>

#include <fstream>

#include "base/core/log.hpp"
#include "routing/sidecar/testing/sidecar_fixture.hpp"

namespace baton::sidecar {
namespace {

using ::testing::HasSubstr;

schedule::Endpoint pod(std::string_view name, const http::Endpoint& at, std::string_view role) {
  return {.ns = "ns",
          .name = std::string(name),
          .host = at.host,
          .port = at.port,
          .labels = {{std::string(schedule::kRoleLabel), std::string(role)}}};
}
std::string prompt(char filler, std::size_t bytes = 4000) {
  return R"({"model":"m","prompt":")" + std::string(bytes, filler) + R"("})";
}

TEST(SelfSchedule, PrefillsWhatIsNewToItsOwnEngine) {
  const http::Endpoint own{"10.0.0.1", 8000};
  const http::Endpoint other{"10.0.0.7", 8000};
  auto pool = std::make_shared<PoolEndpoints>();
  SelfSchedule schedule(own, pool, "");
  SeededRandom random(1);
  auto choose = [&](std::string body) {
    return schedule.choose(body, openai::Api::kCompletion, Mono(), random);
  };
  ASSERT_FALSE(schedule.broken());
  EXPECT_FALSE(choose(prompt('a')));  // nothing is known of the pool

  pool->publish({pod("d", own, "decode"), pod("e", {"10.0.0.2", 8000}, "decode")});
  ASSERT_TRUE(choose(prompt('a')));
  EXPECT_FALSE(choose(prompt('a'))->prefiller);  // nobody prefills

  pool->publish({pod("d", own, "decode"), pod("p", other, "prefill")});
  auto first = choose(prompt('a'));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->prefiller, other);
  schedule.learn(*first, true);
  EXPECT_FALSE(choose(prompt('a'))->prefiller);  // the engine holds it
  EXPECT_EQ(choose(prompt('b'))->prefiller, other);
  EXPECT_FALSE(choose(prompt('c', 60))->prefiller);  // shorter than the threshold
  EXPECT_FALSE(choose("no JSON"));

  pool->publish({pod("d", own, "decode")});  // the prefill pod has left
  EXPECT_FALSE(choose(prompt('d'))->prefiller);
}

TEST(SelfSchedule, PromptsOfDifferentSaltsShareNothing) {
  const http::Endpoint own{"10.0.0.1", 8000};
  auto pool = std::make_shared<PoolEndpoints>();
  pool->publish({pod("d", own, "decode"), pod("p", {"10.0.0.7", 8000}, "prefill")});
  SelfSchedule schedule(own, pool, "");
  SeededRandom random(1);
  const auto is_new = [&](std::string_view salt) {
    std::string body = prompt('a');
    body.insert(1, fmt::format(R"("cache_salt":"{}",)", salt));
    const auto choice = schedule.choose(body, openai::Api::kCompletion, Mono(), random);
    if (choice) schedule.learn(*choice, true);
    return choice && choice->prefiller;
  };

  for (const std::string_view salt : {"one", "two"}) EXPECT_TRUE(is_new(salt)) << salt;
  for (const std::string_view salt : {"one", "two"}) EXPECT_FALSE(is_new(salt)) << salt;
}

TEST(SelfSchedule, DecidesAsThePlannersPicker) {
  std::ifstream file(std::string(BATON_SOURCE_DIR) + "/src/control/plan/picker/seed-pd.yaml");
  EXPECT_EQ(own_picker(), std::string(std::istreambuf_iterator<char>(file), {}));
}

TEST(SelfSchedule, TakesAPickersConfiguration) {
  auto pool = std::make_shared<PoolEndpoints>();
  EXPECT_TRUE(SelfSchedule({"10.0.0.1", 1}, pool, "nonsense: true").broken());
}

TEST(SelfSchedule, SaysOnceASecondThatNothingCouldBeScheduled) {
  const http::Endpoint own{"10.0.0.1", 8000};
  auto pool = std::make_shared<PoolEndpoints>();
  pool->publish({pod("d", own, "decode")});
  SelfSchedule schedule(own, pool, "nonsense: true");
  SeededRandom random(1);
  std::string body = prompt('a');
  std::vector<std::string> lines;
  log::redirect([&](std::string_view line) {
    if (line.contains("nothing could be scheduled")) lines.emplace_back(line);
  });
  const Mono start{};

  for (const Mono now : {start, start, start + Millis(900), start + std::chrono::seconds(1)}) {
    EXPECT_FALSE(schedule.choose(body, openai::Api::kCompletion, now, random));
  }
  log::redirect(nullptr);

  ASSERT_EQ(lines.size(), 2U);
  EXPECT_THAT(lines[1], ::testing::ContainsRegex("untold\"?[:=] ?2"));
}

TEST(CheckPicker, NamesWhatIsWrongAndWhere) {
  EXPECT_TRUE(check_picker(std::string(own_picker()), "own"));
  const Status wrong = check_picker("nonsense: true", "--self-schedule-config=/p.yaml");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message(), HasSubstr("--self-schedule-config=/p.yaml: "));
  EXPECT_FALSE(check_picker("", "empty"));
}

using SidecarSchedules = SidecarTest;

TEST_F(SidecarSchedules, ANewConversationIsPrefilledWithoutAPicker) {
  auto pool = std::make_shared<PoolEndpoints>();
  prefill_.script(prefilled());
  decode_.script(decoded());
  Config config;
  config.self_schedule = SelfScheduling{pool, ""};
  config.pod_ip = "10.0.0.1";
  start(config);
  http::RequestHead plain{"POST", "/v1/completions", {}};

  EXPECT_EQ(get(plain, prompt('a')).status, 200);
  EXPECT_EQ(prefill_.calls(), 0U);
  pool->publish(
      {pod("d", {"10.0.0.1", at_.port}, "decode"), pod("p", prefill_.endpoint(), "prefill")});
  Got first = get(plain, prompt('a'));
  EXPECT_EQ(header(first, "x-baton-prefill"), http::to_string(prefill_.endpoint()));
  Got again = get(plain, prompt('a'));
  EXPECT_THAT(header(again, "x-baton-prefill"), HasSubstr("none; reason=below-threshold"));
  EXPECT_EQ(prefill_.calls(), 1U);

  // The next turn of a conversation: what the engine has said is no news to it.
  const std::string said(400, 'y');
  const std::string one = R"({"role":"user","content":")" + std::string(400, 'x') + R"("})";
  const std::string two = R"({"role":"assistant","content":")" + said + R"("})";
  const auto turns = [](const std::string& messages) {
    return R"({"model":"m","messages":[)" + messages + "]}";
  };
  for (const bool streams : {false, true}) {
    SCOPED_TRACE(streams);
    const std::string first_of_all =
        R"({"role":"system","content":")" + std::string(200, streams ? 's' : 'w') + R"("},)";
    Answer says{.body = R"({"choices":[{"index":0,"message":)" + two + "}]}"};
    if (streams) {
      says.headers = {{"Content-Type", "text/event-stream"}};
      says.body = R"(data: {"choices":[{"index":0,"delta":{"content":")" + said +
                  "\"}}]}\n\ndata: [DONE]\n\n";
    }
    decode_.replace({says});
    http::RequestHead chat{"POST", "/v1/chat/completions", {}};
    Got opening = get(chat, turns(first_of_all + one));
    EXPECT_EQ(header(opening, "x-baton-prefill"), http::to_string(prefill_.endpoint()));
    Got next =
        get(chat, turns(first_of_all + one + "," + two + R"(,{"role":"user","content":"on"})"));
    EXPECT_THAT(header(next, "x-baton-prefill"), HasSubstr("none; reason=below-threshold"));
  }
  decode_.replace({decoded()});

  // However the path is spelt.
  const http::RequestHead escaped{"POST", "/v1/complet%69ons", {}};
  EXPECT_EQ(header(get(escaped, prompt('e')), "x-baton-prefill"),
            http::to_string(prefill_.endpoint()));

  // Who is not the picker does not route.
  http::RequestHead named = plain;
  named.headers.add("x-prefiller-host-port", http::to_string(other_.endpoint()));
  EXPECT_EQ(get(named, prompt('a')).status, 200);
  EXPECT_EQ(other_.calls(), 0U);
  EXPECT_THAT(metrics(), HasSubstr(R"(baton_sidecar_refusals_total{reason="header"} 1)"));
}

}  // namespace
}  // namespace baton::sidecar
