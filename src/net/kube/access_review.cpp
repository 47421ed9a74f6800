#include "net/kube/access_review.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/core/assert.hpp"
#include "net/http/message.hpp"

namespace baton::kube {
namespace {

using Members = text::json::Object;
using text::json::Value;
using Verdict = AccessReview::Verdict;

Value token_review(std::string_view token) {
  return Members{{"apiVersion", "authentication.k8s.io/v1"},
                 {"kind", "TokenReview"},
                 {"spec", Members{{"token", token}}}};
}

// As the user that a TokenReview named.
Value subject_review(const Value& user, std::string_view verb, std::string_view path) {
  Members spec{{"nonResourceAttributes", Members{{"path", path}, {"verb", verb}}},
               {"user", user.string_at({"username"})}};
  if (const auto* uid = user.find("uid")) spec.set("uid", *uid);
  if (const auto* groups = user.find("groups")) spec.set("groups", *groups);
  if (const auto* extra = user.find("extra")) spec.set("extra", *extra);
  return Members{{"apiVersion", "authorization.k8s.io/v1"},
                 {"kind", "SubjectAccessReview"},
                 {"spec", std::move(spec)}};
}

bool says(const Value& answer, std::string_view member) {
  const auto* found = answer.find_path({"status", member});
  return found != nullptr && found->if_bool() != nullptr && *found->if_bool();
}

}  // namespace

AccessReview::Answer AccessReview::review(std::string_view token, std::string_view verb,
                                          std::string_view path, Deadline deadline) {
  const auto who = cluster_.create(token_review(token), DryRun::kNo, deadline);
  if (!who) return {Verdict::kFailed, "TokenReview: " + who.error().message()};
  const auto* user = who->find_path({"status", "user"});
  if (!says(*who, "authenticated") || user == nullptr) {
    return {Verdict::kUnknown, "the token is nobody's"};
  }
  const auto may = cluster_.create(subject_review(*user, verb, path), DryRun::kNo, deadline);
  if (!may) return {Verdict::kFailed, "SubjectAccessReview: " + may.error().message()};
  if (says(*may, "allowed") && !says(*may, "denied")) return {Verdict::kAllowed, ""};
  return {Verdict::kDenied,
          fmt::format("{} may not {} {}", user->string_at({"username"}), verb, path)};
}

AccessReview::Answer AccessReview::ask(std::string_view token, std::string_view verb,
                                       std::string_view path, Deadline deadline) {
  if (token.empty()) return {Verdict::kUnknown, "a bearer token is needed"};
  if (token.size() > kMaxToken) return {Verdict::kUnknown, "the token is too long"};
  const auto text = fmt::format("{}\n{}\n{}", verb, path, token);
  Key key{};
  unsigned int size = 0;
  BATON_ASSERT(EVP_Digest(text.data(), text.size(), key.data(), &size, EVP_sha256(), nullptr) == 1);
  {
    const std::lock_guard lock(mutex_);
    const auto found = answers_.find(key);
    if (found != answers_.end() && clock_.now() < found->second.until) return found->second.answer;
  }
  auto answer = review(token, verb, path, deadline);
  if (answer.verdict == Verdict::kFailed) return answer;
  const auto keep = answer.verdict == Verdict::kAllowed ? kAllowedFor : kDeniedFor;
  const std::lock_guard lock(mutex_);
  if (answers_.size() >= kRemembered) answers_.clear();
  answers_[key] = {answer, clock_.now() + keep};
  return answer;
}

std::string_view bearer_token(std::string_view authorization) {
  constexpr std::string_view kBearer = "bearer ";
  if (authorization.size() <= kBearer.size() ||
      !http::equal_names(authorization.substr(0, kBearer.size()), kBearer)) {
    return {};
  }
  authorization.remove_prefix(kBearer.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  while (authorization.ends_with(' ')) authorization.remove_suffix(1);
  return authorization;
}

}  // namespace baton::kube
