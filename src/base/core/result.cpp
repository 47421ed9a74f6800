#include "base/core/result.hpp"

#include <array>

namespace baton {
namespace {

struct Meaning {
  std::string_view name;
  int http;
  int exit;
};

// Indexed by Code.
constexpr std::array<Meaning, 10> kMeanings{{{"invalid", 400, 2},
                                             {"denied", 403, 3},
                                             {"not found", 404, 4},
                                             {"conflict", 409, 5},
                                             {"exhausted", 429, 6},
                                             {"unavailable", 503, 7},
                                             {"timeout", 504, 8},
                                             {"cancelled", 499, 130},
                                             {"unsupported", 501, 9},
                                             {"internal", 500, 1}}};

const Meaning& meaning(Code code) { return kMeanings[std::to_underlying(code)]; }

}  // namespace

std::string_view name(Code code) { return meaning(code).name; }
int http_status(Code code) { return meaning(code).http; }
int exit_code(Code code) { return meaning(code).exit; }

Error Error::with(std::string_view context) && {
  message_.insert(0, ": ").insert(0, context);
  return std::move(*this);
}

Error Error::with(std::string_view context) const& { return Error(*this).with(context); }

}  // namespace baton
