#include "base/text/yaml.hpp"

#include <fmt/format.h>
#include <libfyaml.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

namespace baton::text::yaml {
namespace {

using json::Array;
using json::Object;
using json::Value;

struct ParserDelete {
  void operator()(fy_parser* p) const { fy_parser_destroy(p); }
};
struct DocumentDelete {
  void operator()(fy_document* d) const { fy_document_destroy(d); }
};
struct DiagDelete {
  void operator()(fy_diag* d) const { fy_diag_destroy(d); }
};

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

// Decimal, 0x, 0o, 0b and leading-zero octal, with underscores, as strconv.ParseInt(_, 0, 64).
std::optional<Value> integer(std::string text) {
  std::erase(text, '_');
  const bool negative = text.starts_with('-');
  std::string_view digits = text;
  if (negative || text.starts_with('+')) digits.remove_prefix(1);
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) base = 16;
  if (digits.starts_with("0o")) base = 8;
  if (digits.starts_with("0b")) base = 2;
  if (base != 10) {
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits[0] == '0') {
    base = 8;
  }
  std::uint64_t magnitude = 0;
  const auto [end, ec] =
      std::from_chars(digits.data(), digits.data() + digits.size(), magnitude, base);
  if (digits.empty() || ec != std::errc() || end != digits.data() + digits.size())
    return std::nullopt;
  if (!negative) return Value(magnitude);
  if (magnitude > std::uint64_t{1} << 63) return std::nullopt;
  return Value(static_cast<std::int64_t>(0 - magnitude));
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
std::optional<Value> floating(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest.empty() || rest.find_first_not_of("0123456789.eE+-") != std::string_view::npos) {
    return std::nullopt;
  }
  if (rest.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
  std::string_view number = text.starts_with('+') ? text.substr(1) : text;
  double d = 0;
  const auto [end, ec] = std::from_chars(number.data(), number.data() + number.size(), d);
  if (ec != std::errc() || end != number.data() + number.size()) return std::nullopt;
  return Value(d);
}

Value resolve_plain(std::string_view text) {
  if (one_of(text, {"", "~", "null", "Null", "NULL"})) return Value();
  if (one_of(text, {"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON", "y", "Y"})) {
    return Value(true);
  }
  if (one_of(text, {"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF", "n", "N"})) {
    return Value(false);
  }
  const char first = text[0];
  if (std::string_view("+-.0123456789").contains(first)) {
    if (auto n = integer(std::string(text))) return *std::move(n);
    if (auto d = floating(text)) return *std::move(d);
    if (one_of(text, {".inf", ".Inf", ".INF", "+.inf"}))
      return Value(std::numeric_limits<double>::infinity());
    if (one_of(text, {"-.inf", "-.Inf", "-.INF"}))
      return Value(-std::numeric_limits<double>::infinity());
  }
  return Value(text);
}

// The first scalar at or under `node`: libfyaml tells positions of scalars only.
const fy_mark* position(fy_node* node) {
  for (int depth = 0; node != nullptr && depth < 64; ++depth) {
    void* cursor = nullptr;
    if (fy_node_get_type(node) == FYNT_SCALAR) {
      fy_token* token = fy_node_get_scalar_token(node);
      return token == nullptr ? nullptr : fy_token_start_mark(token);
    }
    if (fy_node_get_type(node) == FYNT_SEQUENCE) {
      node = fy_node_sequence_iterate(node, &cursor);
    } else {
      fy_node_pair* pair = fy_node_mapping_iterate(node, &cursor);
      node = pair == nullptr ? nullptr : fy_node_pair_key(pair);
    }
  }
  return nullptr;
}

class Converter {
 public:
  Converter(std::string_view source, int line) : source_(source), line_(line) {}

