#include "formats/openai/answer_text.hpp"

#include <simdjson.h>

namespace baton::openai {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t kKeptScratch = 64 << 10;  // more is freed after use

// Of a thread, used by all its answers: each is parsed at once or not at all.
struct Scratch {
  dom::parser parser;
  std::string padded;

  // The document is valid until the next call.
  simdjson::simdjson_result<dom::element> parse(std::string_view json) {
    padded.reserve(json.size() + simdjson::SIMDJSON_PADDING);
    padded = json;
    return parser.parse(padded.data(), padded.size(), false);
  }
};

// "" of any choice but the first.
std::string_view content_of(dom::element choice, Api api, std::string_view container) {
  std::int64_t index = 0;
  std::string_view content;
  if (choice["index"].get(index) == simdjson::SUCCESS && index != 0) return {};
  const auto found = api == Api::kCompletion ? choice["text"] : choice[container]["content"];
  return found.get(content) == simdjson::SUCCESS ? content : std::string_view();
}

}  // namespace

void AnswerText::parse(std::string_view json) {
  thread_local Scratch scratch;
  dom::element root;
  dom::array choices;
  std::uint64_t completion = 0;
  if (scratch.parse(json).get(root) == simdjson::SUCCESS) {
    if (root["choices"].get(choices) == simdjson::SUCCESS) {
      if (choices.begin() != choices.end()) ++events_;
      for (const auto choice : choices) {
        text_ += content_of(choice, api_, form_ == AnswerForm::kEvents ? "delta" : "message");
      }
    }
    if (root["usage"]["completion_tokens"].get(completion) == simdjson::SUCCESS)
      usage_ = completion;
  }
  if (scratch.padded.capacity() > kKeptScratch) scratch = Scratch();
}

void AnswerText::take_line(std::string_view line) {
  constexpr std::string_view kData = "data:";
  if (!line.starts_with(kData)) return;
  line.remove_prefix(kData.size());
  if (line.find('{') != line.npos) parse(line);
}

void AnswerText::collect(std::string_view piece, std::size_t limit) {
  if (overlong_ || pending_.size() + piece.size() > limit) {
    overlong_ = true;
    pending_.clear();
  } else {
    pending_ += piece;
  }
}

std::string_view AnswerText::feed(std::string_view piece) {
  text_.clear();
  if (form_ == AnswerForm::kJson) {
    collect(piece, kMaxAnswerBody);
    return {};
  }
  for (auto end = piece.find('\n'); end != piece.npos; end = piece.find('\n')) {
    const auto line = piece.substr(0, end);
    if (pending_.empty() && !overlong_ && line.size() <= kMaxEventLine) {
      take_line(line);  // the usual case: no copy
    } else {
      collect(line, kMaxEventLine);
      if (!overlong_) take_line(pending_);
      pending_.clear();
      overlong_ = false;
    }
    piece.remove_prefix(end + 1);
  }
  collect(piece, kMaxEventLine);
  return text_;
}

std::string_view AnswerText::finish() {
  text_.clear();
  if (form_ == AnswerForm::kJson && !overlong_) parse(pending_);
  return text_;
}

std::uint64_t AnswerText::tokens() const {
  if (usage_ != 0) return usage_;
  return form_ == AnswerForm::kEvents ? events_ : 0;
}

}  // namespace baton::openai
