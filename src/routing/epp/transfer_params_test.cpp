// kv_transfer_params of a client never reach an engine, however they are hidden.

#include <tuple>

#include "net/grpc/inbox.hpp"
#include "routing/epp/testing/ext_proc_fixture.hpp"

namespace baton::epp {
namespace {

using testing::ExtProcTest;
using testing::Extra;
using ::testing::HasSubstr;
using testing::Kind;
using testing::kThree;

const Extra kBuffered{
    .metadata = {}, .request = BodyMode::kBuffered, .response = BodyMode::kBuffered};
const Extra kStreamed{
    .metadata = {}, .request = BodyMode::kStreamed, .response = BodyMode::kStreamed};

TEST_F(ExtProcTest, AnEscapedPathHidesNoTransferParameters) {
  serve(kThree);
  const auto answers =
      ask(R"({"model":"m","prompt":"x","kv_transfer_params":{}})", head("/v1/completion%73"));
  EXPECT_EQ(text_of(answers, Kind::kRequestBody), R"({"model":"m","prompt":"x"})");
}

TEST_F(ExtProcTest, EqualMembersHideNoTransferParameters) {
  serve(kThree);
  const auto answers = ask(R"({"model":"m","prompt":"x","vllm_xargs":{"extra_args":{},)"
                           R"("extra_args":{"kv_transfer_params":{}}}})");
  EXPECT_EQ(text_of(answers, Kind::kRequestBody),
            R"({"model":"m","prompt":"x","vllm_xargs":{"extra_args":{}}})");
}

// A prompt, and more members than are edited.
std::string with_many_members(std::string_view more) {
  std::string out = R"({"model":"m","prompt":"x",)";
  for (int i = 0; i < 1100; ++i) out += "\"m" + std::to_string(i) + "\":1,";
  return out + std::string(more) + "}";
}

TEST_F(ExtProcTest, ABodyOutOfWhichTransferParametersCannotBeTakenIsRefused) {
  serve(kThree);
  EXPECT_EQ(ask(with_many_members(R"("n":1)")).size(), 2) << "it is no fault by itself";
  const auto bad = with_many_members(R"("kv_transfer_params":{})");
  for (const auto& mode : {Extra(), kBuffered, kStreamed}) {
    begin();
    send(testing::headers(Side::kRequest, head(), false, mode));
    const auto answers = send(testing::body(Side::kRequest, bad, true));
    ASSERT_EQ(answers.size(), 1);
    EXPECT_EQ(answers[0].status, 400);
    EXPECT_THAT(answers[0].text, HasSubstr("kv_transfer_params cannot be taken out of the body"));
  }
  EXPECT_EQ(metric("baton_epp_removed_transfer_params_total"), 0);
}

TEST_F(ExtProcTest, InStreamedModeABodyThatCannotBeReadIsRefused) {
  serve(kThree);
  std::string utf16;  // JSON to an engine
  for (const char c : std::string_view(R"({"prompt":"x","kv_transfer_params":{}})")) {
    utf16 += {c, '\0'};
  }
  for (const auto& [path, bytes, status] : {
           std::tuple("/v1/completions", utf16, 400),
           std::tuple("/v1/completions", std::string(), 0),
           std::tuple("/v1/rerank", utf16, 0),
       }) {
    begin();
    send(testing::headers(Side::kRequest, head(path), false, kStreamed));
    const auto answers = send(testing::body(Side::kRequest, bytes, true));
    ASSERT_EQ(answers.size(), 1);
    EXPECT_EQ(answers[0].status, status) << path;
  }
}

TEST_F(ExtProcTest, InStreamedModeAVertexRequestIsReadInsideToo) {
  serve(kThree,
        "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: "
        "queue-scorer}, {type: vertexai-parser}]\nrequestHandler: {parsers: [{pluginRef: "
        "vertexai-parser}]}\n");
  const auto status = [&](std::string_view json) {
    std::string message, framed;
    proto::Writer(message).message(2, [&](proto::Writer& body) { body.bytes(2, json); });
    grpc::append_prefix(framed, message.size());
    begin();
    send(testing::headers(Side::kRequest,
                          head("/google.cloud.aiplatform.v1.PredictionService/RawPredict"), false,
                          kStreamed));
    return send(testing::body(Side::kRequest, framed + message, true)).at(0).status;
  };
  EXPECT_EQ(status(R"({"messages":[]})"), 0);
  EXPECT_EQ(status(R"({"messages":[],"kv_transfer_params":{}})"), 400);
}

}  // namespace
}  // namespace baton::epp
