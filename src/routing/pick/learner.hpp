#pragma once
// What an answer teaches while it passes by: which further blocks its pod now holds, and how many
// tokens it has generated.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "formats/openai/answer_text.hpp"
#include "routing/index/prefix_chain.hpp"

namespace baton::pick {

// Fed with the body of one answer; confined to its owner.
class Learner {
 public:
  // `chain` is the prompt's, and is extended; null: only tokens are counted. It must outlive this.
  Learner(openai::Api api, openai::AnswerForm form, index::PrefixChain* chain);

  struct Learned {
    std::span<const std::uint64_t> blocks;  // whole since the last call; valid until the next
    std::uint64_t tokens = 0;               // generated since the last call
  };
  Learned feed(std::string_view piece);
  Learned finish();

 private:
  Learned learn(std::string_view text);

  openai::AnswerText answer_;
  index::PrefixChain* chain_;
  std::size_t known_ = 0;      // blocks of the chain told of
  std::uint64_t counted_ = 0;  // tokens told of
};

openai::AnswerForm answer_form(std::optional<std::string_view> content_type);

// What the sidecar says of the prefill pod (`x-baton-prefill`). One that says nothing did as it was
// asked.
bool used_prefill(std::optional<std::string_view> told);

// Takes kv_transfer_params out of a request body: only the router says where KV comes from.
// Nothing else changes, but where the body has sampling_params, vllm_xargs or their extra_args
// several times: only the last one stays, as the engine takes it.
// kInvalid: the body cannot be edited (splice.hpp has its limits), and must not be sent.
Status remove_transfer_params(std::string& body);

}  // namespace baton::pick
