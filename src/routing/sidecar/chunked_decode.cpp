#include "routing/sidecar/chunked_decode.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace baton::sidecar {

namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

std::optional<std::int64_t> positive(const openai::BodyIndex& body, std::string_view key) {
  auto raw = body.find(key);
  auto value = raw ? text::json::parse(*raw) : Result<Value>(Value());
  auto number = value ? value->if_int() : std::nullopt;
  return number && *number > 0 ? number : std::nullopt;
}

// A member that is there and asks for something.
bool wanted(const openai::BodyIndex& body, std::string_view key) {
  auto raw = body.find(key);
  return raw && *raw != "null" && *raw != "false" && *raw != "[]" && *raw != "0";
}

std::int64_t count(const Value& usage, std::string_view key) {
  const Value* value = usage.find(key);
  return value == nullptr ? 0 : value->if_int().value_or(0);
}

// Members of a message that hold what was thought before its content.
constexpr std::array<std::string_view, 2> kThoughts = {"reasoning_content", "reasoning"};

std::string event_of(Value body) { return fmt::format("data: {}\n\n", dump(body)); }

}  // namespace

std::optional<ChunkedDecode> ChunkedDecode::plan(const openai::BodyIndex& body, std::int64_t size) {
  for (std::string_view key :
       {"tools", "functions", "logprobs", "top_logprobs", "response_format", "guided_json",
        "structured_outputs", "continue_final_message", "prompt_logprobs", "echo"}) {
    if (wanted(body, key)) return std::nullopt;
  }
  auto messages = body.find("messages");
  auto choices = body.find("n");
  if (!messages || openai::count_elements(*messages).value_or(0) == 0) return std::nullopt;
  if (choices && *choices != "1" && *choices != "null") return std::nullopt;
  if (positive(body, "min_tokens").value_or(0) > size) return std::nullopt;
  ChunkedDecode out(body, size);
  out.left_ = positive(body, "max_completion_tokens");
  if (!out.left_) out.left_ = positive(body, "max_tokens");
  if (out.left_ && *out.left_ <= size) return std::nullopt;
  out.streamed_ = body.find("stream") == "true";
  return out;
}

std::int64_t ChunkedDecode::due() const { return std::min(size_, left_.value_or(size_)); }

std::vector<openai::Edit> ChunkedDecode::edits() const {
  const auto limit = rest_ ? std::nullopt : std::optional(std::to_string(due()));
  std::vector<openai::Edit> out = {{"max_tokens", limit},
                                   {"max_completion_tokens", limit},
                                   {"stream", "false"},
                                   {"stream_options", std::nullopt}};
  if (!begun()) return out;
  std::string messages(*body_->find("messages"));
  messages.pop_back();
  // One message for all of the text: several would be closed by the chat template.
  messages += R"(,{"role":"assistant","content":)";
  text::json::append_quoted(messages, text_);
  messages += "}]";
  out.push_back({"messages", std::move(messages)});
  out.push_back({"kv_transfer_params", std::nullopt});
  out.push_back({"min_tokens", std::nullopt});
  out.push_back({"continue_final_message", "true"});
  out.push_back({"add_generation_prompt", "false"});
  return out;
}

Result<bool> ChunkedDecode::take(std::string_view answer) {
  BATON_TRY_ASSIGN(Value body, text::json::parse(answer));
  const Value* choices = body.find("choices");
  if (choices == nullptr || !choices->is_array() || choices->if_array()->empty()) {
    return invalid("a chunk without choices");
  }
  const Value& choice = choices->if_array()->front();
  const std::string reason(choice.string_at({"finish_reason"}));
  const auto thought = [&](std::string_view key) {
    return !choice.string_at({"message", key}).empty();
  };
  if (!begun() && reason == "length" && std::ranges::any_of(kThoughts, thought)) {
    return unsupported("an answer that begins with reasoning");
  }
  content_ = choice.string_at({"message", "content"});
  const Value* usage = body.find("usage");
  const std::int64_t made = usage == nullptr ? due() : count(*usage, "completion_tokens");
  if (!begun()) {
    if (usage != nullptr) first_usage_ = *usage;
    if (const Value* id = body.find("id")) id_ = *id;
  }
  text_ += content_;
  generated_ += made;
  if (left_) *left_ -= made;
  ++chunks_;
  more_ = reason == "length" && !rest_ && !content_.empty() && (!left_ || *left_ > 0);
  last_ = std::move(body);
  return more_;
}

Value ChunkedDecode::usage() const {
  Value out = first_usage_.is_object() ? first_usage_ : Value(Object());
  out["completion_tokens"] = generated_;
  out["total_tokens"] = count(first_usage_, "prompt_tokens") + generated_;
  return out;
}

std::string ChunkedDecode::event() const {
  const Value& choice = last_.find("choices")->if_array()->front();
  const Value* reason = choice.find("finish_reason");
  Value delta = Object{{"role", "assistant"}, {"content", content_}};
  for (std::string_view key : kThoughts) {
    const std::string_view thought = choice.string_at({"message", key});
    if (!thought.empty()) delta[key] = std::string(thought);
  }
  Value told = more_ || reason == nullptr ? Value() : *reason;
  Value one = Object{{"index", 0}, {"delta", std::move(delta)}, {"finish_reason", std::move(told)}};
  Value body = Object{{"id", id_}, {"object", "chat.completion.chunk"}};
  for (std::string_view key : {"created", "model"}) {
    if (const Value* value = last_.find(key)) body[key] = *value;
  }
  body["choices"] = Array{std::move(one)};
  return event_of(std::move(body));
}

std::string ChunkedDecode::closing() const {
  Value body = Object{{"id", id_}, {"object", "chat.completion.chunk"}};
  for (std::string_view key : {"created", "model"}) {
    if (const Value* value = last_.find(key)) body[key] = *value;
  }
  body["choices"] = Value(Array());
  body["usage"] = usage();
  return event_of(std::move(body)) + "data: [DONE]\n\n";
}

std::string ChunkedDecode::whole() const {
  Value body = last_;
  if (!id_.is_null()) body["id"] = id_;
  Value choice = last_.find("choices")->if_array()->front();
  choice["message"]["content"] = text_;
  body["choices"] = Array{std::move(choice)};
  body["usage"] = usage();
  return dump(body);
}

}  // namespace baton::sidecar
