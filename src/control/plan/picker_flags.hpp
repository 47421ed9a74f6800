#pragma once
// The command line of a picker container: Go flags ("--name value", "-name=value") in its command
// and args.

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::plan {

using text::json::Value;

struct FlagWord {
  std::string_view name;                  // without dashes
  std::optional<std::string_view> value;  // behind '='
};
// nullopt: no flag.
std::optional<FlagWord> flag_word(std::string_view word);

bool has_flag(const Value& container, std::string_view name);

enum class ConfigSource : std::uint8_t { kNone, kText, kFile };
// Where the container's configuration comes from, in any spelling of the flags.
struct ConfigFlag {
  ConfigSource source = ConfigSource::kNone;
  std::string flag;   // the word without its value: "-configText"
  std::string value;  // the text, or the file's name
};
// The last one counts. A flag without a value is none.
ConfigFlag config_flag(const Value& container);
// Replaces the text of the flag that config_flag() found. Contract: its source is kText.
void set_config_text(Value& container, std::string text);

enum class FlagKind : bool { kValue, kBool };
struct KnownFlag {
  std::string_view name;
  FlagKind kind = FlagKind::kValue;
};
// Takes the flags out of command and args, with their values ("true" for a bare kBool one).
// kInvalid: a kValue flag that ends the list.
Result<std::map<std::string, std::string>> take_flags(Value& container,
                                                      std::span<const KnownFlag> flags);

}  // namespace baton::plan
