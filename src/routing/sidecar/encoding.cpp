#include "routing/sidecar/encoding.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "routing/sidecar/connectors/primed.hpp"

namespace baton::sidecar {

namespace {

using text::json::Value;

constexpr std::string_view kEcParams = "ec_transfer_params";

bool is_media(std::string_view type) {
  return type == "image_url" || type == "video_url" || type == "audio_url" || type == "input_audio";
}

// {"image_url": {"url": …}}, or {"image_url": "…"}; "" for audio, which is never the same twice.
std::string_view url_of(const Value& part, std::string_view type) {
  if (type != "image_url" && type != "video_url") return "";
  const Value* holder = part.find(type);
  if (holder == nullptr) return "";
  const std::string* plain = holder->if_string();
  return plain != nullptr ? std::string_view(*plain) : holder->string_at({"url"});
}

}  // namespace

std::optional<EcConnector> parse_ec_connector(std::string_view name) {
  if (name.empty()) return EcConnector::kNone;
  if (name == "ec-example") return EcConnector::kExample;
  if (name == "ec-nixl") return EcConnector::kNixl;
  return std::nullopt;
}

Result<std::vector<std::string>> media_items(const openai::BodyIndex& body) {
  std::vector<std::string> items;
  auto raw = body.find("messages");
  auto messages = raw ? text::json::parse(*raw) : Result<Value>(Value());
  if (!messages || !messages->is_array()) return items;
  std::set<std::pair<std::string, std::string>> seen;
  for (const Value& message : *messages->if_array()) {
    const Value* content = message.find("content");
    if (content == nullptr || !content->is_array()) continue;
    for (const Value& part : *content->if_array()) {
      const std::string type(part.string_at({"type"}));
      if (!is_media(type)) continue;
      const std::string url(url_of(part, type));
      if (!url.empty() && !seen.insert({type, url}).second) continue;
      if (items.size() == kMaxItems) {
        return exhausted(fmt::format("more than {} images, videos and audios", kMaxItems));
      }
      items.push_back(text::json::dump(part));
    }
  }
  return items;
}

std::string encode_body(const openai::BodyIndex& body, std::string_view item) {
  std::vector<openai::Edit> edits = sealed(primed(Api::kChat, body, Caps::kPresent), body);
  edits.push_back({"messages", fmt::format(R"([{{"role":"user","content":[{}]}}])", item)});
  return body.splice(edits).join();
}

bool Encoded::add(std::string_view answer) {
  if (connector_ != EcConnector::kNixl) return true;
  auto body = text::json::parse(answer);
  const Value* told = body ? body->find(kEcParams) : nullptr;
  const auto* members = told == nullptr ? nullptr : told->if_object();
  if (members == nullptr || members->empty()) return false;
  for (const auto& [key, value] : *members) params_.set(key, value);
  return true;
}

std::vector<openai::Edit> Encoded::edits() const {
  std::vector<openai::Edit> out = {{"cache_hit_threshold", "0"}};
  if (!params_.empty()) out.push_back({kEcParams, text::json::dump(Value(params_))});
  return out;
}

}  // namespace baton::sidecar
