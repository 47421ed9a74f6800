#pragma once
// A list of objects as it arrives, item by item: the response as a whole is never held. Pure.

#include <functional>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "net/kube/cluster.hpp"

namespace baton::kube {

// etcd takes 1.5 MiB a value by default, and 10 MiB at most in practice.
inline constexpr std::size_t kMaxItem = std::size_t{16} << 20;         // bytes of one object
inline constexpr std::size_t kMaxListMember = std::size_t{256} << 10;  // of metadata and the like

// Finds the end of one JSON value in a stream of bytes, without checking what is inside.
class ValueScanner {
 public:
  // How many of `bytes` belong to the value; done() says whether it ended with them. A scalar that
  // is no string ends before the byte that shows it.
  std::size_t take(std::string_view bytes);
  bool done() const { return state_ == State::kDone; }
  void reset() { *this = ValueScanner(); }

 private:
  enum class State : std::uint8_t { kStart, kScalar, kNested, kString, kDone };
  State state_ = State::kStart;
  std::size_t depth_ = 0;
  bool escaped_ = false;  // the next byte of the string stands for itself
};

// Feeds on the body of a LIST response. Members of the list may come in any order.
class ListDecoder {
 public:
  // Each item with apiVersion and kind filled in: built-in types leave them out.
  using OnItem = std::function<void(Object)>;
  // `keep` must outlive this; null: everything.
  ListDecoder(const Type& type, const text::json::Keep* keep, OnItem on_item);

  // kUnavailable: what came is no list of objects, or over a limit.
  Status feed(std::string_view piece);
  // After the last piece. kUnavailable: the list was cut off.
  Status finish();

  const Version& version() const { return version_; }
  const std::string& next_page() const {
    return next_page_;
  }  // the continue token; empty: the last

 private:
  enum class State : std::uint8_t {
    kBegin,     // before {
    kKeyOrEnd,  // after {
    kKey,       // after a comma
    kInKey,
    kColon,
    kValue,
    kInValue,
    kCommaOrEnd,
    kItemOrEnd,  // after [
    kItem,       // after a comma
    kInItem,
    kItemCommaOrEnd,
    kEnd,
  };

  Status broken(std::string_view what) const;
  // One structural byte that is neither space nor inside a value.
  Status step(char c);
  // A value is complete: its text.
  Status complete(std::string_view text);
  Status read_member(std::string_view text);
  Status read_item(std::string_view text);
  bool inside() const {
    return state_ == State::kInKey || state_ == State::kInValue || state_ == State::kInItem;
  }

  const Type type_;
  const text::json::Keep* const keep_;
  const OnItem on_item_;
  text::json::Parser parser_;
  ValueScanner scanner_;
  State state_ = State::kBegin;
  std::string key_;      // of the member being read
  std::string pending_;  // the front of a value whose rest has not come
  std::uint64_t offset_ = 0;
  bool has_items_ = false;
  Version version_;
  std::string next_page_;
};

}  // namespace baton::kube
