#pragma once
// Answers one request, streamed or whole: one choice or several, for one prompt or several.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/serve/choice.hpp"
#include "engine/serve/prepare.hpp"
#include "formats/openai/live_requests.hpp"
#include "net/http/server.hpp"

namespace baton::serve {

// How the prompt's KV came about, as headers. `first_token`: from the request's arrival here.
void add_proof(http::Headers& headers, const runtime::PromptReport& report, Nanos first_token);

// Confined to the loop; lives in the handler's frame: unwinding it ends the request in the engine.
class Generation {
 public:
  // `headers`: those of every answer (x-request-id).
  Generation(const Surroundings& around, http::Exchange& exchange, Prepared prepared,
             openai::AnswerHead head, std::string engine_id, http::Headers headers);
  ~Generation();

  Task<void> run();

  // How far it is, for who looks on: of several choices the one that is least far. Without the id.
  openai::LiveRequest look() const;

 private:
  // Of a prompt's choices the first goes ahead: the others find its prompt in the cache.
  enum class Wave : bool { kFirst, kOthers };
  Status submit(Wave wave);
  bool take();
  bool have_begun() const;
  bool are_over() const;
  const Error* error() const;
  const Choice& first_of(std::size_t prompt) const { return *choices_[prompt * samples()]; }
  std::size_t samples() const { return static_cast<std::size_t>(prepared_.sampling.n); }
  bool have_reports() const;
  runtime::PromptReport report() const;
  Mono first_token() const;

  bool is_announced() const;
  Task<void> until_over();
  std::string whole_answer() const;
  Task<void> answer_whole();
  // The head at once, with the announcement; the body when the prompt is computed.
  Task<void> answer_announced();
  Task<void> answer_streamed();
  Task<void> refuse(const Error& error);
  openai::Usage usage() const;
  void end_span();

  const Surroundings& around_;
  http::Exchange& exchange_;
  const Prepared prepared_;
  const openai::AnswerHead head_;
  http::Headers headers_;
  async::Event arrived_;
  std::vector<std::unique_ptr<Choice>> choices_;  // [prompts][samples]
  observe::Span span_;
};

}  // namespace baton::serve
