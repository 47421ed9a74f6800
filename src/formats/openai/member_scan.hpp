#pragma once
// Whether a JSON body has a member of a given name in any of its objects, found while the body
// passes by in pieces cut anywhere. Allocates nothing and builds nothing: it follows strings and
// brackets only, so text that is no JSON has no members that count.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace baton::openai {

// Whether a whole body can have a member of that name: its bytes are there, or an escape that
// spells one of them. Looks at bytes only, and many at once: most bodies need no MemberScan.
// Contract: as of MemberScan, and at least two bytes.
bool may_name(std::string_view body, std::string_view name);

// Confined to its owner.
class MemberScan {
 public:
  static constexpr std::size_t kMaxKey = 64;  // bytes of the name looked for
  // `name` must outlive this. Contract: ASCII without quotes or backslashes, at most kMaxKey.
  explicit MemberScan(std::string_view name) : name_(name) {}

  // True once it was found, in whatever spelling ("\u006b" is a k).
  bool feed(std::string_view piece);
  bool found() const { return found_; }

 private:
  enum class Text : std::uint8_t { kNone, kPlain, kEscape, kUnicode };

  std::size_t skip_string(std::string_view piece, std::size_t at);
  void take(char c);

  std::string_view name_;
  bool found_ = false;
  std::uint64_t depth_ = 0;
  Text text_ = Text::kNone;
  bool equal_ = false;  // so far
  std::size_t matched_ = 0;
  std::uint32_t code_ = 0;  // of \uXXXX
  int digits_ = 0;
  bool waits_ = false;  // for the colon that makes it a name
};

}  // namespace baton::openai
