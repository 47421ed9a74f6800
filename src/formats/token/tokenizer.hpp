#pragma once
// Text to token ids and back, from a tokenizer.json with a BPE model, byte-level (GPT-2, Llama 3,
// Qwen …) or of SentencePiece's kind (Llama 2, Mistral …), with the results of the Hugging Face
// `tokenizers` library.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "formats/token/piece_memo.hpp"
#include "formats/token/token.hpp"
#include "formats/token/utf8_stream.hpp"

namespace baton::token {

inline constexpr std::size_t kMaxTokenizerJson = std::size_t{64} << 20;  // bytes
inline constexpr std::size_t kMaxVocab = std::size_t{1} << 21;           // ids
inline constexpr std::size_t kMaxAddedTokens = 20'000;

enum class AddSpecial : bool { kNo, kYes };  // what the post-processor adds: BOS …
enum class SkipSpecial : bool { kNo, kYes };

// Immutable: use from any number of threads.
class Tokenizer {
 public:
  // The text of a tokenizer.json.
  // kInvalid: malformed, with the JSON pointer. kUnsupported: a part we do not have, with pointer
  // and type.
  static Result<std::unique_ptr<const Tokenizer>> parse(std::string_view text);
  // folder/tokenizer.json. kNotFound: it is not there.
  static Result<std::unique_ptr<const Tokenizer>> load(const std::filesystem::path& folder);
  ~Tokenizer();

  // kInvalid: not UTF-8. kExhausted: a pre-tokenizer's expression takes too long on it.
  // With a memo of this tokenizer, pieces between added tokens are looked up there first: the same
  // tokens, sooner.
  Result<std::vector<TokenId>> encode(std::string_view text, AddSpecial special,
                                      PieceMemo* memo = nullptr) const;
  // Ids without a token are left out; bytes that are not UTF-8 become U+FFFD. A text begins without
  // the space that encode() puts in front for SentencePiece's kind.
  std::string decode(std::span<const TokenId> ids, SkipSpecial skip) const;

  // What the token adds to a text, not always whole characters. Empty for ids without a token.
  std::string_view bytes(TokenId id) const;
  // The token as tokenizer.json spells it (bytes as their stand-in characters).
  std::string_view spelling(TokenId id) const;
  bool is_special(TokenId id) const;
  bool is_byte(TokenId id) const;  // "<0x0A>", of SentencePiece's kind
  std::optional<TokenId> find(std::string_view spelling) const;
  std::size_t size() const;  // the highest id + 1
  // No token stands for more bytes of a text; nullopt: there is no such number, as some text
  // becomes no token, or however much of it one.
  std::optional<std::size_t> most_bytes_of_a_token() const;

  struct Impl;

 private:
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// The text that tokens add to what is before them: that of decode(), but for a space in front,
// which only the start of a text loses, and for byte tokens that are broken together. Confined to
// its owner.
class Detokenizer {
 public:
  // `tokenizer` must outlive it.
  Detokenizer(const Tokenizer& tokenizer, SkipSpecial skip) : tokenizer_(&tokenizer), skip_(skip) {}

  // Appends what is certain after this token; bytes that may still become a character are held
  // back.
  void push(TokenId id, std::string& out) {
    if (skip_ == SkipSpecial::kYes && tokenizer_->is_special(id)) return;
    stream_.push(tokenizer_->bytes(id), out);
  }
  // Appends U+FFFD for a character that never became whole.
  void finish(std::string& out) { stream_.finish(out); }

 private:
  const Tokenizer* tokenizer_;
  SkipSpecial skip_;
  Utf8Stream stream_;
};

}  // namespace baton::token
