// Any body at /convert: all objects converted or none; what was converted converts back and forth
// without a further change of anything but its status, whose new fields v1alpha1 does not carry.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/text/json.hpp"
#include "control/webhook/review.hpp"
#include "formats/api/convert.hpp"

namespace {

using baton::text::json::Value;

void check(bool holds) {
  if (!holds) std::abort();
}

Value without_status(Value object) {
  object.if_object()->erase("status");
  return object;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  namespace api = baton::api;
  const std::string_view body(reinterpret_cast<const char*>(bytes), size);
  const auto given = baton::webhook::answer("/convert", body, {});
  if (given.status != 200) return 0;
  const auto review = baton::text::json::parse(given.body);
  const auto asked = baton::text::json::parse(body);
  check(review.has_value() && asked.has_value());
  const Value& converted = *review->find_path({"response", "convertedObjects"});
  if (given.refused) {
    check(converted.if_array()->empty());
    return 0;
  }
  check(converted.if_array()->size() ==
        asked->find_path({"request", "objects"})->if_array()->size());
  for (const Value& one : *converted.if_array()) {
    const auto old = api::to_v1alpha1(one);
    check(old.has_value());
    const auto settled = api::to_v1alpha2(*old);
    check(settled.has_value());
    const auto again = api::to_v1alpha2(*api::to_v1alpha1(*settled));
    check(again && without_status(*again) == without_status(*settled));
  }
  return 0;
}
