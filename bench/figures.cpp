#include "figures.hpp"

#include <errno.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

namespace baton::bench {

void fail(std::string_view why) {
  fmt::print(stderr, "{}: {}\n", program_invocation_short_name, why);
  std::exit(1);
}

std::string read_file(const std::string& name) {
  std::ifstream in(name, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  if (text.empty()) fail(fmt::format("'{}' cannot be read, or is empty", name));
  return text;
}

void save(const text::json::Value& figures, const std::string& file) {
  if (file.empty()) return;
  std::ofstream out(file);
  out << text::json::pretty(figures);
  if (!out.flush()) fail(fmt::format("'{}' cannot be written", file));
}

}  // namespace baton::bench
