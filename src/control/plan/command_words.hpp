#pragma once
// Command, args and VLLM_ADDITIONAL_ARGS of an engine container, as vLLM will read them.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/json.hpp"

namespace baton::plan {

// The strings of a list of the container: "command", "args".
std::vector<std::string> words(const text::json::Value& container, std::string_view list);
void set_words(text::json::Value& container, std::string_view list,
               const std::vector<std::string>& words);

// Whether `flag` is in the text, dashes and underscores being the same to vLLM.
bool mentions(std::string_view text, std::string_view flag);
bool mentions(const std::vector<std::string>& words, std::string_view flag);
// The same for the variable VLLM_ADDITIONAL_ARGS.
bool env_mentions(const text::json::Value& container, std::string_view flag);

// Command, then VLLM_ADDITIONAL_ARGS (split at blanks), then args: the order in which vLLM gets
// them from a preset, where the last one wins.
std::vector<std::string> all_words(const text::json::Value& container);
// `sh -c SCRIPT NAME ARGUMENT...`, be it in command or in args.
struct ShellScript {
  std::string text;                 // without lines that are comments
  std::vector<std::string> beside;  // the other words
  // What is added to args ends up in the last command of the script, and that starts vLLM.
  bool vllm_takes_arguments = false;
  bool reads_twice = false;  // with `eval`: arguments lose a layer of quotes
};
std::optional<ShellScript> shell_script(const text::json::Value& container);
// Whether a command of the script has the flag with a value, other than to look for it.
bool passes(const ShellScript& script, std::string_view flag);
// In single quotes, for a shell.
std::string quoted(std::string_view word);

// The value of the last `--flag=value` or `--flag value`, "" when there is none.
std::string flag_value(const std::vector<std::string>& words, std::string_view flag);

}  // namespace baton::plan
