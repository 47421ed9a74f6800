#include "net/kube/list_decoder.hpp"

#include <fmt/format.h>

#include <cstring>

namespace baton::kube {

namespace {
bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
}  // namespace

std::size_t ValueScanner::take(std::string_view bytes) {
  const char* const begin = bytes.data();
  const char* const end = begin + bytes.size();
  const char* at = begin;
  while (at < end && state_ != State::kDone) {
    switch (state_) {
      case State::kStart:
        if (*at == '"') {
          state_ = State::kString;
        } else if (*at == '{' || *at == '[') {
          state_ = State::kNested;
          depth_ = 1;
        } else {
          state_ = State::kScalar;
        }
        ++at;
        break;
      case State::kScalar:
        if (is_space(*at) || *at == ',' || *at == '}' || *at == ']') {
          state_ = State::kDone;
        } else {
          ++at;
        }
        break;
      case State::kNested:
        for (; at < end && state_ == State::kNested; ++at) {
          if (*at == '"') {
            state_ = State::kString;
          } else if (*at == '{' || *at == '[') {
            ++depth_;
          } else if ((*at == '}' || *at == ']') && --depth_ == 0) {
            state_ = State::kDone;
          }
        }
        break;
      case State::kString: {
        if (escaped_) {
          escaped_ = false;
          ++at;
          break;
        }
        const auto* quote =
            static_cast<const char*>(std::memchr(at, '"', static_cast<std::size_t>(end - at)));
        const char* const stop = quote == nullptr ? end : quote;
        // An odd run of backslashes before `stop` escapes what comes there.
        const char* run = stop;
        while (run > at && run[-1] == '\\') --run;
        escaped_ = (stop - run) % 2 != 0;
        at = stop;
        if (quote != nullptr && !escaped_) {
          ++at;
          state_ = depth_ == 0 ? State::kDone : State::kNested;
        }
        break;
      }
      case State::kDone:
        break;
    }
  }
  return static_cast<std::size_t>(at - begin);
}

ListDecoder::ListDecoder(const Type& type, const text::json::Keep* keep, OnItem on_item)
    : type_(type), keep_(keep), on_item_(std::move(on_item)) {}

Status ListDecoder::broken(std::string_view what) const {
  return unavailable(fmt::format("list of {}: {} at byte {}", type_.kind, what, offset_));
}

Status ListDecoder::feed(std::string_view piece) {
  while (!piece.empty()) {
    if (!inside()) {
      if (!is_space(piece.front())) {
        const State before = state_;
        BATON_TRY(step(piece.front()));
        // The byte that begins a value belongs to it.
        if (inside() && before != state_) continue;
      }
      piece.remove_prefix(1);
      ++offset_;
      continue;
    }
    const std::size_t taken = scanner_.take(piece);
    const std::size_t limit = state_ == State::kInItem ? kMaxItem : kMaxListMember;
    if (pending_.size() + taken > limit) {
      return broken(fmt::format("a value of more than {} bytes", limit));
    }
    const std::string_view part = piece.substr(0, taken);
    piece.remove_prefix(taken);
    offset_ += taken;
    if (!scanner_.done()) {
      pending_ += part;
    } else if (pending_.empty()) {
      BATON_TRY(complete(part));
    } else {
      pending_ += part;
      BATON_TRY(complete(pending_));
      pending_.clear();
    }
  }
  return {};
}

Status ListDecoder::step(char c) {
  const auto begin_value = [&](State inside_it) {
    scanner_.reset();
    state_ = inside_it;
    return Status();
  };
  const auto move = [&](State next) {
    state_ = next;
    return Status();
  };
  switch (state_) {
    case State::kBegin:
      return c == '{' ? move(State::kKeyOrEnd) : broken("expected {");
    case State::kKeyOrEnd:
      if (c == '}') return move(State::kEnd);
      [[fallthrough]];
    case State::kKey:
      return c == '"' ? begin_value(State::kInKey) : broken("expected a member name");
    case State::kColon:
      return c == ':' ? move(State::kValue) : broken("expected :");
    case State::kValue:
      if (key_ != "items") return begin_value(State::kInValue);
      has_items_ = true;
      if (c == 'n') return begin_value(State::kInValue);  // null: an empty list in Go
      return c == '[' ? move(State::kItemOrEnd) : broken("expected [ after items");
    case State::kCommaOrEnd:
      if (c == '}') return move(State::kEnd);
      return c == ',' ? move(State::kKey) : broken("expected , or }");
    case State::kItemOrEnd:
      if (c == ']') return move(State::kCommaOrEnd);
      [[fallthrough]];
    case State::kItem:
      return c == '{' ? begin_value(State::kInItem) : broken("expected an object in items");
    case State::kItemCommaOrEnd:
      if (c == ']') return move(State::kCommaOrEnd);
      return c == ',' ? move(State::kItem) : broken("expected , or ]");
    case State::kEnd:
      return broken("something after the list");
    case State::kInKey:
    case State::kInValue:
    case State::kInItem:
      break;
  }
  return broken("impossible state");
}

Status ListDecoder::complete(std::string_view text) {
  switch (state_) {
    case State::kInKey: {
      const auto key = parser_.parse(text, nullptr);
      if (!key || key->if_string() == nullptr) return broken("a member name that is no string");
      key_ = *key->if_string();
      state_ = State::kColon;
      return {};
    }
    case State::kInItem:
      state_ = State::kItemCommaOrEnd;
      return read_item(text);
    default:
      state_ = State::kCommaOrEnd;
      return read_member(text);
  }
}

Status ListDecoder::read_member(std::string_view text) {
  const auto value = parser_.parse(text, nullptr);
  if (!value) return broken(fmt::format("member '{}': {}", key_, value.error().message()));
  if (key_ == "items" && !value->is_null()) return broken("items that are no list");
  if (key_ != "metadata") return {};
  version_ = value->string_at({"resourceVersion"});
  next_page_ = value->string_at({"continue"});
  return {};
}

Status ListDecoder::read_item(std::string_view text) {
  auto item = parser_.parse(text, keep_);
  if (!item) return broken(fmt::format("an item: {}", item.error().message()));
  if (item->find("kind") == nullptr) (*item)["kind"] = type_.kind;
  if (item->find("apiVersion") == nullptr) (*item)["apiVersion"] = type_.api_version();
  on_item_(*std::move(item));
  return {};
}

Status ListDecoder::finish() {
  if (state_ != State::kEnd) return broken("cut off");
  if (!has_items_) return broken("no items");
  if (version_.empty()) return broken("no /metadata/resourceVersion");
  return {};
}

}  // namespace baton::kube
