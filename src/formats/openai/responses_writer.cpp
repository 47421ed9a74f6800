#include "formats/openai/responses_writer.hpp"

#include <fmt/format.h>

#include <iterator>

namespace baton::openai {
namespace {

using text::json::Array;
using text::json::Object;
using text::json::Value;

Array logprobs_of(std::span<const TokenLikely> tokens) {
  std::string text;
  append_token_list(text, tokens);
  auto list = text::json::parse(text);
  return list ? *list->if_array() : Array{};
}

Object text_part(std::string_view text, const std::optional<std::vector<TokenLikely>>& logprobs) {
  return Object{{"type", "output_text"},
                {"text", std::string(text)},
                {"annotations", Array{}},
                {"logprobs", logprobs ? logprobs_of(*logprobs) : Array{}}};
}

Object usage_of(const Usage& usage) {
  return Object{{"input_tokens", usage.prompt},
                {"input_tokens_details", Object{{"cached_tokens", usage.cached.value_or(0)}}},
                {"output_tokens", usage.completion},
                {"output_tokens_details", Object{{"reasoning_tokens", 0}}},
                {"total_tokens", usage.prompt + usage.completion}};
}

std::string_view status_of(const Choice* choice) {
  if (choice == nullptr) return "in_progress";
  return choice->ending.finish_reason == "length" ? "incomplete" : "completed";
}

}  // namespace

Object ResponsesWriter::message(const Choice* choice) const {
  Array content;
  if (choice != nullptr) content.emplace_back(text_part(choice->text, choice->logprobs));
  return Object{{"id", "msg_" + head_.id},
                {"type", "message"},
                {"role", "assistant"},
                {"status", status_of(choice)},
                {"content", std::move(content)}};
}

Object ResponsesWriter::response(const Choice* choice, const Usage* usage) const {
  Object out{{"id", head_.id},
             {"object", "response"},
             {"created_at", head_.created},
             {"status", status_of(choice)},
             {"model", head_.model},
             {"error", nullptr},
             {"incomplete_details", nullptr},
             {"output", choice == nullptr ? Array{} : Array{message(choice)}},
             {"usage", usage == nullptr ? Value() : Value(usage_of(*usage))},
             {"parallel_tool_calls", false},
             {"previous_response_id", nullptr},
             {"store", false},
             {"text", Object{{"format", Object{{"type", "text"}}}}},
             {"tool_choice", "none"},
             {"tools", Array{}},
             {"truncation", "disabled"}};
  for (const auto& [name, value] : head_.repeated) out.set(name, value);
  if (status_of(choice) == "incomplete")
    out.set("incomplete_details", Object{{"reason", "max_output_tokens"}});
  return out;
}

std::string ResponsesWriter::whole(const Answer& answer) const {
  Object out = response(&answer.choices.front(), &answer.usage);
  if (!answer.kv_transfer_params.is_null())
    out.set("kv_transfer_params", answer.kv_transfer_params);
  return text::json::dump(out);
}

void ResponsesWriter::event(std::string& out, std::string_view type, Object members) {
  members.set("type", type);
  members.set("sequence_number", sequence_++);
  fmt::format_to(std::back_inserter(out), "event: {}\ndata: {}\n\n", type,
                 text::json::dump(members));
}

void ResponsesWriter::begin(std::string& out, const Usage& /*usage*/) {
  event(out, "response.created", {{"response", response(nullptr, nullptr)}});
  event(out, "response.in_progress", {{"response", response(nullptr, nullptr)}});
  event(out, "response.output_item.added", {{"output_index", 0}, {"item", message(nullptr)}});
  event(out, "response.content_part.added",
        {{"item_id", "msg_" + head_.id},
         {"output_index", 0},
         {"content_index", 0},
         {"part", text_part("", {})}});
}

void ResponsesWriter::piece(std::string& out, const Piece& p) {
  choice_.text += p.text;
  if (p.ending != nullptr) choice_.ending = *p.ending;
  if (p.logprobs) {
    if (!choice_.logprobs) choice_.logprobs.emplace();
    choice_.logprobs->insert(choice_.logprobs->end(), p.logprobs->begin(), p.logprobs->end());
  }
  if (p.text.empty()) return;
  event(out, "response.output_text.delta",
        {{"item_id", "msg_" + head_.id},
         {"output_index", 0},
         {"content_index", 0},
         {"delta", p.text},
         {"logprobs", p.logprobs ? logprobs_of(*p.logprobs) : Array{}}});
}

void ResponsesWriter::end(std::string& out, const Usage& usage) {
  const Object place{{"item_id", "msg_" + head_.id}, {"output_index", 0}, {"content_index", 0}};
  Object done = place;
  done.set("text", choice_.text);
  done.set("logprobs", choice_.logprobs ? logprobs_of(*choice_.logprobs) : Array{});
  event(out, "response.output_text.done", std::move(done));
  Object part = place;
  part.set("part", text_part(choice_.text, choice_.logprobs));
  event(out, "response.content_part.done", std::move(part));
  event(out, "response.output_item.done", {{"output_index", 0}, {"item", message(&choice_)}});
  event(out, status_of(&choice_) == "incomplete" ? "response.incomplete" : "response.completed",
        {{"response", response(&choice_, &usage)}});
}

void ResponsesWriter::error(std::string& out, const ErrorBody& error) {
  event(out, "error", {{"code", error.type}, {"message", error.message}, {"param", nullptr}});
}

}  // namespace baton::openai
