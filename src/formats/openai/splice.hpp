#pragma once
// Edits members of a JSON body in place: one strict scan finds their byte ranges, and the result is
// a list of slices of the original with the new text between. What is not edited survives byte by
// byte: order, spaces, escapes, integers of any size.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"

namespace baton::openai {

inline constexpr std::size_t kMaxBodyDepth = 128;
inline constexpr std::size_t kMaxBodyMembers = 1024;  // of an indexed object

enum class Where : std::uint8_t { kTop, kNested };

struct Edit {
  std::string_view key;
  std::optional<std::string> value;  // JSON text; nullopt removes the member
  Where where = Where::kTop;
};

// The edited body. Slices of the original and of `added`; the original must outlive it. Movable.
struct Spliced {
  std::vector<std::string_view> pieces;
  std::vector<char> added;

  std::string join() const;
  std::size_t size() const;
};

// Where the members of a body lie. Refers to the body, which must outlive it. Immutable.
class BodyIndex {
 public:
  // Validates the whole text: one object, strict syntax (RFC 8259), UTF-8, no lone surrogates.
  // `nested` names one member whose own members are indexed too, when it is an object.
  // kInvalid: "at byte 17: expected ':'".
  static Result<BodyIndex> scan(std::string_view body, std::string_view nested = {});

  // The JSON text of a member's value; the last one of several equal keys, as parsers take it.
  std::optional<std::string_view> find(std::string_view key, Where where = Where::kTop) const;
  bool has_nested() const { return nested_.open != 0; }

  // Sets or removes members; a key is recognised in any escaped spelling. Of several equal keys
  // the first takes the new value and the others go. A key that is not there is appended.
  // Contract: kNested edits only when has_nested(); one edit per key.
  Spliced splice(std::span<const Edit> edits) const;

 private:
  struct Member {
    std::size_t begin;         // behind the '{' or ',' before it
    std::size_t key, key_end;  // within the quotes
    std::size_t value, value_end;
    std::size_t end;  // its ',' or '}'
    bool escaped;     // the key has escapes
  };
  struct Object {
    std::size_t open = 0;   // behind its '{'
    std::size_t close = 0;  // its '}'
    std::vector<Member> members;
  };
  class Scanner;
  class Writer;

  explicit BodyIndex(std::string_view body) : body_(body) {}
  bool has_key(const Member& member, std::string_view key) const;
  const Member* last(const Object& object, std::string_view key) const;

  std::string_view body_;
  std::string nested_key_;
  Object top_;
  Object nested_;
};

// The number of elements of an array's JSON text; nullopt when it is none or is not valid.
std::optional<std::size_t> count_elements(std::string_view array);

}  // namespace baton::openai
