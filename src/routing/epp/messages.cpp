#include "routing/epp/messages.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "net/grpc/proto.hpp"
#include "net/http/message.hpp"

namespace baton::epp {
namespace {

using proto::Field;
using proto::Reader;
using proto::Wire;
using proto::Writer;

constexpr std::string_view kLoadBalancer = "envoy.lb";
constexpr std::string_view kScores = "x-gateway-destination-endpoint-scores";

Status read_header(std::string_view bytes, HeaderList& into) {
  if (into.size() == kMaxHeaders) return invalid("too many headers");
  Header header;
  std::string_view raw;
  Reader reader(bytes);
  for (Field field; reader.next(field);) {
    if (field.wire != Wire::kBytes) continue;
    if (field.number == 1) header.name = field.bytes;
    if (field.number == 2) header.value = field.bytes;
    if (field.number == 3) raw = field.bytes;
  }
  if (!raw.empty()) header.value = raw;
  into.push_back(header);
  return reader.status();
}

Status read_header_map(std::string_view bytes, HeaderList& into) {
  constexpr std::size_t kUsual = 24;  // with a proxy's own
  into.reserve(kUsual);
  Reader reader(bytes);
  for (Field field; reader.next(field);) {
    if (field.number == 1 && field.wire == Wire::kBytes) {
      BATON_TRY(read_header(field.bytes, into));
    }
  }
  return reader.status();
}

Status read_headers(std::string_view bytes, Message& into) {
  Reader reader(bytes);
  for (Field field; reader.next(field);) {
    if (field.number == 1 && field.wire == Wire::kBytes) {
      BATON_TRY(read_header_map(field.bytes, into.headers));
    }
    if (field.number == 3 && field.wire == Wire::kVarint) into.end_of_stream = field.flag();
  }
  return reader.status();
}

Status read_body(std::string_view bytes, Message& into) {
  Reader reader(bytes);
  for (Field field; reader.next(field);) {
    if (field.number == 1 && field.wire == Wire::kBytes) into.body = field.bytes;
    if (field.number == 2 && field.wire == Wire::kVarint) into.end_of_stream = field.flag();
  }
  return reader.status();
}

std::optional<BodyMode> body_mode(std::uint64_t number) {
  if (number > static_cast<std::uint64_t>(BodyMode::kGrpc)) return std::nullopt;
  return static_cast<BodyMode>(number);
}

// Defaults are not on the wire: a configuration without a field means NONE.
Status read_protocol(std::string_view bytes, Message& into) {
  into.request_mode = BodyMode::kNone;
  into.response_mode = BodyMode::kNone;
  Reader reader(bytes);
  for (Field field; reader.next(field);) {
    if (field.wire != Wire::kVarint) continue;
    if (field.number == 1) into.request_mode = body_mode(field.number_value);
    if (field.number == 2) into.response_mode = body_mode(field.number_value);
  }
  return reader.status();
}

// The value of a key in a map<string, message> field; the last one wins.
std::optional<std::string_view> map_value(std::string_view message, std::string_view key) {
  std::optional<std::string_view> found;
  Reader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number != 1 || field.wire != Wire::kBytes) continue;
    std::string_view name;
    std::string_view value;
    Reader entry(field.bytes);
    for (Field part; entry.next(part);) {
      if (part.wire != Wire::kBytes) continue;
      if (part.number == 1) name = part.bytes;
      if (part.number == 2) value = part.bytes;
    }
    if (name == key) found = value;
  }
  return found;
}

std::optional<std::string_view> metadata_value(std::string_view metadata, std::string_view ns,
                                               std::string_view key) {
  const auto space = map_value(metadata, ns);
  return space ? map_value(*space, key) : std::nullopt;
}

std::optional<std::string_view> field_of(std::string_view message, std::uint32_t number) {
  std::optional<std::string_view> found;
  Reader reader(message);
  for (Field field; reader.next(field);) {
    if (field.number == number && field.wire == Wire::kBytes) found = field.bytes;
  }
  return found;
}

