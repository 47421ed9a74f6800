#pragma once
// What `baton sidecar` was given, as text under today's names: a flag, else the YAML
// configuration, else the environment, else the default. The table of flags itself.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::cli {

// 1..65535.
std::optional<std::uint16_t> parse_port(std::string_view text);

using Environment = std::function<std::optional<std::string>(const char*)>;

// Where a value came from.
enum class Origin : std::uint8_t { kDefault, kEnvironment, kFile, kFlag };

class SidecarFlags {
 public:
  // Arguments without the program's name, of both generations of llm-d's sidecar (one dash or two).
  // kInvalid: an unknown flag or key, a wrong configuration. kUnsupported: one that asks for
  // something Baton does not have. nullopt after --help, which is printed.
  static Result<std::optional<SidecarFlags>> parse(std::vector<std::string> arguments,
                                                   const Environment& environment);

  const std::string& get(std::string_view name) const { return at(name).text; }
  Origin origin(std::string_view name) const { return at(name).origin; }
  bool given(std::string_view name) const { return origin(name) != Origin::kDefault; }

  // Typed; kInvalid names the flag.
  Result<bool> flag(std::string_view name) const;
  Result<std::uint16_t> port(std::string_view name, std::uint16_t least) const;
  Result<std::int64_t> count(std::string_view name, std::int64_t least, std::int64_t most) const;
  Result<double> share(std::string_view name) const;  // 0..1
  Result<Nanos> duration(std::string_view name, Nanos least) const;
  std::vector<std::string> list(std::string_view name) const;  // commas, no empty parts

  // All values with where they came from, as YAML.
  std::string describe() const;

 private:
  struct Value {
    std::string text;
    Origin origin = Origin::kDefault;
  };
  const Value& at(std::string_view name) const;
  Status take_yaml(const text::json::Value& document, std::string_view source);
  Status check_unsupported() const;
  Status take_older_names();

  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace baton::cli
