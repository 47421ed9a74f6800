#pragma once
// Envoy's side of an ext_proc stream, for tests: writes ProcessingRequests, reads what comes back.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/grpc/proto.hpp"
#include "routing/epp/messages.hpp"

namespace baton::epp::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

struct Extra {
  std::string metadata;                       // a Metadata message
  std::optional<BodyMode> request, response;  // protocol_config
};

inline void write_extra(proto::Writer& out, const Extra& extra) {
  if (!extra.metadata.empty()) out.bytes(8, extra.metadata);
  if (extra.request) {
    out.message(11, [&](proto::Writer& config) {
      config.varint(1, static_cast<std::uint64_t>(*extra.request));
      config.varint(2, static_cast<std::uint64_t>(*extra.response));
    });
  }
}

inline std::string headers(Side side, const Fields& fields, bool end = false,
                           const Extra& extra = {}) {
  std::string out;
  proto::Writer writer(out);
  writer.message(side == Side::kRequest ? 2 : 3, [&](proto::Writer& message) {
    message.message(1, [&](proto::Writer& map) {
      for (const auto& [name, value] : fields) {
        map.message(1, [&](proto::Writer& header) {
          header.bytes(1, name);
          header.bytes(3, value);
        });
      }
    });
    if (end) message.flag(3, true);
    message.bytes(99, "a field of a later version");
  });
  write_extra(writer, extra);
  return out;
}

inline std::string body(Side side, std::string_view bytes, bool end, const Extra& extra = {}) {
  std::string out;
  proto::Writer writer(out);
  writer.message(side == Side::kRequest ? 4 : 5, [&](proto::Writer& message) {
    message.bytes(1, bytes);
    if (end) message.flag(2, true);
  });
  write_extra(writer, extra);
  return out;
}

inline std::string trailers(Side side) {
  std::string out;
  proto::Writer(out).message(side == Side::kRequest ? 6 : 7, [](proto::Writer&) {});
  return out;
}

// Metadata with filter_metadata[ns][key] = the value, already a Value message.
inline std::string metadata(std::string_view ns, std::string_view key, std::string_view value) {
  std::string out;
  proto::Writer(out).message(1, [&](proto::Writer& entry) {
    entry.bytes(1, ns);
    entry.message(2, [&](proto::Writer& fields) {
      fields.message(1, [&](proto::Writer& field) {
        field.bytes(1, key);
        field.bytes(2, value);
      });
    });
  });
  return out;
}

inline std::string list_value(const std::vector<std::string>& strings, bool with_number = false) {
  std::string out;
  proto::Writer(out).message(6, [&](proto::Writer& list) {
    if (with_number) list.message(1, [](proto::Writer& value) { value.real(2, 7); });
    for (const auto& text : strings) {
      list.message(1, [&](proto::Writer& value) { value.bytes(3, text); });
    }
  });
  return out;
}

// One ProcessingResponse, taken apart.
struct Answer {
  enum class Kind : std::uint8_t {
    kNone,
    kRequestHeaders,
    kResponseHeaders,
    kRequestBody,
    kResponseBody,
    kRequestTrailers,
    kResponseTrailers,
    kImmediate
  };
  Kind kind = Kind::kNone;
  Fields set;
  std::vector<std::string> removed;
  bool clear_route_cache = false;
  std::optional<std::string> streamed, replaced;
  bool end_of_stream = false;
  bool cleared = false;
  int status = 0;
  std::string text;      // of an immediate response
  std::string metadata;  // the Struct

  std::optional<std::string> header(std::string_view name) const {
    for (const auto& [key, value] : set) {
      if (key == name) return value;
    }
    return std::nullopt;
  }
};

namespace detail {

template <class F>
void each(std::string_view message, F&& act) {
  proto::Reader reader(message);
  for (proto::Field field; reader.next(field);) act(field);
}

inline void read_mutation(std::string_view bytes, Answer& into) {
  each(bytes, [&](const proto::Field& f) {
    if (f.number == 2) into.removed.emplace_back(f.bytes);
    if (f.number != 1) return;
    each(f.bytes, [&](const proto::Field& option) {
      if (option.number != 1) return;
      std::pair<std::string, std::string> header;
      each(option.bytes, [&](const proto::Field& part) {
        if (part.number == 1) header.first = part.bytes;
        if (part.number == 3) header.second = part.bytes;
      });
      into.set.push_back(std::move(header));
    });
  });
}

inline void read_common(std::string_view bytes, Answer& into) {
  each(bytes, [&](const proto::Field& f) {
    if (f.number == 2) read_mutation(f.bytes, into);
    if (f.number == 5) into.clear_route_cache = f.flag();
    if (f.number != 3) return;
    each(f.bytes, [&](const proto::Field& body) {
      if (body.number == 1) into.replaced = body.bytes;
      if (body.number == 2) into.cleared = body.flag();
      if (body.number != 3) return;
      into.streamed = "";
      each(body.bytes, [&](const proto::Field& piece) {
        if (piece.number == 1) into.streamed = piece.bytes;
        if (piece.number == 2) into.end_of_stream = piece.flag();
      });
    });
  });
}

}  // namespace detail

inline Answer read_answer(std::string_view bytes) {
  Answer out;
  detail::each(bytes, [&](const proto::Field& field) {
    if (field.number == 8) out.metadata = field.bytes;
    if (field.number > 7) return;
    out.kind = static_cast<Answer::Kind>(field.number);
    detail::each(field.bytes, [&](const proto::Field& inner) {
      if (field.number <= 4 && inner.number == 1) detail::read_common(inner.bytes, out);
      if (field.number != 7) return;
      if (inner.number == 1) {
        detail::each(inner.bytes, [&](const proto::Field& code) {
          out.status = static_cast<int>(code.number_value);
        });
      }
      if (inner.number == 2) detail::read_mutation(inner.bytes, out);
      if (inner.number == 3) out.text = inner.bytes;
    });
  });
  return out;
}

}  // namespace baton::epp::testing
