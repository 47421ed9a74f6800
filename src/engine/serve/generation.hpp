#pragma once
// Answers one chat or completions request, streamed or whole.

#include <optional>
#include <string>

#include "base/core/clock.hpp"
#include "base/observe/span.hpp"
#include "engine/serve/mailroom.hpp"
#include "engine/serve/prepare.hpp"
#include "engine/serve/probe.hpp"
#include "engine/serve/text_assembler.hpp"
#include "net/http/server.hpp"

namespace baton::serve {

// What an answer needs of its service; all outlive it.
struct Surroundings {
  Mailroom& room;
  const ServedModel& model;
  Probe& probe;
  bool prompt_tokens_details = false;
  bool force_usage = false;
  observe::Tracer* tracer = nullptr;
};

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

 private:
  Task<void> answer_whole();
  Task<void> answer_streamed();
  Task<void> refuse(const Error& error);
  void take(const Letter& letter);
  void take_tokens(const runtime::Event& event);
  void add_logprob(const runtime::Event& event, std::size_t index);
  openai::Likely likely(token::TokenId id, float logprob) const;
  openai::Usage usage() const;
  void write_piece(std::string& out);
  void count();
  void end_span();
  std::string whole() const;

  const Surroundings& around_;
  http::Exchange& exchange_;
  Prepared prepared_;
  openai::AnswerHead head_;
  http::Headers headers_;
  Ticket ticket_;
  TextAssembler text_;
  openai::ChunkWriter chunks_;
  std::vector<openai::TokenLikely> logprobs_;  // of the piece, or of the whole answer
  std::size_t offset_ = 0;                     // text shown before the piece
  std::optional<runtime::PromptReport> report_;
  std::optional<kv::TransferParams> transfer_;
  std::optional<openai::Ending> ending_;
  std::optional<Error> error_;
  Mono first_token_{}, last_token_{};
  std::string_view reason_ = "abort";  // for the metrics
  observe::Span span_;
};

}  // namespace baton::serve