  Result<Value> convert(fy_node* node, std::size_t depth) {
    if (node == nullptr) return Value();
    if (++nodes_ > kMaxNodes)
      return at(node, fmt::format("more than {} nodes after alias expansion", kMaxNodes));
    if (depth > kMaxDepth) return at(node, fmt::format("nested deeper than {}", kMaxDepth));
    if (fy_node_is_alias(node)) {
      fy_node* target = fy_node_resolve_alias(node);
      if (target == nullptr) return at(node, "unknown alias");
      return convert(target, depth + 1);
    }
    switch (fy_node_get_type(node)) {
      case FYNT_SCALAR:
        return scalar(node);
      case FYNT_SEQUENCE:
        return sequence(node, depth);
      case FYNT_MAPPING:
        return mapping(node, depth);
    }
    return at(node, "unknown node");
  }

 private:
  Error at(fy_node* node, std::string_view what) const {
    int line = line_;
    int column = 1;
    if (const fy_mark* mark = position(node)) {
      line = mark->line + 1;
      column = mark->column + 1;
    }
    return invalid(fmt::format("{}:{}:{}: {}", source_, line, column, what));
  }

  static std::string_view text_of(fy_node* node) {
    std::size_t length = 0;
    const char* text = fy_node_get_scalar(node, &length);
    return text == nullptr ? std::string_view() : std::string_view(text, length);
  }

  static Result<Value> scalar(fy_node* node) {
    const std::string_view text = text_of(node);
    std::size_t tag_length = 0;
    const char* tag_text = fy_node_get_tag(node, &tag_length);
    const std::string_view tag = tag_text == nullptr ? "" : std::string_view(tag_text, tag_length);
    if (tag.ends_with(":str")) return Value(text);
    return fy_node_get_style(node) == FYNS_PLAIN ? resolve_plain(text) : Value(text);
  }

  Result<Value> sequence(fy_node* node, std::size_t depth) {
    Array out;
    void* cursor = nullptr;
    while (fy_node* item = fy_node_sequence_iterate(node, &cursor)) {
      BATON_TRY_ASSIGN(Value value, convert(item, depth + 1));
      out.push_back(std::move(value));
    }
    return Value(std::move(out));
  }

  // A plain `<<` merges: the mapping's own keys win, earlier merged mappings beat later ones.
  Result<Value> mapping(fy_node* node, std::size_t depth) {
    Object own;
    std::vector<Object> merged;
    void* cursor = nullptr;
    while (fy_node_pair* pair = fy_node_mapping_iterate(node, &cursor)) {
      fy_node* key = fy_node_pair_key(pair);
      if (key != nullptr && fy_node_is_alias(key)) key = fy_node_resolve_alias(key);
      if (key == nullptr || fy_node_get_type(key) != FYNT_SCALAR)
        return at(node, "a key must be a scalar");
      const std::string_view name = text_of(key);
      BATON_TRY_ASSIGN(Value value, convert(fy_node_pair_value(pair), depth + 1));
      if (name == "<<" && fy_node_get_style(key) == FYNS_PLAIN) {
        if (Object* one = value.if_object()) {
          merged.push_back(std::move(*one));
          continue;
        }
        if (Array* many = value.if_array()) {
          for (Value& item : *many) {
            if (item.if_object() == nullptr) return at(key, "a merge key takes mappings");
            merged.push_back(std::move(*item.if_object()));
          }
          continue;
        }
        return at(key, "a merge key takes a mapping or a list of mappings");
      }
      if (own.find(name) != nullptr) return at(key, fmt::format("duplicate key '{}'", name));
      own.append(std::string(name), std::move(value));
    }
    for (Object& object : merged) {
      for (auto& [name, value] : object) {
        if (own.find(name) == nullptr) own.append(name, std::move(value));
      }
    }
    return Value(std::move(own));
  }

  std::string_view source_;
  int line_;
  std::size_t nodes_ = 0;
};

// The documents of a text, one after the other. Contract: UTF-8 without NUL.
class Reader {
 public:
  using Document = std::unique_ptr<fy_document, DocumentDelete>;

  explicit Reader(std::string_view text) {
    fy_diag_cfg diag_config{};
    fy_diag_cfg_default(&diag_config);
    diag_.reset(fy_diag_create(&diag_config));
    fy_diag_set_collect_errors(diag_.get(), true);
    fy_parse_cfg config{};
    config.flags = static_cast<fy_parse_cfg_flags>(FYPCF_QUIET | FYPCF_COLLECT_DIAG);
    config.diag = diag_.get();
    parser_.reset(fy_parser_create(&config));
    if (parser_ && fy_parser_set_string(parser_.get(), text.data(), text.size()) != 0) {
      parser_.reset();
    }
  }

