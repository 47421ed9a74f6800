#pragma once
// Names of child objects, at most 63 characters, the same as other controllers of this API give.

#include <string>
#include <string_view>

namespace baton::plan {

// `parent` + `suffix`; where that is too long, cut and made unique by an MD5.
std::string child_name(std::string_view parent, std::string_view suffix);

}  // namespace baton::plan
