// What the headers of a probe's answer prove.

#include "control/reconcile/transfer_proof.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::reconcile {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kWhere = "gateway http://g/ns/s";

kube::Condition told(int status, http::Headers headers) {
  return judge(http::ResponseHead{status, std::move(headers)}, kWhere);
}

struct Case {
  const char* what;
  int status;
  http::Headers headers;
  const char* verdict;
  const char* reason;
  const char* message;  // a part of it
};

TEST(TransferProof, NamesTheHopThatFailed) {
  const std::string pod = "p-1 10.0.0.7:8000";
  const std::vector<Case> cases = {
      {"KV came",
       200,
       {{"x-baton-prefill", pod}, {"x-baton-remote-tokens", "210"}},
       "True",
       "KVTransferred",
       "pulled a prompt's KV"},
      {"the picker chose none",
       200,
       {{"x-baton-prefill", "none; reason=below-threshold"}, {"x-baton-remote-tokens", "0"}},
       "False",
       "NoPrefillPicked",
       "picker: chose no prefill pod (below-threshold)"},
      {"there is no picker",
       200,
       {{"x-baton-remote-tokens", "0"}},
       "False",
       "NoPrefillPicked",
       "picker: "},
      {"the sidecar fell back",
       200,
       {{"x-baton-prefill", "none; reason=fallback"}, {"x-baton-remote-tokens", "0"}},
       "False",
       "PrefillFailed",
       "sidecar: "},
      {"the pull failed",
       200,
       {{"x-baton-prefill", pod},
        {"x-baton-remote-tokens", "0"},
        {"x-baton-transfer-error", "10.0.0.7:5600: connection refused"}},
       "False",
       "TransferFailed",
       "decode: got no KV from prefill pod p-1 10.0.0.7:8000: 10.0.0.7:5600: connection refused"},
      {"nothing was pulled",
       200,
       {{"x-baton-prefill", pod}, {"x-baton-remote-tokens", "0"}},
       "False",
       "TransferFailed",
       "decode: pulled nothing from prefill pod p-1"},
      {"the engine does not tell",
       200,
       {{"x-baton-prefill", pod}},
       "Unknown",
       "NoProof",
       "the engines do not tell"},
      {"nobody tells",
       200,
       {},
       "Unknown",
       "NoProof",
       "gateway http://g/ns/s answers without proof"},
      {"a number that is none", 200, {{"x-baton-remote-tokens", "7x"}}, "Unknown", "NoProof", ""},
      {"prefill refused",
       500,
       {{"x-baton-error-hop", "prefill"}, {"x-baton-prefill", pod}},
       "False",
       "PrefillFailed",
       "prefill: pod p-1 10.0.0.7:8000 answered 500"},
      {"decode refused",
       502,
       {{"x-baton-error-hop", "decode"}},
       "False",
       "DecodeFailed",
       "decode: the pod answered 502"},
      {"the sidecar refused",
       403,
       {{"x-baton-error-hop", "sidecar"}},
       "False",
       "SidecarFailed",
       "sidecar: it answered 403"},
      {"no pod",
       503,
       {{"x-baton-error-hop", "gateway"}},
       "False",
       "GatewayFailed",
       "gateway http://g/ns/s answered 503"},
      {"a gateway of others", 404, {}, "False", "GatewayFailed", "answered 404"},
      {"keys", 401, {}, "Unknown", "Refused", "wants a key"},
  };
  for (const auto& one : cases) {
    SCOPED_TRACE(one.what);
    const auto condition = told(one.status, one.headers);
    EXPECT_EQ(condition.type, "KVTransferVerified");
    EXPECT_EQ(condition.status, one.verdict);
    EXPECT_EQ(condition.reason, one.reason);
    EXPECT_EQ(condition.severity, "Info");
    EXPECT_THAT(condition.message, HasSubstr(one.message));
  }
  const auto lost = judge(unavailable("10.0.0.1:80: connection refused"), kWhere);
  EXPECT_EQ(lost.status, "False");
  EXPECT_EQ(lost.reason, "Unreachable");
  EXPECT_EQ(lost.message, "gateway http://g/ns/s: 10.0.0.1:80: connection refused");
}

// A verdict that stays the same must read the same, or each would be a write.
TEST(TransferProof, SaysNothingThatChangesFromOneGoodAnswerToTheNext) {
  EXPECT_EQ(
      told(200, {{"x-baton-prefill", "p-1 10.0.0.7:8000"}, {"x-baton-remote-tokens", "9"}}).message,
      told(200, {{"x-baton-prefill", "p-2 10.0.0.8:8000"}, {"x-baton-remote-tokens", "210"}})
          .message);
}

TEST(TransferProof, ShortensAndCleansWhatOthersSay) {
  const auto condition =
      told(200, {{"x-baton-prefill", "p"},
                 {"x-baton-remote-tokens", "0"},
                 {"x-baton-transfer-error", "a\nb\x1b" + std::string(9000, 'x')}});
  EXPECT_LT(condition.message.size(), 400U);
  EXPECT_THAT(condition.message, HasSubstr("a?b?xxx"));
  EXPECT_THAT(condition.message, Not(HasSubstr("\n")));
}

}  // namespace
}  // namespace baton::reconcile
