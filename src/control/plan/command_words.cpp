#include "control/plan/command_words.hpp"

#include <algorithm>
#include <sstream>

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
