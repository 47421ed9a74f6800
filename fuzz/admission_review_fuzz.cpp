// Any body at any admission path: an answer that is a review, or a status that is none; what is
// patched into an object that is allowed needs no patch again.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text/json.hpp"
#include "control/webhook/review.hpp"

namespace {

constexpr std::string_view kPaths[] = {
    "/mutate-serving-kserve-io-v1alpha1-llminferenceservice",
    "/mutate-serving-kserve-io-v1alpha2-llminferenceservice",
    "/validate-serving-kserve-io-v1alpha1-llminferenceservice",
    "/validate-serving-kserve-io-v1alpha2-llminferenceservice",
    "/validate-serving-kserve-io-v1alpha1-llminferenceserviceconfig",
    "/validate-serving-kserve-io-v1alpha2-llminferenceserviceconfig"};

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(bytes), size);
  const baton::webhook::Context context;
  for (const std::string_view path : kPaths) {
    const auto given = baton::webhook::answer(path, body, context);
    if (given.status != 200) continue;
    const auto review = baton::text::json::parse(given.body);
    check(review && review->find_path({"response", "allowed"}) != nullptr);
    const bool allowed =
        *review->find_path({"response", "allowed"}) == baton::text::json::Value(true);
    check(allowed != given.refused);
  }
  return 0;
}
