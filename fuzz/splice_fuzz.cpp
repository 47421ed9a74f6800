// The splicer against parse, edit, compare; and against itself where the JSON parser refuses.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "formats/openai/splice_oracle.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton::openai;
  std::string body(data, data + size);
  auto index = BodyIndex::scan(body, "p");
  if (!index) return 0;
  std::vector<Edit> edits = {{"a", "1"}, {"stream", std::nullopt}, {"new", "{\"x\":[]}"}};
  if (index->has_nested()) edits.push_back({"n", "7", Where::kNested});
  std::string wrong = disagreement(body, "p", edits);
  std::string joined = index->splice(edits).join();
  auto again = BodyIndex::scan(joined, "p");
  if (wrong.empty() && (!again || again->find("a") != "1" || again->find("stream"))) {
    wrong = "not edited: " + joined;
  }
  if (wrong.empty()) return 0;
  std::fprintf(stderr, "%s\n", wrong.c_str());
  std::abort();
}
