#include "control/plan/command_words.hpp"

#include <algorithm>
#include <iterator>
#include <sstream>

#include "base/core/trim.hpp"
#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

std::string dashed(std::string_view text) {
  std::string out(text);
  std::ranges::replace(out, '_', '-');
  return out;
}

std::string additional(const Value& container) {
  const Value* variable = named(container.find("env"), "VLLM_ADDITIONAL_ARGS");
  return variable == nullptr ? "" : std::string(variable->string_at({"value"}));
}

bool is_shell(std::string_view program) {
  program.remove_prefix(program.rfind('/') + 1);
  return program == "bash" || program == "sh";
}

// The place of SCRIPT behind `-c` (or `-ec` …), 0 when there is none.
std::size_t script_place(const std::vector<std::string>& words) {
  if (words.empty() || !is_shell(words[0])) return 0;
  for (std::size_t i = 1; i + 1 < words.size(); ++i) {
    const std::string& option = words[i];
    if (option.starts_with('-') && !option.starts_with("--") && option.ends_with('c')) return i + 1;
    const std::string& before = words[i - 1];  // -o, or -euo
    const bool of_option = (before.starts_with('-') || before.starts_with('+')) &&
                           !before.starts_with("--") && before.ends_with('o');
    if (!option.starts_with('-') && !option.starts_with('+') && !of_option) return 0;
  }
  return 0;
}

std::string without_comments(const std::string& script) {
  std::string out;
  std::istringstream lines(script);
  for (std::string line; std::getline(lines, line);) {
    if (trim(line).starts_with('#')) continue;
    out += line;
    out += '\n';
  }
  return out;
}

std::vector<std::string> split(const std::string& command) {
  std::istringstream in(command);
  return {std::istream_iterator<std::string>(in), {}};
}

// The commands of a script, as far as one sees without a shell: parted at line ends, and at what
// ends a command outside quotes.
std::vector<std::string> commands_of(std::string_view script) {
  std::vector<std::string> out;
  std::string command;
  const auto end = [&] {
    if (!split(command).empty()) out.push_back(std::move(command));
    command.clear();
  };
  char quote = 0;
  for (std::size_t i = 0; i < script.size(); ++i) {
    const char c = script[i];
    if (c == '\\' && quote != '\'' && i + 1 < script.size()) {
      ++i;
      if (script[i] == '\n') {
        command += ' ';
      } else {
        command.append({c, script[i]});
      }
      continue;
    }
    const bool redirects = c == '&' && command.ends_with('>');
    if (c == '\n' || (quote == 0 && !redirects && std::string_view(";|&").contains(c))) {
      quote = 0;
      end();
      continue;
    }
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
    command += c;
  }
  end();
  return out;
}

bool starts_vllm(std::string_view text) {
  return text.contains("vllm serve") || text.contains("vllm.entrypoints");
}

// Whether it looks for something in words, rather than passes them on.
bool asks(const std::string& command) {
  if (trim(command).starts_with('*')) return true;  // a pattern of `case`
  return std::ranges::any_of(split(command), [](const std::string& word) {
    return word == "[" || word == "[[" || word == "test" || word == "grep" || word == "case" ||
           word == "echo";
  });
}

}  // namespace

std::vector<std::string> words(const Value& container, std::string_view list) {
  std::vector<std::string> out;
  const Value* found = container.find(list);
  if (found == nullptr || !found->is_array()) return out;
  for (const Value& item : *found->if_array()) {
    if (item.is_string()) out.push_back(*item.if_string());
  }
  return out;
}

void set_words(Value& container, std::string_view list, const std::vector<std::string>& words) {
  container[list] = text::json::Array(words.begin(), words.end());
}

bool mentions(std::string_view text, std::string_view flag) {
  return dashed(text).contains(dashed(flag));
}

bool mentions(const std::vector<std::string>& words, std::string_view flag) {
  return std::ranges::any_of(words, [&](const std::string& word) { return mentions(word, flag); });
}

bool env_mentions(const Value& container, std::string_view flag) {
  return mentions(additional(container), flag);
}

std::vector<std::string> all_words(const Value& container) {
  std::vector<std::string> out = words(container, "command");
  std::istringstream extra(additional(container));
  for (std::string word; extra >> word;) out.push_back(std::move(word));
  for (std::string& word : words(container, "args")) out.push_back(std::move(word));
  return out;
}

std::optional<ShellScript> shell_script(const Value& container) {
  std::vector<std::string> all = words(container, "command");
  for (std::string& word : words(container, "args")) all.push_back(std::move(word));
  const std::size_t place = script_place(all);
  if (place == 0) return std::nullopt;
  ShellScript out;
  out.text = without_comments(all[place]);
  all.erase(all.begin() + static_cast<std::ptrdiff_t>(place));
  // The first word behind the script is the shell's name, no argument.
  const bool has_name = all.size() > place;
  const std::vector<std::string> commands = commands_of(out.text);
  const std::string last = commands.empty() ? "" : commands.back();
  const std::string_view end = trim(last, " \t\r\"");
  const bool takes_arguments = has_name && (end.ends_with("$@") || end.ends_with("${@}"));
  std::string started = last;
  for (const std::string& word : all) started += " " + word;
  out.vllm_takes_arguments = takes_arguments && starts_vllm(started);
  out.reads_twice = !last.empty() && split(last)[0] == "eval";
  out.beside = std::move(all);
  return out;
}

bool passes(const ShellScript& script, std::string_view flag) {
  const std::string wanted = dashed(flag);
  for (const std::string& command : commands_of(script.text)) {
    if (asks(command)) continue;
    const std::string text = dashed(command);
    for (std::size_t i = text.find(wanted); i != std::string::npos; i = text.find(wanted, i + 1)) {
      std::string_view rest = std::string_view(text).substr(i + wanted.size());
      while (rest.starts_with('"') || rest.starts_with('\'')) rest.remove_prefix(1);
      if (rest.starts_with(' ') || rest.starts_with('\t')) return true;
      if (rest.starts_with('=') && !rest.starts_with("=*")) return true;
    }
  }
  return false;
}

std::string quoted(std::string_view word) {
  std::string out = "'";
  for (const char c : word) {
    if (c == '\'') {
      out += R"('\'')";
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string flag_value(const std::vector<std::string>& words, std::string_view flag) {
  const std::string wanted = dashed(flag);
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    if (dashed(std::string_view(words[i]).substr(0, equals)) != wanted) continue;
    if (equals != std::string::npos) {
      out = words[i].substr(equals + 1);
    } else if (i + 1 < words.size()) {
      out = words[i + 1];
    }
  }
  return out;
}

}  // namespace baton::plan
