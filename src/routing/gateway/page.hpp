#pragma once
// The files of the page at /ui, compiled in.

#include <optional>
#include <string_view>

namespace baton::gateway {

struct PageFile {
  std::string_view type, content;
};
// By path below /ui: "", "/page.css", "/page.js"; nullopt for others.
std::optional<PageFile> page_file(std::string_view path);

// Scripts and styles of our own only, and no other page around it.
inline constexpr std::string_view kPagePolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace baton::gateway
