#include "formats/openai/answer_text.hpp"

#include <simdjson.h>

#include <string>

namespace baton::openai {
namespace {
namespace dom = simdjson::dom;
}

struct AnswerText::Impl {
  Impl(Api a, AnswerForm f) : api(a), form(f) {}

  Api api;
  AnswerForm form;
  dom::parser parser;
  std::string pending;  // the unfinished line, or the JSON body so far
  std::string text;     // what the current call adds
  std::uint64_t events = 0;
  std::uint64_t usage = 0;
  bool overlong = false;

  std::string_view container() const { return form == AnswerForm::kEvents ? "delta" : "message"; }

  void take_choice(dom::element choice) {
    std::int64_t index = 0;
    std::string_view content;
    if (choice["index"].get(index) == simdjson::SUCCESS && index != 0) return;
    const auto found = api == Api::kCompletion ? choice["text"] : choice[container()]["content"];
    if (found.get(content) == simdjson::SUCCESS) text += content;
  }

  void parse(std::string& json) {
    if (json.capacity() - json.size() < simdjson::SIMDJSON_PADDING) {
      json.reserve(json.size() + simdjson::SIMDJSON_PADDING);
    }
    dom::element root;
    dom::array choices;
    std::uint64_t completion = 0;
    if (parser.parse(json.data(), json.size(), false).get(root)) return;
    if (root["choices"].get(choices) == simdjson::SUCCESS) {
      if (choices.begin() != choices.end()) ++events;
      for (const auto choice : choices) take_choice(choice);
    }
    if (root["usage"]["completion_tokens"].get(completion) == simdjson::SUCCESS) usage = completion;
  }

  void take_line() {
    constexpr std::string_view kData = "data:";
    if (!overlong && pending.starts_with(kData)) {
      pending.erase(0, kData.size());
      if (pending.find('{') != std::string::npos) parse(pending);
    }
    pending.clear();
    overlong = false;
  }

  void collect(std::string_view piece, std::size_t limit) {
    if (overlong || pending.size() + piece.size() > limit) {
      overlong = true;
      pending.clear();
    } else {
      pending += piece;
    }
  }
};

AnswerText::AnswerText(Api api, AnswerForm form) : impl_(std::make_unique<Impl>(api, form)) {}
AnswerText::~AnswerText() = default;

std::string_view AnswerText::feed(std::string_view piece) {
  auto& self = *impl_;
  self.text.clear();
  if (self.form == AnswerForm::kJson) {
    self.collect(piece, kMaxAnswerBody);
    return {};
  }
  for (auto end = piece.find('\n'); end != piece.npos; end = piece.find('\n')) {
    self.collect(piece.substr(0, end), kMaxEventLine);
    self.take_line();
    piece.remove_prefix(end + 1);
  }
  self.collect(piece, kMaxEventLine);
  return self.text;
}

std::string_view AnswerText::finish() {
  auto& self = *impl_;
  self.text.clear();
  if (self.form == AnswerForm::kJson && !self.overlong) self.parse(self.pending);
  return self.text;
}

std::uint64_t AnswerText::tokens() const {
  if (impl_->usage != 0) return impl_->usage;
  return impl_->form == AnswerForm::kEvents ? impl_->events : 0;
}

}  // namespace baton::openai
