#include "formats/token/tokenizer.hpp"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "formats/token/added_tokens.hpp"
#include "formats/token/bpe.hpp"
#include "formats/token/decoder.hpp"
#include "formats/token/normalizer.hpp"
#include "formats/token/post_process.hpp"
#include "formats/token/pre_tokenizer.hpp"

namespace baton::token {
namespace {

struct Entry {
  std::string bytes;
  std::string spelling;
  bool special = false;
  bool byte = false;  // SentencePiece's "<0x0A>"
};

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
constexpr std::size_t kMaxCharacter = 4;  // bytes

bool valid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    utf8proc_int32_t p = 0;
    const auto n = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                    static_cast<utf8proc_ssize_t>(text.size() - at), &p);
    if (n <= 0) return false;
    at += static_cast<std::size_t>(n);
  }
  return true;
}

// Gives memory back that a long text took, however its encoding ends.
struct Shrinking {
  PreTokenizer::Words& words;
  ~Shrinking() { words.shrink(); }
};

}  // namespace

struct Tokenizer::Impl {
  Bpe bpe;
  Normalizer normalizer;
  PreTokenizer pre;
  PostProcessor post;
  Decoder decoder;
  std::vector<AddedToken> added;
  AddedTokenFinder raw;                   // in the text as it is
  AddedTokenFinder normalized;            // in the normalized text
  std::vector<Entry> entries;             // by id
  std::optional<std::size_t> most_bytes;  // of a text, in a token

  Status index();
  std::optional<std::size_t> measured() const;
  // `first`: nothing of the text comes before it.
  Status encode_piece(std::string_view text, bool first, std::vector<TokenId>& out) const;
  Status encode_normalized(std::string_view text, bool first, std::vector<TokenId>& out) const;
  std::string unmarked(TokenId id) const;
};

Status Tokenizer::Impl::index() {
  std::size_t size = 0;
  for (const auto& [spelling, id] : bpe.spellings()) size = std::max(size, std::size_t{id} + 1);
  for (const AddedToken& token : added) size = std::max(size, std::size_t{token.id} + 1);
  entries.resize(size);
  const auto put = [&](const std::string& spelling, TokenId id) {
    entries[id].spelling = spelling;
    entries[id].bytes = decoder.bytes(spelling);
    entries[id].byte = decoder.single_byte(spelling).has_value();
  };
  for (const auto& [spelling, id] : bpe.spellings()) put(spelling, id);
  for (const AddedToken& token : added) {
    put(token.content, token.id);
    entries[token.id].special = token.special;
    if (token.normalized) {
      BATON_TRY_ASSIGN(std::string spelling, normalizer.apply(token.content));
      normalized.add(token, std::move(spelling));
    } else {
      raw.add(token, token.content);
    }
  }
  raw.seal();
  normalized.seal();
  most_bytes = measured();
  return {};
}

std::optional<std::size_t> Tokenizer::Impl::measured() const {
  const auto swallows = [](const AddedToken& t) { return t.lstrip || t.rstrip; };  // spaces
  const auto shortening = normalizer.most_shortening();
  if (!shortening || pre.drops_text() || bpe.drops_text() || std::ranges::any_of(added, swallows))
    return std::nullopt;
  std::size_t longest = kMaxCharacter;  // the unknown token is one character
  const auto begins_character = [](char c) { return (c & 0xC0) != 0x80; };
  for (const auto& [spelling, id] : bpe.spellings()) {
    const auto characters = std::ranges::count_if(spelling, begins_character);  // one a byte
    longest = std::max(longest,
                       pre.byte_level() ? static_cast<std::size_t>(characters) : spelling.size());
  }
  longest = std::max({longest, raw.longest(), normalized.longest()});
  return longest * *shortening;
}

// What the token adds as the first of a text, where that loses its marks.
std::string Tokenizer::Impl::unmarked(TokenId id) const {
  if (id >= entries.size()) return "";
  std::string spelling = entries[id].spelling;
  for (std::size_t at = 0; (at = spelling.find(decoder.mark, at)) != std::string::npos;) {
    spelling.erase(at, decoder.mark.size());
  }
  return decoder.bytes(spelling);
}

Status Tokenizer::Impl::encode_piece(std::string_view text, bool first,
                                     std::vector<TokenId>& out) const {
  if (normalizer.empty()) return encode_normalized(text, first, out);
  BATON_TRY_ASSIGN(const std::string normal, normalizer.apply(text));
  return encode_normalized(normal, first, out);
}

