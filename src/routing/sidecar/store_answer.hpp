#pragma once
// What a decode engine says when it is asked first whether a prompt is in the shared store: the
// whole body, or the first two events of a stream, decide (reference 12). Pure.

#include <string>
#include <string_view>

#include "net/http/message.hpp"

namespace baton::sidecar {

class StoreAnswer {
 public:
  static constexpr std::size_t kMax = 64 << 20;

  // False: over kMax.
  bool add(std::string_view piece);
  // Whether what was read decides; the end of the body always does.
  bool settled(const http::ResponseHead& head) const;
  // A choice ended because too little of the prompt was there.
  bool missed(const http::ResponseHead& head) const;
  std::string_view text() const { return text_; }

 private:
  std::string text_;
  std::size_t events_ = 0;   // complete ones
  std::size_t counted_ = 0;  // bytes looked at
};

}  // namespace baton::sidecar
