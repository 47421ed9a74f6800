#include "control/plan/picker_flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/plan/objects.hpp"

namespace baton::plan {
namespace {

using text::json::Array;

constexpr std::string_view kLists[] = {"command", "args"};

ConfigSource source_of(std::string_view flag_name) {
  if (flag_name == "config-text" || flag_name == "configText") return ConfigSource::kText;
  if (flag_name == "config-file" || flag_name == "configFile") return ConfigSource::kFile;
  return ConfigSource::kNone;
}

std::string_view text_of(const Value& word) {
  const std::string* text = word.if_string();
  return text == nullptr ? std::string_view() : std::string_view(*text);
}

struct FlagPlace {
  Array* words = nullptr;
  std::size_t flag = 0;  // index of the flag's word
  bool joined = false;   // "--config-text=…"
  ConfigSource source = ConfigSource::kNone;
};

// args come after command on the command line, and the last flag counts.
FlagPlace config_place(Value& container) {
  FlagPlace found;
  for (const std::string_view list : kLists) {
    Value* value = container.find(list);
    Array* words = value == nullptr ? nullptr : value->if_array();
    for (std::size_t i = 0; words != nullptr && i < words->size(); ++i) {
      const auto flag = flag_word(text_of((*words)[i]));
      if (!flag) continue;
      const ConfigSource source = source_of(flag->name);
      const bool complete = flag->value || (i + 1 < words->size() && (*words)[i + 1].is_string());
      if (source == ConfigSource::kNone || !complete) continue;
      found = {words, i, flag->value.has_value(), source};
      if (!flag->value) ++i;
    }
  }
  return found;
}

}  // namespace

std::optional<FlagWord> flag_word(std::string_view word) {
  if (!word.starts_with('-')) return std::nullopt;
  word.remove_prefix(word.starts_with("--") ? 2 : 1);
  if (word.empty() || word.starts_with('-')) return std::nullopt;
  const std::size_t equals = word.find('=');
  if (equals == std::string_view::npos) return FlagWord{word, std::nullopt};
  return FlagWord{word.substr(0, equals), word.substr(equals + 1)};
}

bool has_flag(const Value& container, std::string_view name) {
  return std::ranges::any_of(kLists, [&](std::string_view list) {
    return std::ranges::any_of(items(container.find(list)), [&](const Value& word) {
      const auto flag = flag_word(text_of(word));
      return flag && flag->name == name;
    });
  });
}

ConfigFlag config_flag(const Value& container) {
  Value copy = container;
  const FlagPlace place = config_place(copy);
  if (place.source == ConfigSource::kNone) return {};
  const std::string_view word = text_of((*place.words)[place.flag]);
  if (place.joined) {
    const std::size_t equals = word.find('=');
    return {place.source, std::string(word.substr(0, equals)),
            std::string(word.substr(equals + 1))};
  }
  return {place.source, std::string(word), *(*place.words)[place.flag + 1].if_string()};
}

void set_config_text(Value& container, std::string text) {
  const FlagPlace place = config_place(container);
  Value& word = (*place.words)[place.flag];
  if (!place.joined) {
    (*place.words)[place.flag + 1] = std::move(text);
    return;
  }
  const std::string_view flag = text_of(word);
  word = fmt::format("{}={}", flag.substr(0, flag.find('=')), text);
}

Result<std::map<std::string, std::string>> take_flags(Value& container,
                                                      std::span<const KnownFlag> flags) {
  std::map<std::string, std::string> taken;
  for (const std::string_view list : kLists) {
    Value* value = container.find(list);
    Array* words = value == nullptr ? nullptr : value->if_array();
    if (words == nullptr) continue;
    Array kept;
    for (std::size_t i = 0; i < words->size(); ++i) {
      const auto flag = flag_word(text_of((*words)[i]));
      const bool is_config = flag && source_of(flag->name) != ConfigSource::kNone;
      if (is_config && !flag->value && i + 1 < words->size()) {  // a text may look like a flag
        kept.push_back((*words)[i]);
        kept.push_back((*words)[++i]);
        continue;
      }
      const auto known =
          !flag ? flags.end() : std::ranges::find(flags, flag->name, &KnownFlag::name);
      if (known == flags.end()) {
        kept.push_back((*words)[i]);
      } else if (flag->value) {
        taken[std::string(known->name)] = *flag->value;
      } else if (known->kind == FlagKind::kBool) {
        taken[std::string(known->name)] = "true";
      } else if (i + 1 < words->size()) {
        taken[std::string(known->name)] = text_of((*words)[++i]);
      } else {
        return invalid(fmt::format("--{} has no value", known->name));
      }
    }
    *words = std::move(kept);
  }
  return taken;
}

}  // namespace baton::plan
