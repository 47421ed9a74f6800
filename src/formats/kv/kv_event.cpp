#include "formats/kv/kv_event.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "formats/kv/msgpack.hpp"

namespace baton::kv {
namespace {

using msgpack::Kind;
using msgpack::Reader;
using msgpack::Writer;

constexpr std::string_view kStored = "BlockStored", kRemoved = "BlockRemoved",
                           kCleared = "AllBlocksCleared", kGpu = "gpu";

enum class Member : std::uint8_t {
  kHashes,
  kParent,
  kTokens,
  kBlockSize,
  kLoraId,
  kMedium,
  kLoraName,
  kExtraKeys,
  kGroup,
  kSpecKind,
  kWindow,
};
struct Named {
  std::string_view name;
  Member member;
};
// In the order of the array form.
constexpr std::array kStoredMembers = {
    Named{"block_hashes", Member::kHashes},
    Named{"parent_block_hash", Member::kParent},
    Named{"token_ids", Member::kTokens},
    Named{"block_size", Member::kBlockSize},
    Named{"lora_id", Member::kLoraId},
    Named{"medium", Member::kMedium},
    Named{"lora_name", Member::kLoraName},
    Named{"extra_keys", Member::kExtraKeys},
    Named{"group_idx", Member::kGroup},
    Named{"kv_cache_spec_kind", Member::kSpecKind},
    Named{"kv_cache_spec_sliding_window", Member::kWindow},
};
constexpr std::array kRemovedMembers = {
    Named{"block_hashes", Member::kHashes},
    Named{"medium", Member::kMedium},
    Named{"group_idx", Member::kGroup},
};

// What a batch may still hold. A byte of it can become a hundred here.
struct Room {
  std::size_t events = kMaxBatchEvents, blocks = kMaxBatchBlocks, keys = kMaxBatchKeys;
};

// How many items follow; takes them out of what there is room for.
std::uint32_t counted(Reader& in, std::size_t& room) {
  const auto items = in.array();
  if (items > room) in.fail();
  if (!in.ok()) return 0;
  room -= items;
  return items;
}

std::string short_text(Reader& in) {
  const auto text = in.text();
  if (text.size() > kMaxEventName) in.fail();
  return std::string(in.ok() ? text : std::string_view());
}

EngineHash hash(Reader& in) {
  if (in.peek() == Kind::kInt) return in.integer();
  auto bytes = in.text();
  if (bytes.empty()) in.fail();
  if (bytes.size() > 8) bytes.remove_prefix(bytes.size() - 8);
  EngineHash value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

std::vector<EngineHash> hashes(Reader& in, Room& room) {
  std::vector<EngineHash> out(counted(in, room.blocks));
  for (auto& one : out) one = hash(in);
  return out;
}

std::vector<std::uint32_t> tokens(Reader& in) {
  std::vector<std::uint32_t> out(in.array());
  for (auto& one : out) one = in.small();
  return out;
}

std::string medium(Reader& in) {
  auto out = short_text(in);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out.empty() ? std::string(kGpu) : out;
}

// One key: a text, a number, or a tuple of which the first part counts (images: identifier,
// offset).
void extra_key(Reader& in, std::vector<std::string>& out) {
  switch (in.peek()) {
    case Kind::kText:
    case Kind::kBytes:
      out.push_back(short_text(in));
      return;
    case Kind::kInt:
      out.push_back(fmt::to_string(in.integer()));
      return;
    case Kind::kArray: {
      const auto parts = in.array();
      for (std::uint32_t i = 0; i < parts && in.ok(); ++i) {
        if (i > 0 || in.peek() == Kind::kArray) {
          in.skip();
        } else {
          extra_key(in, out);
        }
      }
      return;
    }
    default:
      in.skip();
  }
}

std::vector<std::vector<std::string>> extra_keys(Reader& in, Room& room) {
  std::size_t blocks = kMaxBatchBlocks;
  std::vector<std::vector<std::string>> out(counted(in, blocks));
  bool any = false;
  for (auto& block : out) {
    if (in.nil()) continue;
    const std::size_t most = std::min(kMaxBlockKeys, room.keys);
    std::size_t left = most;
    const auto keys = counted(in, left);
    room.keys -= most - left;
    for (std::uint32_t i = 0; i < keys && in.ok(); ++i) extra_key(in, block);
    any = any || !block.empty();
  }
  if (!any) out.clear();
  return out;
}

// A member that is there and not nil.
void read(Reader& in, Member member, Room& room, BlockStored& out) {
  switch (member) {
    case Member::kHashes:
      out.hashes = hashes(in, room);
      break;
    case Member::kParent:
      out.parent = hash(in);
      break;
    case Member::kTokens:
      out.tokens = tokens(in);
      break;
    case Member::kBlockSize:
      out.block_size = in.small();
      break;
    case Member::kLoraId:
      out.lora_id = in.integer();
      break;
    case Member::kMedium:
      out.medium = medium(in);
      break;
    case Member::kLoraName:
      out.lora_name = short_text(in);
      break;
    case Member::kExtraKeys:
      out.extra_keys = extra_keys(in, room);
      break;
    case Member::kGroup:
      out.group = in.small();
      break;
    case Member::kSpecKind:
      out.spec_kind = short_text(in);
      break;
    case Member::kWindow:
      out.sliding_window = in.small();
      break;
  }
}

void read(Reader& in, Member member, Room& room, BlockRemoved& out) {
  if (member == Member::kHashes) out.hashes = hashes(in, room);
  if (member == Member::kMedium) out.medium = medium(in);
  if (member == Member::kGroup) out.group = in.small();
}

bool sound(const BlockStored& e) {
  if (!e.extra_keys.empty() && e.extra_keys.size() != e.hashes.size()) return false;
  if (e.hashes.empty()) return false;
  if (e.tokens.empty()) return true;  // a move
  return e.block_size > 0 && e.block_size <= kMaxEventBlock &&
         e.tokens.size() == e.hashes.size() * std::size_t{e.block_size};
}
bool sound(const BlockRemoved&) { return true; }

template <class Event, std::size_t N>
void read_members(Reader& in, std::uint32_t count, bool named, const std::array<Named, N>& members,
                  Room& room, EventBatch& batch) {
  Event event;
  event.medium = kGpu;
  bool hashes_seen = false;
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const auto* member = members.begin() + std::min<std::size_t>(i, N);
    if (named) {
      const auto name = in.text();
      member = std::ranges::find(members, name, &Named::name);
    }
    if (in.nil()) continue;
    if (member == members.end()) {
      in.skip();  // of a later version
      continue;
    }
    hashes_seen = hashes_seen || member->member == Member::kHashes;
    read(in, member->member, room, event);
  }
  if (!in.ok() || !hashes_seen || !sound(event)) return in.fail();
  batch.events.emplace_back(std::move(event));
}

// The type of an event in map form, wherever it stands; `in` is a copy.
std::string_view type_of(Reader in, std::uint32_t pairs) {
  for (std::uint32_t i = 0; i < pairs && in.ok(); ++i) {
    if (in.text() == "type") return in.text();
    in.skip();
  }
  return {};
}

void event(Reader& in, Room& room, EventBatch& batch) {
  const Reader start = in;
  const bool named = in.peek() == Kind::kMap;
  auto count = named ? in.map() : in.array();
  const auto type = named ? type_of(in, count) : count > 0 ? in.text() : std::string_view();
  if (!named && count > 0) --count;
  if (!in.ok() || type.empty()) return in.fail();
  if (type == kStored)
    return read_members<BlockStored>(in, count, named, kStoredMembers, room, batch);
  if (type == kRemoved)
    return read_members<BlockRemoved>(in, count, named, kRemovedMembers, room, batch);
  in = start;
  in.skip();
  if (type == kCleared) {
    batch.events.emplace_back(AllBlocksCleared{});
  } else {
    ++batch.unknown;
  }
}

void events(Reader& in, Room& room, EventBatch& batch) {
  const auto count = counted(in, room.events);
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) event(in, room, batch);
}

// Whether a stored block says more than the member at `at` in its array form.
bool says(const BlockStored& e, Member member) {
  switch (member) {
    case Member::kLoraId:
      return e.lora_id.has_value();
    case Member::kLoraName:
      return !e.lora_name.empty();
    case Member::kExtraKeys:
      return !e.extra_keys.empty();
    case Member::kGroup:
      return e.group != 0;
    case Member::kSpecKind:
      return !e.spec_kind.empty();
    case Member::kWindow:
      return e.sliding_window.has_value();
    default:
      return true;
  }
}
bool says(const BlockRemoved& e, Member member) { return member != Member::kGroup || e.group != 0; }

template <class T>
void write(Writer& out, const std::vector<T>& numbers) {
  out.array(numbers.size());
  for (const T number : numbers) out.integer(number);
}

std::string upper(std::string text) {
  for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return text;
}

void write(Writer& out, const BlockStored& e, Member member) {
  switch (member) {
    case Member::kHashes:
      return write(out, e.hashes);
    case Member::kParent:
      return e.parent ? out.integer(*e.parent) : out.nil();
    case Member::kTokens:
      return write(out, e.tokens);
    case Member::kBlockSize:
      return out.integer(e.block_size);
    case Member::kLoraId:
      return e.lora_id ? out.integer(*e.lora_id) : out.nil();
    case Member::kMedium:
      return out.text(upper(e.medium));
    case Member::kLoraName:
      return e.lora_name.empty() ? out.nil() : out.text(e.lora_name);
    case Member::kExtraKeys:
      if (e.extra_keys.empty()) return out.nil();
      out.array(e.extra_keys.size());
      for (const auto& block : e.extra_keys) {
        if (block.empty()) {
          out.nil();
          continue;
        }
        out.array(block.size());
        for (const auto& key : block) out.text(key);
      }
      return;
    case Member::kGroup:
      return out.integer(e.group);
    case Member::kSpecKind:
      return e.spec_kind.empty() ? out.nil() : out.text(e.spec_kind);
    case Member::kWindow:
      return e.sliding_window ? out.integer(*e.sliding_window) : out.nil();
  }
}

void write(Writer& out, const BlockRemoved& e, Member member) {
  if (member == Member::kHashes) write(out, e.hashes);
  if (member == Member::kMedium) out.text(upper(e.medium));
  if (member == Member::kGroup) out.integer(e.group);
}

template <class Event, std::size_t N>
void write_event(Writer& out, std::string_view type, const Event& event,
                 const std::array<Named, N>& members, EventShape shape) {
  if (shape == EventShape::kMaps) {
    const auto said = [&](const Named& m) { return says(event, m.member); };
    out.map(1 + static_cast<std::size_t>(std::ranges::count_if(members, said)));
    out.text("type"), out.text(type);
    for (const auto& m : members) {
      if (!said(m)) continue;
      out.text(m.name);
      write(out, event, m.member);
    }
    return;
  }
  std::size_t count = N;
  while (count > 0 && !says(event, members[count - 1].member)) --count;
  out.array(1 + count);
  out.text(type);
  for (std::size_t i = 0; i < count; ++i) write(out, event, members[i].member);
}

}  // namespace