  explicit operator bool() const { return parser_ != nullptr; }
  // nullptr: no more, or an error.
  Document next() { return Document(fy_parse_load_document(parser_.get())); }
  bool failed() const { return fy_parser_get_stream_error(parser_.get()); }

  Error first_problem(std::string_view source) const {
    void* cursor = nullptr;
    if (const fy_diag_error* e = fy_diag_errors_iterate(diag_.get(), &cursor)) {
      return invalid(fmt::format("{}:{}:{}: {}", source, e->line, e->column, e->msg));
    }
    return invalid(fmt::format("{}: not YAML", source));
  }

 private:
  std::unique_ptr<fy_diag, DiagDelete> diag_;
  std::unique_ptr<fy_parser, ParserDelete> parser_;
};

std::optional<int> line_of_node(fy_node* node) {
  const fy_mark* mark = position(node);
  return mark == nullptr ? std::nullopt : std::optional(mark->line + 1);
}

struct Child {
  fy_node* named = nullptr;  // where it begins: a member's key
  fy_node* value = nullptr;
};
Child child_of(fy_node* node, const std::string& name) {
  if (fy_node_is_sequence(node)) {
    int index = -1;
    const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), index);
    if (failed != std::errc() || end != name.data() + name.size() || index < 0) return {};
    fy_node* item = fy_node_sequence_get_by_index(node, index);
    return {item, item};
  }
  if (!fy_node_is_mapping(node)) return {};
  void* cursor = nullptr;
  while (fy_node_pair* pair = fy_node_mapping_iterate(node, &cursor)) {
    fy_node* key = fy_node_pair_key(pair);
    std::size_t length = 0;
    const char* text = key == nullptr ? nullptr : fy_node_get_scalar(key, &length);
    if (text != nullptr && std::string_view(text, length) == name) {
      return {key, fy_node_pair_value(pair)};
    }
  }
  return {};
}

// How far `pointer` leads from `node`, which begins at `line`. What an alias stands for is not
// followed: the place to change is where it is named.
int deepest_line(fy_node* node, std::string_view pointer, int line) {
  while (pointer.starts_with('/') && node != nullptr) {
    pointer.remove_prefix(1);
    const std::size_t end = std::min(pointer.find('/'), pointer.size());
    std::string name(pointer.substr(0, end));
    for (std::size_t at = name.find('~'); at != name.npos; at = name.find('~', at + 1)) {
      if (at + 1 < name.size()) name.replace(at, 2, name[at + 1] == '1' ? "/" : "~");
    }
    const Child child = child_of(node, name);
    if (child.named == nullptr) break;
    line = line_of_node(child.named).value_or(line);
    node = child.value;
    pointer.remove_prefix(end);
  }
  return line;
}

// ---- emitter ----

bool reads_as_itself(std::string_view text) {
  if (text.empty() || resolve_plain(text).kind() != json::Kind::kString) return false;
  if (std::string_view("!&*-?:,[]{}#|>@`\"'%=<~ ").contains(text.front()) || text.back() == ' ' ||
      text.back() == ':' || text.starts_with("...")) {
    return false;
  }
  if (text.contains(": ") || text.contains(" #")) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
}

// A literal block keeps newlines readable; only for text without odd spaces at line ends.
bool fits_literal_block(std::string_view text) {
  if (!text.contains('\n') || text.front() == ' ' || text.front() == '\n') return false;
  if (text.contains(" \n") || text.contains("\t") || text.contains("\r")) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 || c == '\n'; });
}

void emit(std::string& out, const Value& value, std::size_t indent);

