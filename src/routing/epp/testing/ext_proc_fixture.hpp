#pragma once
// One picker, and one ext_proc stream to it at a time.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "routing/epp/ext_proc.hpp"
#include "routing/epp/testing/envoy.hpp"
#include "routing/epp/testing/picker.hpp"

namespace baton::epp::testing {

using Kind = Answer::Kind;

inline constexpr std::string_view kCompletion = R"({"model":"m","prompt":"once upon a time"})";
inline const std::vector<Pod> kThree = {
    {"a", "10.0.0.1", 3, 0.2F}, {"b", "10.0.0.2", 0, 0.1F}, {"c", "10.0.0.3", 10, 0.2F}};
inline const std::vector<Pod> kSplit = {{"d", "10.0.0.1", 0, 0, "decode"},
                                        {"p", "10.0.0.9", 0, 0, "prefill"}};

class ExtProcTest : public ::testing::Test {
 protected:
  void serve(const std::vector<Pod>& pods, std::string_view picker = kDefault,
             Desk::Config config = {}) {
    stream_.reset();
    picker_ = std::make_unique<Picker>(clock_, registry_, picker, config);
    ASSERT_FALSE(picker_->pool.broken()) << picker_->pool.broken()->message();
    picker_->serve(pods);
    begin();
  }
  void begin() {
    stream_.reset();
    stream_ = std::make_unique<ExtProc>(picker_->desk);
  }
  std::vector<Answer> send(const std::string& message) {
    std::vector<Reply> replies;
    const auto next = stream_->on_message(message, replies);
    EXPECT_TRUE(next) << next.error().message();
    ended_ = next && *next == ExtProc::Next::kEnd;
    waits_ = next && *next == ExtProc::Next::kWait;
    return read(replies);
  }
  static std::vector<Answer> read(const std::vector<Reply>& replies) {
    std::vector<Answer> out;
    for (const auto& reply : replies) {
      out.push_back(read_answer(reply.head + std::string(reply.body)));
    }
    return out;
  }
  static Fields head(std::string path = "/v1/completions") {
    return {{":method", "POST"}, {":path", std::move(path)}, {"x-request-id", "r1"}};
  }
  // A whole request as Envoy sends it; the answers to its last message.
  std::vector<Answer> ask(std::string_view bytes, Fields fields = head(), const Extra& extra = {}) {
    EXPECT_TRUE(send(headers(Side::kRequest, fields)).empty());
    return send(body(Side::kRequest, bytes, true, extra));
  }
  static std::string text_of(const std::vector<Answer>& answers, Kind kind) {
    std::string out;
    for (const auto& a : answers) {
      if (a.kind == kind) out += a.streamed.value_or("");
    }
    return out;
  }
  double metric(const std::string& line) const {
    const auto text = registry_.expose();
    const auto at = text.find("\n" + line + " ");
    return at == std::string::npos ? -1 : std::stod(text.substr(at + line.size() + 2));
  }
  static std::string series(std::string_view name, std::string_view model = "m",
                            std::string_view target = "m", int priority = 0) {
    return "llm_d_epp_" + std::string(name) + "{model_name=\"" + std::string(model) +
           "\",target_model_name=\"" + std::string(target) +
           "\",fairness_id=\"default-flow\",priority=\"" + std::to_string(priority) + "\"}";
  }
  static std::string destination(const std::vector<Answer>& answers) {
    return answers.empty() ? "" : answers[0].header(std::string(kDestination)).value_or("");
  }

  ManualClock clock_;
  observe::Registry registry_;
  std::unique_ptr<Picker> picker_;
  std::unique_ptr<ExtProc> stream_;
  bool ended_ = false, waits_ = false;
};

}  // namespace baton::epp::testing
