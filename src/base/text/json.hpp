#pragma once
// The one JSON value: insertion-ordered objects, exact 64-bit integers, shortest round-trip
// doubles. Nobody else includes a JSON library. A body that is only forwarded is not parsed into
// this (formats/openai has the splicer for that).

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/core/result.hpp"

namespace baton::text::json {

class Value;
struct Member;
using Array = std::vector<Value>;

// Members in the order they were written. `find` is linear: objects here are small.
class Object {
 public:
  // Out of line: Member is incomplete here.
  Object();
  Object(std::initializer_list<Member> members);
  Object(const Object&);
  Object(Object&&) noexcept;
  Object& operator=(const Object&);
  Object& operator=(Object&&) noexcept;
  ~Object();

  const Value* find(std::string_view key) const [[clang::lifetimebound]];
  Value* find(std::string_view key) [[clang::lifetimebound]];
  // Replaces in place, or appends.
  Value& set(std::string_view key, Value value) [[clang::lifetimebound]];
  // The member, created as null at the end when absent.
  Value& operator[](std::string_view key) [[clang::lifetimebound]];
  bool erase(std::string_view key);
  void reserve(std::size_t members);
  // Appends without looking for an equal key; for parsers.
  void append(std::string key, Value value);

  bool empty() const;
  std::size_t size() const;
  const Member* begin() const;
  const Member* end() const;
  Member* begin();
  Member* end();

  // Equal when the same keys have equal values, in any order.
  friend bool operator==(const Object& a, const Object& b);

 private:
  std::vector<Member> members_;
};

enum class Kind : std::uint8_t { kNull, kBool, kInt, kUint, kDouble, kString, kArray, kObject };

class Value {
 public:
  Value() = default;
  Value(std::nullptr_t) {}
  Value(bool b) : data_(b) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  Value(T n) {
    if constexpr (std::is_signed_v<T>) {
      data_ = static_cast<std::int64_t>(n);
    } else {
      set_unsigned(n);
    }
  }
  Value(double d) : data_(d) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(std::string_view s) : data_(std::string(s)) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(Array a) : data_(std::move(a)) {}
  Value(Object o) : data_(std::move(o)) {}

  // kUint only for values above INT64_MAX.
  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is_null() const { return kind() == Kind::kNull; }
  bool is_object() const { return kind() == Kind::kObject; }
  bool is_array() const { return kind() == Kind::kArray; }
  bool is_string() const { return kind() == Kind::kString; }
  bool is_number() const {
    return kind() == Kind::kInt || kind() == Kind::kUint || kind() == Kind::kDouble;
  }

  // The content when it is of that kind, else null / nullopt.
  const bool* if_bool() const [[clang::lifetimebound]] { return std::get_if<bool>(&data_); }
  const std::string* if_string() const [[clang::lifetimebound]] {
    return std::get_if<std::string>(&data_);
  }
  const Array* if_array() const [[clang::lifetimebound]] { return std::get_if<Array>(&data_); }
  Array* if_array() [[clang::lifetimebound]] { return std::get_if<Array>(&data_); }
  const Object* if_object() const [[clang::lifetimebound]] { return std::get_if<Object>(&data_); }
  Object* if_object() [[clang::lifetimebound]] { return std::get_if<Object>(&data_); }
  // An integer, or a double without fraction that fits.
  std::optional<std::int64_t> if_int() const;
  std::optional<std::uint64_t> if_uint() const;
  // Any number.
  std::optional<double> if_double() const;

  // The member of an object; null when this is no object or has none.
  const Value* find(std::string_view key) const [[clang::lifetimebound]];
  Value* find(std::string_view key) [[clang::lifetimebound]];
  // A nested member: find_path({"metadata", "name"}).
  const Value* find_path(std::initializer_list<std::string_view> keys) const
      [[clang::lifetimebound]];
  // The nested member's string, or "".
  std::string_view string_at(std::initializer_list<std::string_view> keys) const
      [[clang::lifetimebound]];
  // The member, created as null; a null value becomes an object first. Contract: object or null.
  Value& operator[](std::string_view key) [[clang::lifetimebound]];
  // Appends; a null value becomes an array first. Contract: array or null.
  void push_back(Value value);

  // "null", "boolean", "number", "string", "array", "object": for messages.
  std::string_view kind_name() const;

  // Numbers compare by value across kinds.
  friend bool operator==(const Value& a, const Value& b);

 private:
  void set_unsigned(std::uint64_t n);

  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array,
               Object>
      data_;
};

struct Member {
  std::string key;
  Value value;
  friend bool operator==(const Member&, const Member&) = default;
};

inline bool Object::empty() const { return members_.empty(); }
inline std::size_t Object::size() const { return members_.size(); }
inline const Member* Object::begin() const { return members_.data(); }
inline const Member* Object::end() const { return members_.data() + members_.size(); }
inline Member* Object::begin() { return members_.data(); }
inline Member* Object::end() { return members_.data() + members_.size(); }

inline constexpr std::size_t kMaxDepth = 128;
inline constexpr std::size_t kMaxText = std::size_t{256} << 20;  // 256 MiB

enum class Duplicates : bool { kKeepLast, kReject };

// Parses one document. kInvalid: syntax, invalid UTF-8, depth over kMaxDepth, size over kMaxText,
// an integer beyond 64 bits, duplicate keys when rejected. Allocates a parser per call.
Result<Value> parse(std::string_view text, Duplicates duplicates = Duplicates::kKeepLast);

// Which members of a document are wanted: a tree of names. The others are passed over without being
// built, whatever they hold. Arrays are looked through: their elements are treated as if each stood
// in the array's place.
class Keep {
 public:
  // Paths are dotted member names ("status.conditions.type"); a dot within a name is written "\.".
  // A path stands for all that is below it.
  static Keep only(const std::vector<std::string_view>& paths);
  static Keep all_but(const std::vector<std::string_view>& paths);

 private:
  friend class Parser;
  struct Node {
    std::string name;
    std::vector<Node> members;  // empty: everything below
  };
  enum class Listed : bool { kKept, kDropped };
  Keep() = default;
  void insert(std::string_view path);

  Listed listed_ = Listed::kKept;
  std::vector<Node> roots_;
};

// Parses many documents with the same buffers. Confined to its owner.
class Parser {
 public:
  Parser();
  ~Parser();
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  // As json::parse, the last of duplicate keys winning. `keep` null: everything.
  Result<Value> parse(std::string_view text, const Keep* keep);
  // `keep` is of the value of the root's member `name`; the root's other members are kept.
  Result<Value> parse_around(std::string_view text, std::string_view name, const Keep* keep);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Compact, as JavaScript's JSON.stringify: no spaces, UTF-8 as is, control characters escaped.
std::string dump(const Value& value);
void append(std::string& out, const Value& value);
// Indented by two spaces, a newline at the end.
std::string pretty(const Value& value);
// Appends the quoted, escaped form of `text`.
void append_quoted(std::string& out, std::string_view text);

// "/spec/model" + "uri" -> "/spec/model/uri", with ~ and / escaped (RFC 6901).
std::string pointer(std::string_view base, std::string_view key);
std::string pointer(std::string_view base, std::size_t index);

}  // namespace baton::text::json