void write_changes(Writer& common, const Changes& changes) {
  if (changes.set.empty() && changes.remove.empty()) return;
  common.message(2, [&](Writer& mutation) {
    for (const auto& [name, value] : changes.set) {
      mutation.message(1, [&](Writer& option) {
        option.message(1, [&](Writer& header) {
          header.bytes(1, name);
          header.bytes(3, value);
        });
      });
    }
    for (const auto name : changes.remove) mutation.bytes(2, name);
  });
}

// fields[name] of a Struct, its value written by `value`.
template <class F>
void struct_field(Writer& out, std::string_view name, F&& value) {
  out.message(1, [&](Writer& entry) {
    entry.bytes(1, name);
    entry.message(2, value);
  });
}

void write_pick(Writer& reply, const Pick& pick) {
  reply.message(8, [&](Writer& metadata) {
    struct_field(metadata, kLoadBalancer, [&](Writer& value) {
      value.message(5, [&](Writer& lb) {
        struct_field(lb, kDestination, [&](Writer& text) { text.bytes(3, pick.destination); });
        if (pick.scores.empty()) return;
        struct_field(lb, kScores, [&](Writer& scored) {
          scored.message(5, [&](Writer& scores) {
            for (const auto& [endpoint, score] : pick.scores) {
              struct_field(scores, endpoint, [&](Writer& number) { number.real(2, score); });
            }
          });
        });
      });
    });
  });
}

std::uint32_t number_of(Side side, std::uint32_t request) {
  return side == Side::kRequest ? request : request + 1;
}

template <class F>
Reply common_reply(std::uint32_t number, const Pick* pick, F&& common) {
  Reply reply;
  Writer out(reply.head);
  out.message(number, [&](Writer& answer) {
    answer.message(1, [&](Writer& response) {
      common(response);
      if (pick != nullptr) response.flag(5, true);
    });
  });
  if (pick != nullptr) write_pick(out, *pick);
  return reply;
}

std::size_t varint_size(std::size_t value) {
  std::size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

void put_varint(std::string& out, std::size_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

}  // namespace

std::string_view name(BodyMode mode) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED", "GRPC"};
  return kNames.at(static_cast<std::size_t>(mode));
}

std::optional<std::string_view> find(const HeaderList& headers, std::string_view name) {
  for (auto it = headers.rbegin(); it != headers.rend(); ++it) {
    if (it->name.size() == name.size() && http::equal_names(it->name, name)) return it->value;
  }
  return std::nullopt;
}

Status read_message(std::string_view bytes, Message& into) {
  auto headers = std::move(into.headers);
  into = {};
  into.headers = std::move(headers);  // their memory
  into.headers.clear();
  Reader reader(bytes);
  for (Field field; reader.next(field);) {
    const auto n = field.number;
    if (field.wire == Wire::kVarint && n == 10) into.observed = field.flag();
    if (field.wire != Wire::kBytes) continue;
    if (n >= 2 && n <= 7) {
      into.side = n % 2 == 0 ? Side::kRequest : Side::kResponse;
      if (n <= 3) {
        into.kind = Message::Kind::kHeaders;
        BATON_TRY(read_headers(field.bytes, into));
      } else if (n <= 5) {
        into.kind = Message::Kind::kBody;
        BATON_TRY(read_body(field.bytes, into));
      } else {
        into.kind = Message::Kind::kTrailers;
      }
    } else if (n == 8) {
      into.metadata = field.bytes;
    } else if (n == 11) {
      BATON_TRY(read_protocol(field.bytes, into));
    }
  }
  return reader.status();
}

std::optional<std::vector<std::string>> metadata_list(std::string_view metadata,
                                                      std::string_view ns, std::string_view key) {
  const auto value = metadata_value(metadata, ns, key);
  const auto list = value ? field_of(*value, 6) : std::nullopt;
  if (!list) return std::nullopt;
  std::vector<std::string> out;
  Reader reader(*list);
  for (Field field; reader.next(field);) {
    if (field.number != 1 || field.wire != Wire::kBytes) continue;
    if (const auto text = field_of(field.bytes, 3)) out.emplace_back(*text);
  }
  return out;
}