void emit_block(std::string& out, std::string_view text, std::size_t indent) {
  const std::size_t trailing = text.size() - (text.find_last_not_of('\n') + 1);
  out += trailing == 0 ? "|-" : trailing == 1 ? "|" : "|+";
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out += '\n';
    if (end > 0) out.append(indent, ' ').append(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

void emit_scalar(std::string& out, const Value& value, std::size_t indent) {
  const std::string* text = value.if_string();
  if (text == nullptr) {
    json::append(out, value);
  } else if (reads_as_itself(*text)) {
    out += *text;
  } else if (fits_literal_block(*text)) {
    emit_block(out, *text, indent);
  } else {
    json::append_quoted(out, *text);
  }
}

bool is_block(const Value& value) {
  return (value.if_array() != nullptr && !value.if_array()->empty()) ||
         (value.if_object() != nullptr && !value.if_object()->empty());
}

// A key is no block: a reader takes it for one line.
void emit_key(std::string& out, const std::string& key) {
  if (reads_as_itself(key)) {
    out += key;
  } else {
    json::append_quoted(out, key);
  }
}

void emit_members(std::string& out, const Object& object, std::size_t indent) {
  bool first = true;
  for (const auto& [key, member] : object) {
    if (!std::exchange(first, false)) out.append(indent, ' ');
    emit_key(out, key);
    out += ':';
    if (!is_block(member)) {
      out += ' ';
      emit_scalar(out, member, indent + 2);
      out += '\n';
    } else {
      const std::size_t inner = member.is_array() ? indent : indent + 2;
      out += '\n';
      out.append(inner, ' ');
      emit(out, member, inner);
    }
  }
}

void emit(std::string& out, const Value& value, std::size_t indent) {
  if (!is_block(value)) {
    emit_scalar(out, value, indent);
    out += '\n';
  } else if (const Object* object = value.if_object()) {
    emit_members(out, *object, indent);
  } else {
    bool first = true;
    for (const Value& item : *value.if_array()) {
      if (!std::exchange(first, false)) out.append(indent, ' ');
      out += "- ";
      emit(out, item, indent + 2);
    }
  }
}

}  // namespace

Result<std::vector<Document>> parse_all(std::string_view text, std::string_view source) {
  if (text.size() > kMaxText) {
    return invalid(
        fmt::format("{}: {} bytes is over the limit of {}", source, text.size(), kMaxText));
  }
  if (!simdjson::validate_utf8(text.data(), text.size())) {  // some of it hangs libfyaml
    return invalid(fmt::format("{}: not UTF-8", source));
  }
  if (const std::size_t nul = text.find('\0'); nul != text.npos) {  // libfyaml would stop there
    const auto line = 1 + std::ranges::count(text.substr(0, nul), '\n');
    return invalid(fmt::format("{}:{}: a NUL byte", source, line));
  }
  std::vector<Document> out;
  if (text.empty()) return out;

  Reader reader(text);
  if (!reader) return internal("libfyaml refused to start");
  while (const auto document = reader.next()) {
    fy_node* root = fy_document_root(document.get());
    if (root == nullptr) continue;
    const int line = line_of_node(root).value_or(1);
    Converter converter(source, line);
    BATON_TRY_ASSIGN(Value value, converter.convert(root, 0));
    if (!value.is_null()) out.push_back({std::move(value), line});
  }
  if (reader.failed()) return reader.first_problem(source);
  return out;
}

int line_of(std::string_view text, int line, std::string_view pointer) {
  Reader reader(text);
  if (!reader) return line;
  while (const auto document = reader.next()) {
    fy_node* root = fy_document_root(document.get());
    if (root != nullptr && line_of_node(root).value_or(1) == line) {
      return deepest_line(root, pointer, line);
    }
  }
  return line;
}

Result<json::Value> parse(std::string_view text, std::string_view source) {
  BATON_TRY_ASSIGN(auto documents, parse_all(text, source));
  if (documents.size() != 1) {
    return invalid(
        fmt::format("{}: expected one YAML document, found {}", source, documents.size()));
  }
  return std::move(documents[0].value);
}

std::string dump(const json::Value& value) {
  std::string out;
  if (is_block(value)) {
    emit(out, value, 0);
  } else {
    emit_scalar(out, value, 2);  // the lines of a literal block stand to the right of the document
    out += '\n';
  }
  return out;
}

}  // namespace baton::text::yaml
