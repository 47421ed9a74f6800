// An engine's answer on its way through the sidecar: the stream rewriter and the reader of what a
// store says do not depend on where the stream is cut; the scan for a member neither, and it agrees
// with the parser; the prefill answer's reader takes anything.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text/json.hpp"
#include "formats/openai/member_scan.hpp"
#include "formats/openai/splice.hpp"
#include "routing/sidecar/connector.hpp"
#include "routing/sidecar/store_answer.hpp"
#include "routing/sidecar/usage_fix.hpp"

namespace {

using namespace baton::sidecar;

constexpr std::string_view kMember = "kv_transfer_params";

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// In pieces of that size.
template <class Each>
void in_pieces(std::string_view text, std::size_t piece, Each&& each) {
  for (std::size_t at = 0; at < text.size(); at += piece) each(text.substr(at, piece));
}

std::string rewritten(std::string_view text, std::size_t piece) {
  StreamUsageFix fix(7);
  std::string out;
  in_pieces(text, piece, [&](std::string_view part) { out += fix.feed(part).value_or("<long>"); });
  out += fix.finish();
  return out;
}

bool missed(std::string_view text, std::size_t piece) {
  const baton::http::ResponseHead head{200, {{"Content-Type", "text/event-stream"}}};
  StoreAnswer answer;
  in_pieces(text, piece, [&](std::string_view part) { (void)answer.add(part); });
  require(answer.text() == text, "the store's answer lost bytes");
  return answer.missed(head);
}

bool has_member(const baton::text::json::Value& value) {
  if (const auto* items = value.if_array()) return std::ranges::any_of(*items, has_member);
  const auto* members = value.if_object();
  return members != nullptr && std::ranges::any_of(*members, [](const auto& member) {
           return member.key == kMember || has_member(member.value);
         });
}

bool scanned(std::string_view text, std::size_t piece) {
  baton::openai::MemberScan scan(kMember);
  in_pieces(text, piece, [&](std::string_view part) { (void)scan.feed(part); });
  return scan.found();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const std::string whole = rewritten(text, size + 1);
  const bool told = missed(text, size + 1);
  const bool found = scanned(text, size + 1);
  for (const std::size_t piece :
       {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, size / 2 + 1}) {
    require(rewritten(text, piece) == whole, "the rewriter depends on the cut");
    require(missed(text, piece) == told, "the store's answer depends on the cut");
    require(scanned(text, piece) == found, "the scan depends on the cut");
  }
  if (auto index = baton::openai::BodyIndex::scan(text)) {
    require(found || !index->find(kMember), "the scan misses a member");
  }
  if (auto value = baton::text::json::parse(text)) {
    require(has_member(*value) == found, "the scan is wrong");
  }
  if (auto fixed = with_cached_tokens(text, 7)) {
    require(baton::openai::BodyIndex::scan(*fixed).has_value(), "the fixed body is no JSON");
  }
  for (const char* name : {"nixlv2", "mooncake"}) {
    (void)make_connector(name, {})->read_prefill_answer(text);
  }
  return 0;
}
