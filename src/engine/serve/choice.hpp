#pragma once
// One sequence of an answer: what the engine drew for it, as text.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "base/observe/span.hpp"
#include "engine/serve/mailroom.hpp"
#include "engine/serve/probe.hpp"
#include "engine/serve/served_model.hpp"
#include "engine/serve/text_assembler.hpp"
#include "formats/openai/answer_writer.hpp"

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

// Confined to the loop.
class Choice {
 public:
  struct Setup {
    const openai::Sampling& sampling;
    const std::vector<token::TokenId>& prompt;
    std::string_view echo;  // the prompt's text, when the answer begins with it
    std::size_t index = 0;  // of the choice
    Mono asked;             // when the request arrived
    async::Event& arrived;  // notified when there is news
  };
  // What `setup` refers to must outlive it.
  Choice(const Surroundings& around, const Setup& setup, std::string engine_id);
  ~Choice();  // counts it; ends it in the engine
  Choice(const Choice&) = delete;
  Choice& operator=(const Choice&) = delete;

  Status submit(runtime::GenerateRequest request);
  // Takes what has arrived. False: nothing.
  bool take();

  bool has_begun() const { return report_ || is_over(); }
  bool is_over() const { return ending_ || error_; }
  const std::optional<Error>& error() const { return error_; }
  const std::optional<runtime::PromptReport>& report() const { return report_; }
  // What came before anything else, when the KV was announced.
  const std::optional<runtime::Event>& announcement() const { return announcement_; }
  const runtime::Progress& progress() const { return *progress_; }
  Mono first_token() const { return first_token_; }
  Mono last_token() const { return last_token_; }
  std::size_t tokens() const { return text_.tokens(); }
  std::string_view reason() const { return reason_; }

  // Appends one piece for all that came since the last, if anything did.
  void write_piece(openai::AnswerWriter& writer, std::string& out, const openai::Usage* usage);
  // All of it. Contract: over, without error.
  openai::Choice whole() const;
  // The params for the decode leg, if there are any; the client has them after handed_over().
  const std::optional<kv::TransferParams>& transfer() const { return transfer_; }
  void handed_over() { ticket_.handed_over(); }

 private:
  void take(const Letter& letter);
  void take_prompt(const runtime::Event& event);
  void take_tokens(const runtime::Event& event);
  openai::TokenLikely described(token::TokenId id, const runtime::TokenLogprob& logprob) const;
  openai::Likely likely(token::TokenId id, float logprob, std::size_t rank) const;
  void count() const;

  const Surroundings& around_;
  const Setup setup_;
  // Shared with the engine's threads.
  const std::shared_ptr<runtime::Progress> progress_ = std::make_shared<runtime::Progress>();
  Ticket ticket_;
  TextAssembler text_;
  std::vector<openai::TokenLikely> logprobs_;       // of the piece, or of the whole answer
  std::vector<openai::TokenLikely> prompt_scores_;  // of every token of the prompt, when asked for
  std::vector<token::TokenId> ids_;                 // as logprobs_
  bool was_submitted_ = false, wrote_ = false, told_ending_ = false;
  std::size_t offset_ = 0;  // text shown before the piece
  std::optional<runtime::Event> announcement_;
  std::optional<runtime::PromptReport> report_;
  std::optional<kv::TransferParams> transfer_;
  std::optional<openai::Ending> ending_;
  std::optional<Error> error_;
  Mono first_token_{}, last_token_{};
  std::string_view reason_ = "abort";  // for the metrics
};

}  // namespace baton::serve
