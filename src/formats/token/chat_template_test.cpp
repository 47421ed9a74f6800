#include "formats/token/chat_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace baton::token {
namespace {

using testing::HasSubstr;
using text::json::Array;
using text::json::Object;
using text::json::Value;

constexpr std::string_view kPlain =
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}";

std::string config(Value chat_template) {
  return text::json::dump(Object{{"bos_token", "<s>"},
                                 {"eos_token", Object{{"content", "</s>"}}},
                                 {"chat_template", std::move(chat_template)}});
}

Value chat() {
  return Array{Object{{"role", "user"}, {"content", "Hi"}},
               Object{{"role", "assistant"}, {"content", "Once upon "}}};
}

std::string render(const Result<ChatTemplate>& t, const ChatOptions& options) {
  if (!t) return t.error().message();
  const auto out = t->render(chat(), options, {});
  return out ? *out : "error: " + out.error().message();
}

TEST(ChatTemplate, RendersWithTokensGivenAsTextOrAsAnObject) {
  EXPECT_EQ(render(ChatTemplate::parse(config(std::string(kPlain)), ""), {}),
            "<s>[user]Hi</s>[assistant]Once upon </s>[assistant]");
}

TEST(ChatTemplate, PrefersTheSeparateFile) {
  EXPECT_EQ(render(ChatTemplate::parse(config("old"), "new {{ messages | length }}"), {}), "new 2");
}

TEST(ChatTemplate, PicksTheToolTemplateWhenToolsAreGiven) {
  const auto t = ChatTemplate::parse(
      config(Array{Object{{"name", "default"}, {"template", "plain"}},
                   Object{{"name", "tool_use"}, {"template", "{{ tools | length }} tools"}}}),
      "");
  ChatOptions options;
  EXPECT_EQ(render(t, options), "plain");
  options.tools = Array{Object{}};
  EXPECT_EQ(render(t, options), "1 tools");
}

TEST(ChatTemplate, ContinuesTheFinalMessage) {
  const auto t = ChatTemplate::parse(config(std::string(kPlain)), "");
  ChatOptions options;
  options.add_generation_prompt = false;
  options.continue_final_message = true;
  EXPECT_EQ(render(t, options), "<s>[user]Hi</s>[assistant]Once upon ");
}

TEST(ChatTemplate, GivesKwargsToTheTemplate) {
  ChatOptions options;
  options.kwargs = {{"enable_thinking", false}};
  EXPECT_EQ(render(ChatTemplate::parse(config("{{ enable_thinking }} {{ tools }}"), ""), options),
            "False None");
}

TEST(ChatTemplate, SaysWhatIsWrong) {
  EXPECT_EQ(ChatTemplate::parse("{}", "").error().code(), Code::kNotFound);
  EXPECT_THAT(ChatTemplate::parse(config("\n{% if %}"), "").error().message(),
              HasSubstr("chat template 'default': line 2"));
  EXPECT_THAT(ChatTemplate::load("/nonexistent").error().message(),
              HasSubstr("no chat template in /nonexistent"));
}

}  // namespace
}  // namespace baton::token
