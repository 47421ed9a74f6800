#include "formats/openai/answer_text.hpp"

#include <simdjson.h>

#include "formats/openai/flat_id.hpp"

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

// As prompts of token ids are flattened.
void read_ids(std::string& out, simdjson::simdjson_result<dom::element> ids) {
  dom::array list;
  if (ids.get(list) != simdjson::SUCCESS) return;
  for (const auto each : list) {
    std::uint64_t id = 0;
    if (each.get(id) == simdjson::SUCCESS) append_flat_id(out, static_cast<std::uint32_t>(id));
  }
}

// Nothing of any choice but the first.
void append_choice(std::string& out, dom::element choice, Api api, std::string_view container) {
  std::int64_t index = 0;
  std::string_view content;
  if (choice["index"].get(index) == simdjson::SUCCESS && index != 0) return;
  if (api == Api::kGenerate) return read_ids(out, choice["token_ids"]);
  const auto found = api == Api::kCompletion ? choice["text"] : choice[container]["content"];
  if (found.get(content) == simdjson::SUCCESS) out += content;
}

// Anthropic's: blocks of text, or a delta, which is an event that counts.
bool append_message(std::string& out, dom::element root) {
  std::string_view content;
  dom::array blocks;
  if (root["content"].get(blocks) == simdjson::SUCCESS) {
    for (const auto block : blocks) {
      if (block["text"].get(content) == simdjson::SUCCESS) out += content;
    }
  }
  if (root["delta"]["text"].get(content) != simdjson::SUCCESS) return false;
  out += content;
  return true;
}

bool is_response_delta(dom::element root) {
  std::string_view type;
  return root["type"].get(type) == simdjson::SUCCESS && type == "response.output_text.delta";
}

// The generated tokens, where an API tells them; 0 elsewhere.
std::uint64_t usage_of(dom::element root) {
  std::uint64_t tokens = 0;
  for (const auto& found : {root["usage"]["completion_tokens"], root["usage"]["output_tokens"],
                            root["response"]["usage"]["output_tokens"]}) {
    if (found.get(tokens) == simdjson::SUCCESS) return tokens;
  }
  return 0;
}

}  // namespace

void AnswerText::parse(std::string_view json) {
  thread_local Scratch scratch;
  dom::element root;
  dom::array choices;
  if (scratch.parse(json).get(root) == simdjson::SUCCESS) {
    if (root["choices"].get(choices) == simdjson::SUCCESS) {
      if (choices.begin() != choices.end()) ++events_;
      for (const auto choice : choices) {
        append_choice(text_, choice, api_, form_ == AnswerForm::kEvents ? "delta" : "message");
      }
    }
    if (api_ == Api::kMessages && append_message(text_, root)) ++events_;
    // A response's text does not go on its prompt's flat text, which is raw JSON: only it counts.
    if (api_ == Api::kResponses && is_response_delta(root)) ++events_;
    if (const auto told = usage_of(root); told != 0) usage_ = told;
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
