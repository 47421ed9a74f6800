// Picker configurations of older generations: migrated for any version they are still a document,
// and migrating again changes nothing. The first byte chooses the version and whether there is a
// tokenizer; a second half, after a zero byte, is a word of the command line.

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include "base/text/yaml.hpp"
#include "control/plan/picker_flags.hpp"
#include "control/plan/picker_migrations.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace baton;
  using text::json::Array;
  using text::json::Object;
  using text::json::Value;
  static constexpr plan::Version kVersions[] = {
      {0, 6, 0}, {0, 7, 0}, {0, 8, 0}, {0, 9, 0}, {0, 10, 0}};
  if (size == 0) return 0;
  const plan::Version version = kVersions[data[0] % std::size(kVersions)];
  const std::string_view url = data[0] >= 128 ? "http://t:8000" : "";
  // NOLINTNEXTLINE(cppcoreguidelines-pro-type-reinterpret-cast): bytes as text
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string_view config = input.substr(0, input.find('\0'));
  const std::string_view word =
      config.size() == input.size() ? std::string_view() : input.substr(config.size() + 1);

  Value pod = Object{{"containers", Array{Object{{"name", "main"},
                                                 {"command", Array{"/app/epp", word}},
                                                 {"args", Array{"--config-text", config}}}}}};
  if (data[0] % 2 == 1) pod["containers"].push_back(Object{{"name", "tokenizer"}});
  if (!plan::use_tokenizer_sidecar(pod)) return 0;
  if (!plan::migrate_picker(pod, version, url)) return 0;
  Value again = pod;
  if (!plan::migrate_picker(again, version, url) || again != pod) std::abort();
  const Value& main = (*pod.find("containers")->if_array())[0];
  const plan::ConfigFlag flag = plan::config_flag(main);
  if (version >= plan::Version{0, 7, 0} && flag.source == plan::ConfigSource::kText &&
      !text::yaml::parse(flag.value, "migrated")) {
    std::abort();
  }
  return 0;
}
