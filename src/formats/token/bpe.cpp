#include "formats/token/bpe.hpp"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "formats/token/byte_level.hpp"
#include "formats/token/decoder.hpp"
#include "formats/token/scratch.hpp"
#include "formats/token/tokenizer.hpp"

namespace baton::token {
namespace {

using text::json::Value;

bool set(const Value& model, std::string_view key) {
  const Value* v = model.find(key);
  if (v == nullptr || v->is_null()) return false;
  if (const bool* b = v->if_bool()) return *b;
  if (const std::string* s = v->if_string()) return !s->empty();
  return true;
}

void add(TokenId id, Bpe::Workspace& w) {
  const auto n = static_cast<std::int32_t>(w.symbols.size());
  w.symbols.push_back({id, n - 1, n + 1, false});
}
constexpr std::size_t kKnownWords = 1 << 15;  // 2 MB a thread

// The heap gives the lowest rank first, then the leftmost.
bool later(const Bpe::Workspace::Merge& a, const Bpe::Workspace::Merge& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

Status Bpe::check_options(const Value& model) const {
  const std::string_view type = model.string_at({"type"});
  if (!type.empty() && type != "BPE")
    return unsupported(fmt::format("/model: type '{}' (BPE only)", type));
  if (model.find("merges") == nullptr) return unsupported("/model: it has no merges (BPE only)");
  for (const std::string_view key :
       {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    if (set(model, key)) return unsupported(fmt::format("/model/{}: not supported", key));
  }
  if (alphabet_ == Alphabet::kBytes && set(model, "byte_fallback"))
    return unsupported("/model/byte_fallback: not with a ByteLevel pre-tokenizer");
  return {};
}

Result<Bpe> Bpe::parse(const Value& model, Alphabet alphabet) {
  static std::atomic<std::uint64_t> numbers = 0;
  Bpe bpe;
  bpe.number_ = ++numbers;
  bpe.alphabet_ = alphabet;
  BATON_TRY(bpe.check_options(model));
  bpe.ignore_merges_ = set(model, "ignore_merges");
  bpe.byte_fallback_ = set(model, "byte_fallback");
  BATON_TRY(bpe.read_vocabulary(model));
  BATON_TRY(bpe.read_bytes(model));
  if (alphabet == Alphabet::kCharacters) {
    BATON_TRY(bpe.read_unknown(model));
  }
  BATON_TRY(bpe.read_merges(model));
  return bpe;
}

Status Bpe::read_vocabulary(const Value& model) {
  const Value* vocab = model.find("vocab");
  if (vocab == nullptr || !vocab->is_object())
    return invalid("/model/vocab: expected an object of tokens and ids");
  spellings_.reserve(vocab->if_object()->size());
  for (const auto& [spelling, id] : *vocab->if_object()) {
    const auto n = id.if_uint();
    if (!n || *n >= kMaxVocab) {
      return invalid(fmt::format("{}: expected an id below {}",
                                 text::json::pointer("/model/vocab", spelling), kMaxVocab));
    }
    spellings_.emplace(spelling, static_cast<TokenId>(*n));
    if (!ignore_merges_) continue;
    auto bytes = alphabet_ == Alphabet::kBytes ? bytes_of(spelling) : spelling;
    if (bytes) words_.emplace(std::move(*bytes), static_cast<TokenId>(*n));
  }
  return {};
}

Status Bpe::read_bytes(const Value& model) {
  for (std::size_t byte = 0; byte < bytes_.size(); ++byte) {
    const std::string spelling = alphabet_ == Alphabet::kBytes
                                     ? byte_characters()[byte]
                                     : byte_spelling(static_cast<unsigned char>(byte));
    const auto at = spellings_.find(spelling);
    bytes_[byte] = at == spellings_.end() ? -1 : static_cast<std::int64_t>(at->second);
    if (bytes_[byte] >= 0) continue;
    if (alphabet_ == Alphabet::kBytes && set(model, "unk_token"))
      return unsupported("/model/unk_token: only where every byte has a token of its own");
    if (byte_fallback_)
      return unsupported(fmt::format("/model/byte_fallback: the vocabulary lacks {}", spelling));
  }
  return {};
}

Status Bpe::read_unknown(const Value& model) {
  if (byte_fallback_ || !set(model, "unk_token")) return {};
  const std::string name(model.string_at({"unk_token"}));
  const auto at = spellings_.find(name);
  if (at == spellings_.end())
    return invalid(fmt::format("/model/unk_token: '{}' is not in the vocabulary", name));
  unknown_ = at->second;
  fuse_unknown_ = set(model, "fuse_unk");
  return {};
}

Status Bpe::read_merges(const Value& model) {
  const text::json::Array* list = model.find("merges")->if_array();
  if (list == nullptr) return invalid("/model/merges: expected an array");
  merges_.reserve(list->size());
  std::uint32_t rank = 0;
  for (const Value& merge : *list) {
    const auto where = [&] { return text::json::pointer("/model/merges", rank); };
    std::string left;
    std::string right;
    if (const std::string* both = merge.if_string()) {
      const std::size_t space = both->find(' ');
      if (space == std::string::npos)
        return invalid(where() + ": expected two tokens with a space between");
      left = both->substr(0, space);
      right = both->substr(space + 1);
    } else if (const auto* two = merge.if_array(); two != nullptr && two->size() == 2 &&
                                                   (*two)[0].is_string() && (*two)[1].is_string()) {
      left = *(*two)[0].if_string();
      right = *(*two)[1].if_string();
    } else {
      return invalid(where() + ": expected a string or two strings");
    }
    const auto a = spellings_.find(left);
    const auto b = spellings_.find(right);
    const auto made = spellings_.find(left + right);
    if (a == spellings_.end() || b == spellings_.end() || made == spellings_.end()) {
      return invalid(fmt::format("{}: '{}' is not in the vocabulary", where(),
                                 a == spellings_.end()   ? left
                                 : b == spellings_.end() ? right
                                                         : left + right));
    }
    merges_.insert_or_assign(pair(a->second, b->second), Made{rank, made->second});
    ++rank;
  }
  return {};
}

void Bpe::consider(Workspace& w, std::int32_t left) const {
  if (left < 0 || w.symbols[static_cast<std::size_t>(left)].next < 0) return;
  const auto& a = w.symbols[static_cast<std::size_t>(left)];
  const auto& b = w.symbols[static_cast<std::size_t>(a.next)];
  const auto at = merges_.find(pair(a.id, b.id));
  if (at == merges_.end()) return;
  w.heap.push_back({at->second.rank, static_cast<std::uint32_t>(left), a.id, b.id, at->second.id});
  std::push_heap(w.heap.begin(), w.heap.end(), later);
}

void Bpe::spell_bytes(std::string_view word, Workspace& w) const {
  for (const char c : word) {
    const std::int64_t id = bytes_[static_cast<unsigned char>(c)];
    if (id >= 0) add(static_cast<TokenId>(id), w);
  }
}

void Bpe::spell_characters(std::string_view word, Workspace& w) const {
  bool after_unknown = false;
  for (std::size_t at = 0, size = 0; at < word.size(); at += size) {
    const auto lead = static_cast<unsigned char>(word[at]);
    size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;  // encode() takes UTF-8 only
    const auto found = spellings_.find(word.substr(at, size));
    if (found != spellings_.end()) {
      add(found->second, w);
      after_unknown = false;
    } else if (byte_fallback_) {
      spell_bytes(word.substr(at, size), w);
    } else if (unknown_) {
      if (!after_unknown || !fuse_unknown_) add(*unknown_, w);
      after_unknown = true;
    }
  }
}

void Bpe::encode(std::string_view word, std::vector<TokenId>& out, Workspace& w) const {
  if (word.empty() || word.size() > sizeof(Workspace::Known::word)) return merge(word, out, w);
  if (w.owner != number_) {
    w.known.assign(kKnownWords, {});
    w.owner = number_;
  }
  auto& known = w.known[XXH3_64bits(word.data(), word.size()) % kKnownWords];
  if (known.size == word.size() && std::memcmp(known.word.data(), word.data(), word.size()) == 0) {
    out.insert(out.end(), known.ids.begin(), known.ids.begin() + known.count);
    return;
  }
  const auto begin = out.size();
  merge(word, out, w);
  if (out.size() - begin > known.ids.size()) return;
  known.size = static_cast<std::uint8_t>(word.size());
  known.count = static_cast<std::uint8_t>(out.size() - begin);
  std::memcpy(known.word.data(), word.data(), word.size());
  std::copy(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), known.ids.begin());
}

void Bpe::merge(std::string_view word, std::vector<TokenId>& out, Workspace& w) const {
  if (ignore_merges_) {
    if (const auto at = words_.find(word); at != words_.end()) {
      out.push_back(at->second);
      return;
    }
  }
  w.symbols.clear();
  w.heap.clear();
  alphabet_ == Alphabet::kBytes ? spell_bytes(word, w) : spell_characters(word, w);
  if (w.symbols.empty()) return;
  w.symbols.back().next = -1;
  for (std::size_t i = 0; i + 1 < w.symbols.size(); ++i) consider(w, static_cast<std::int32_t>(i));
  while (!w.heap.empty()) {
    std::pop_heap(w.heap.begin(), w.heap.end(), later);
    const Workspace::Merge merge = w.heap.back();
    w.heap.pop_back();
    auto& left = w.symbols[merge.position];
    if (left.gone || left.id != merge.left || left.next < 0) continue;
    auto& right = w.symbols[static_cast<std::size_t>(left.next)];
    if (right.id != merge.right) continue;
    left.id = merge.made;
    right.gone = true;
    left.next = right.next;
    if (right.next >= 0)
      w.symbols[static_cast<std::size_t>(right.next)].previous =
          static_cast<std::int32_t>(merge.position);
    consider(w, left.previous);
    consider(w, static_cast<std::int32_t>(merge.position));
  }
  for (std::int32_t i = 0; i >= 0; i = w.symbols[static_cast<std::size_t>(i)].next)
    out.push_back(w.symbols[static_cast<std::size_t>(i)].id);
  give_back(w.symbols);
  give_back(w.heap);
}

bool Bpe::drops_text() const {
  if (alphabet_ == Alphabet::kCharacters) return !byte_fallback_ && (!unknown_ || fuse_unknown_);
  for (std::size_t byte = 0; byte < bytes_.size(); ++byte) {
    const bool occurs = byte != 0xC0 && byte != 0xC1 && byte < 0xF5;  // in UTF-8
    if (occurs && bytes_[byte] < 0) return true;
  }
  return false;
}

}  // namespace baton::token
