#include "routing/watch/model_list.hpp"

#include "base/text/json.hpp"

namespace baton::watch {

std::optional<std::vector<std::string>> read_model_list(std::string_view json) {
  const auto parsed = text::json::parse(json);
  if (!parsed) return std::nullopt;
  const auto* data = parsed->find("data");
  const auto* items = data == nullptr ? nullptr : data->if_array();
  if (items == nullptr) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& item : *items) {
    auto id = std::string(item.string_at({"id"}));
    if (id.empty() || id.size() > kMostModelName || out.size() == kMostModels) continue;
    out.push_back(std::move(id));
  }
  return out;
}

}  // namespace baton::watch