std::optional<std::string> metadata_text(std::string_view metadata, std::string_view ns,
                                         std::string_view key) {
  const auto value = metadata_value(metadata, ns, key);
  const auto text = value ? field_of(*value, 3) : std::nullopt;
  if (!text) return std::nullopt;
  return std::string(*text);
}

Reply headers_reply(Side side, const Changes& changes, const Pick* pick) {
  return common_reply(number_of(side, 1), pick,
                      [&](Writer& common) { write_changes(common, changes); });
}

Reply body_reply(Side side, const Changes* changes, const Pick* pick) {
  return common_reply(number_of(side, 3), pick, [&](Writer& common) {
    if (changes != nullptr) write_changes(common, *changes);
  });
}

Reply replaced_body_reply(Side side, std::string_view body, const Changes* changes,
                          const Pick* pick) {
  return common_reply(number_of(side, 3), pick, [&](Writer& common) {
    if (changes != nullptr) write_changes(common, *changes);
    common.message(3, [&](Writer& mutation) { mutation.bytes(1, body); });
  });
}

Reply cleared_body_reply(Side side) {
  return common_reply(number_of(side, 3), nullptr, [](Writer& common) {
    common.message(3, [](Writer& mutation) { mutation.flag(2, true); });
  });
}

// The piece comes last, so that it need not be copied: fields of a message may stand in any order.
Reply streamed_reply(Side side, std::string_view piece, bool end_of_stream) {
  const auto tag = [](std::uint32_t number, Wire wire) {
    return static_cast<char>(number << 3 | static_cast<std::uint32_t>(wire));
  };
  const std::size_t streamed =
      (end_of_stream ? 2 : 0) + (piece.empty() ? 0 : 1 + varint_size(piece.size()) + piece.size());
  const std::size_t mutation = 1 + varint_size(streamed) + streamed;
  const std::size_t common = 1 + varint_size(mutation) + mutation;
  const std::size_t body = 1 + varint_size(common) + common;
  Reply reply;
  auto& out = reply.head;
  const std::array<std::pair<std::uint32_t, std::size_t>, 4> nesting = {
      {{number_of(side, 3), body}, {1, common}, {3, mutation}, {3, streamed}}};
  for (const auto& [number, size] : nesting) {
    out += tag(number, Wire::kBytes);
    put_varint(out, size);
  }
  if (end_of_stream) {
    out += tag(2, Wire::kVarint);
    out += '\1';
  }
  if (piece.empty()) return reply;
  out += tag(1, Wire::kBytes);
  put_varint(out, piece.size());
  reply.body = piece;
  return reply;
}

Reply trailers_reply(Side side) {
  Reply reply;
  Writer(reply.head).message(number_of(side, 5), [](Writer&) {});
  return reply;
}

void tell(Reply& reply, const std::vector<Fact>& facts) {
  if (facts.empty()) return;
  std::string told;
  Writer(told).message(8, [&](Writer& metadata) {
    for (std::size_t i = 0; i < facts.size(); ++i) {
      const auto same = [&](const Fact& other) { return other.ns == facts[i].ns; };
      if (std::any_of(facts.begin(), facts.begin() + static_cast<std::ptrdiff_t>(i), same))
        continue;
      struct_field(metadata, facts[i].ns, [&](Writer& value) {
        value.message(5, [&](Writer& fields) {
          for (const auto& fact : facts) {
            if (!same(fact)) continue;
            struct_field(fields, fact.key, [&](Writer& number) { number.real(2, fact.number); });
          }
        });
      });
    }
  });
  reply.head.insert(0, told);  // what is passed through stands behind the head
}

Reply immediate_reply(int status, std::string_view body,
                      std::optional<std::pair<std::string_view, std::string_view>> header) {
  Reply reply;
  Writer(reply.head).message(7, [&](Writer& answer) {
    answer.message(1, [&](Writer& code) { code.varint(1, static_cast<std::uint64_t>(status)); });
    if (header) {
      answer.message(2, [&](Writer& mutation) {
        mutation.message(1, [&](Writer& option) {
          option.message(1, [&](Writer& value) {
            value.bytes(1, header->first);
            value.bytes(3, header->second);
          });
        });
      });
    }
    answer.bytes(3, body);
  });
  return reply;
}

}  // namespace baton::epp