Result<EventBatch> decode_events(std::string_view payload) {
  if (payload.size() > kMaxEventBatch) {
    return invalid(fmt::format("KV events: a batch of {} bytes, at most {} allowed", payload.size(),
                               kMaxEventBatch));
  }
  Reader in(payload);
  EventBatch batch;
  Room room;
  bool any = false;
  const bool named = in.peek() == Kind::kMap;
  const auto count = named ? in.map() : in.array();
  constexpr std::array<std::string_view, 3> kParts = {"ts", "events", "data_parallel_rank"};
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    const auto name = named ? in.text() : i < kParts.size() ? kParts[i] : std::string_view();
    if (name == kParts[0]) {
      batch.ts = in.number();
    } else if (name == kParts[1]) {
      events(in, room, batch);
      any = true;
    } else if (name == kParts[2]) {
      if (!in.nil()) batch.rank = in.small();
    } else {
      in.skip();
    }
  }
  if (!in.done() || !any) {
    return invalid(fmt::format("KV events: malformed batch of {} bytes, event {}", payload.size(),
                               batch.events.size() + batch.unknown));
  }
  return batch;
}

std::string encode_events(const EventBatch& batch, EventShape shape) {
  Writer out;
  out.array(batch.rank ? 3 : 2);
  out.number(batch.ts);
  out.array(batch.events.size());
  for (const auto& event : batch.events) {
    if (const auto* stored = std::get_if<BlockStored>(&event)) {
      write_event(out, kStored, *stored, kStoredMembers, shape);
    } else if (const auto* removed = std::get_if<BlockRemoved>(&event)) {
      write_event(out, kRemoved, *removed, kRemovedMembers, shape);
    } else if (shape == EventShape::kMaps) {
      out.map(1), out.text("type"), out.text(kCleared);
    } else {
      out.array(1), out.text(kCleared);
    }
  }
  if (batch.rank) out.integer(*batch.rank);
  return out.take();
}

}  // namespace baton::kv