Status Tokenizer::Impl::encode_normalized(std::string_view text, bool first,
                                          std::vector<TokenId>& out) const {
  // Memory of the thread: it serves the next text.
  thread_local Bpe::Workspace workspace;
  thread_local PreTokenizer::Words words;
  const Shrinking shrinking{words};
  for (const Piece& piece : normalized.split(text)) {
    if (piece.token != nullptr) {
      out.push_back(piece.token->id);
      continue;
    }
    BATON_TRY(
        pre.apply(text.substr(piece.from, piece.to - piece.from), first && piece.from == 0, words));
    for (const std::string_view word : words.words) bpe.encode(word, out, workspace);
  }
  return {};
}

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<const Tokenizer>> Tokenizer::parse(std::string_view text) {
  if (text.size() > kMaxTokenizerJson)
    return invalid(fmt::format("{} bytes, over the limit of {}", text.size(), kMaxTokenizerJson));
  BATON_TRY_ASSIGN(const text::json::Value root, text::json::parse(text));
  const text::json::Value* model = root.find("model");
  if (model == nullptr || !model->is_object()) return invalid("/model: expected an object");
  for (const std::string_view key : {"truncation", "padding"}) {
    if (const auto* v = root.find(key); v != nullptr && !v->is_null())
      return unsupported(fmt::format("/{}: only null", key));
  }
  auto impl = std::make_unique<Impl>();
  BATON_TRY_ASSIGN(impl->pre, PreTokenizer::parse(root.find("pre_tokenizer")));
  const bool byte_level = impl->pre.byte_level();
  BATON_TRY_ASSIGN(impl->bpe,
                   Bpe::parse(*model, byte_level ? Alphabet::kBytes : Alphabet::kCharacters));
  BATON_TRY_ASSIGN(impl->normalizer, Normalizer::parse(root.find("normalizer")));
  BATON_TRY_ASSIGN(impl->post, PostProcessor::parse(root.find("post_processor")));
  BATON_TRY_ASSIGN(impl->decoder, Decoder::parse(root.find("decoder")));
  if (impl->decoder.byte_level != byte_level)
    return unsupported("/decoder: ByteLevel goes with a ByteLevel pre-tokenizer, and only with it");
  BATON_TRY_ASSIGN(impl->added, parse_added_tokens(root.find("added_tokens")));
  BATON_TRY(impl->index());
  return std::unique_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

Result<std::unique_ptr<const Tokenizer>> Tokenizer::load(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "tokenizer.json";
  std::ifstream file(path, std::ios::binary);
  if (!file) return not_found(fmt::format("no tokenizer.json in {}", folder.string()));
  std::stringstream text;
  text << file.rdbuf();
  return parse(text.view()).with(path.string());
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, AddSpecial special,
                                               PieceMemo* memo) const {
  if (!valid_utf8(text)) return invalid("the text is not valid UTF-8");
  std::vector<TokenId> out;
  out.reserve(text.size() / 3 + 2);
  if (special == AddSpecial::kYes) out = impl_->post.before;
  for (const Piece& piece : impl_->raw.split(text)) {
    const std::string_view part = text.substr(piece.from, piece.to - piece.from);
    if (piece.token != nullptr) {
      out.push_back(piece.token->id);
      continue;
    }
    // What begins a text may be tokenized differently.
    const bool first = piece.from == 0;
    const auto place = first ? PieceMemo::Place::kFirst : PieceMemo::Place::kLater;
    const bool worth = memo != nullptr && part.size() >= PieceMemo::kLeast;
    if (worth && memo->recall(part, place, out)) continue;
    const auto begin = out.size();
    BATON_TRY(impl_->encode_piece(part, first, out));
    if (worth) memo->keep(part, place, std::span(out).subspan(begin));
  }
  if (special == AddSpecial::kYes)
    out.insert(out.end(), impl_->post.after.begin(), impl_->post.after.end());
  return out;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, SkipSpecial skip) const {
  std::string out;
  Utf8Stream stream;
  std::string run;  // of byte tokens: together they are text, or none of them is
  const auto end_run = [&] {
    if (valid_utf8(run)) {
      out += run;
    } else {
      for (std::size_t i = 0; i < run.size(); ++i) out += kReplacement;
    }
    run.clear();
  };
  bool first = true;
  for (const TokenId id : ids) {
    if (skip == SkipSpecial::kYes && is_special(id)) continue;
    const bool byte = is_byte(id);
    if (!byte) end_run();
    if (byte) {
      run += bytes(id);
    } else if (first && impl_->decoder.start == Decoder::Start::kLosesItsMarks) {
      stream.push(impl_->unmarked(id), out);
    } else {
      stream.push(bytes(id), out);
    }
    first = false;
  }
  end_run();
  stream.finish(out);
  if (impl_->decoder.start == Decoder::Start::kLosesASpace && out.starts_with(' ')) out.erase(0, 1);
  return out;
}

bool Tokenizer::is_byte(TokenId id) const {
  return id < impl_->entries.size() && impl_->entries[id].byte;
}

std::string_view Tokenizer::bytes(TokenId id) const {
  return id < impl_->entries.size() ? std::string_view(impl_->entries[id].bytes)
                                    : std::string_view();
}

std::string_view Tokenizer::spelling(TokenId id) const {
  return id < impl_->entries.size() ? std::string_view(impl_->entries[id].spelling)
                                    : std::string_view();
}

bool Tokenizer::is_special(TokenId id) const {
  return id < impl_->entries.size() && impl_->entries[id].special;
}

std::optional<TokenId> Tokenizer::find(std::string_view spelling) const {
  for (const AddedToken& token : impl_->added) {
    if (token.content == spelling) return token.id;
  }
  const auto at = impl_->bpe.spellings().find(spelling);
  if (at == impl_->bpe.spellings().end()) return std::nullopt;
  return at->second;
}

std::size_t Tokenizer::size() const { return impl_->entries.size(); }

std::optional<std::size_t> Tokenizer::most_bytes_of_a_token() const { return impl_->most_bytes; }

}  // namespace baton::token
