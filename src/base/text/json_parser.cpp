#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "base/text/json.hpp"

namespace baton::text::json {
namespace {

using simdjson::dom::element;
using simdjson::dom::element_type;

// Up to here each key is compared with those before it; above, all are sorted once.
constexpr std::size_t kFewMembers = 16;

Result<Value> convert(const element& e, Duplicates duplicates) {
  switch (e.type()) {
    case element_type::NULL_VALUE:
      return Value();
    case element_type::BOOL:
      return Value(e.get_bool().value_unsafe());
    case element_type::INT64:
      return Value(e.get_int64().value_unsafe());
    case element_type::UINT64:
      return Value(e.get_uint64().value_unsafe());
    case element_type::DOUBLE:
      return Value(e.get_double().value_unsafe());
    case element_type::STRING:
      return Value(std::string(e.get_string().value_unsafe()));
    case element_type::ARRAY: {
      Array out;
      const simdjson::dom::array items = e.get_array().value_unsafe();
      out.reserve(items.size());
      for (const element item : items) {
        BATON_TRY_ASSIGN(Value value, convert(item, duplicates));
        out.push_back(std::move(value));
      }
      return Value(std::move(out));
    }
    case element_type::OBJECT: {
      Object out;
      const simdjson::dom::object members = e.get_object().value_unsafe();
      out.reserve(members.size());
      std::vector<std::string_view> keys;
      const bool few = members.size() <= kFewMembers;
      for (const auto member : members) {
        BATON_TRY_ASSIGN(Value value, convert(member.value, duplicates));
        if (!few) keys.push_back(member.key);
        Value* const before = few ? out.find(member.key) : nullptr;
        if (before == nullptr) {
          out.append(std::string(member.key), std::move(value));
        } else if (duplicates == Duplicates::kReject) {
          return invalid(fmt::format("duplicate key '{}'", std::string_view(member.key)));
        } else {
          *before = std::move(value);
        }
      }
      std::sort(keys.begin(), keys.end());
      const auto twice = std::adjacent_find(keys.begin(), keys.end());
      if (twice == keys.end()) return Value(std::move(out));
      if (duplicates == Duplicates::kReject)
        return invalid(fmt::format("duplicate key '{}'", *twice));
      Object last;
      for (auto& [key, value] : out) last.set(key, std::move(value));
      return Value(std::move(last));
    }
  }
  return internal("unknown JSON element");
}

// The root stays valid until the parser's next document.
Result<element> load(simdjson::dom::parser& parser, std::string_view text) {
  if (text.size() > kMaxText) {
    return invalid(
        fmt::format("JSON text of {} bytes is over the limit of {}", text.size(), kMaxText));
  }
  if (parser.capacity() < text.size() || parser.max_depth() != kMaxDepth) {
    if (const auto e = parser.allocate(text.size(), kMaxDepth)) {
      return exhausted(simdjson::error_message(e));
    }
  }
  element root;
  if (const auto e = parser.parse(text.data(), text.size()).get(root)) {
    return invalid(fmt::format("not JSON: {}", simdjson::error_message(e)));
  }
  return root;
}

}  // namespace

Result<Value> parse(std::string_view text, Duplicates duplicates) {
  simdjson::dom::parser parser;
  BATON_TRY_ASSIGN(const element root, load(parser, text));
  return convert(root, duplicates);
}

Keep Keep::only(const std::vector<std::string_view>& paths) {
  Keep out;
  for (const auto path : paths) out.insert(path);
  return out;
}

Keep Keep::all_but(const std::vector<std::string_view>& paths) {
  Keep out = only(paths);
  out.listed_ = Listed::kDropped;
  return out;
}

void Keep::insert(std::string_view path) {
  std::vector<Node>* level = &roots_;
  std::string name;
  // False when an earlier path stands for all that is below.
  const auto descend = [&](bool last) {
    auto at = std::find_if(level->begin(), level->end(),
                           [&](const Node& node) { return node.name == name; });
    const bool known = at != level->end();
    if (!known) at = level->insert(level->end(), Node{name, {}});
    if (last) at->members.clear();
    level = &at->members;
    name.clear();
    return !known || !level->empty();
  };
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' && i + 1 < path.size()) {
      name += path[++i];
    } else if (path[i] != '.') {
      name += path[i];
    } else if (!descend(false)) {
      return;
    }
  }
  descend(true);
}

struct Parser::Impl {
  simdjson::dom::parser parser;

  static Result<Value> kept(const element& e, const Keep* keep) {
    return keep == nullptr ? convert(e, Duplicates::kKeepLast)
                           : pruned(e, keep->roots_, keep->listed_);
  }

  static Result<Value> pruned(const element& e, const std::vector<Keep::Node>& nodes,
                              Keep::Listed listed) {
    if (e.type() == element_type::ARRAY) {
      Array out;
      const simdjson::dom::array items = e.get_array().value_unsafe();
      out.reserve(items.size());
      for (const element item : items) {
        BATON_TRY_ASSIGN(Value value, pruned(item, nodes, listed));
        out.push_back(std::move(value));
      }
      return Value(std::move(out));
    }
    if (e.type() != element_type::OBJECT) return convert(e, Duplicates::kKeepLast);
    Object out;
    for (const auto member : simdjson::dom::object(e.get_object().value_unsafe())) {
      const auto node = std::find_if(nodes.begin(), nodes.end(),
                                     [&](const Keep::Node& n) { return n.name == member.key; });
      const bool whole = node != nodes.end() && node->members.empty();
      if (listed == Keep::Listed::kKept ? node == nodes.end() : whole) continue;
      BATON_TRY_ASSIGN(Value value, whole || node == nodes.end()
                                        ? convert(member.value, Duplicates::kKeepLast)
                                        : pruned(member.value, node->members, listed));
      out.set(member.key, std::move(value));
    }
    return Value(std::move(out));
  }
};

Parser::Parser() : impl_(std::make_unique<Impl>()) {}
Parser::~Parser() = default;

Result<Value> Parser::parse(std::string_view text, const Keep* keep) {
  BATON_TRY_ASSIGN(const element root, load(impl_->parser, text));
  return Impl::kept(root, keep);
}

Result<Value> Parser::parse_around(std::string_view text, std::string_view name, const Keep* keep) {
  BATON_TRY_ASSIGN(const element root, load(impl_->parser, text));
  if (root.type() != element_type::OBJECT) return convert(root, Duplicates::kKeepLast);
  Object out;
  for (const auto member : simdjson::dom::object(root.get_object().value_unsafe())) {
    BATON_TRY_ASSIGN(Value value, Impl::kept(member.value, member.key == name ? keep : nullptr));
    out.set(member.key, std::move(value));
  }
  return Value(std::move(out));
}

}  // namespace baton::text::json
