#include "control/node/programs.hpp"

#include <array>

namespace baton::node {

namespace {

struct Named {
  std::string_view name;
  Program program;
};

// The basename of the command.
constexpr std::array kCommands = {
    Named{"vllm", Program::kEngine},
    Named{"pd-sidecar", Program::kSidecar},
    Named{"routing-sidecar", Program::kSidecar},
    Named{"llm-d-routing-sidecar", Program::kSidecar},
    Named{"epp", Program::kPicker},
    Named{"bash", Program::kShell},
    Named{"sh", Program::kShell},
    Named{"storage-initializer", Program::kStorageInitializer},
};

// A part of the image's name (registry and tag are not looked at); the more special ones first.
constexpr std::array kImages = {
    Named{"storage-initializer", Program::kStorageInitializer},
    Named{"disagg-sidecar", Program::kSidecar},
    Named{"routing-sidecar", Program::kSidecar},
    Named{"pd-sidecar", Program::kSidecar},
    Named{"endpoint-picker", Program::kPicker},
    Named{"inference-scheduler", Program::kPicker},
    Named{"epp", Program::kPicker},
    Named{"vllm", Program::kEngine},
    Named{"llm-d", Program::kEngine},
    Named{"baton", Program::kEngine},
};

// "example.org/llm-d/llm-d-cuda:v0.9.0" -> "llm-d-cuda".
std::string_view image_name(std::string_view image) {
  if (const auto digest = image.find('@'); digest != std::string_view::npos) {
    image = image.substr(0, digest);
  }
  image = basename(image);
  return image.substr(0, image.find(':'));
}

}  // namespace

std::string_view basename(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

Program program_for(std::string_view command_name, std::string_view image) {
  if (!command_name.empty()) {
    for (const auto& entry : kCommands) {
      if (entry.name == command_name) return entry.program;
    }
    return Program::kOther;
  }
  const auto name = image_name(image);
  for (const auto& entry : kImages) {
    if (name.find(entry.name) != std::string_view::npos) return entry.program;
  }
  return Program::kOther;
}

std::string_view link_name(Program program) {
  switch (program) {
    case Program::kEngine:
      return "vllm";
    case Program::kSidecar:
      return "pd-sidecar";
    case Program::kPicker:
      return "epp";
    default:
      return "";
  }
}

std::vector<std::string> default_command(Program program) {
  if (program == Program::kEngine) return {"vllm", "serve", "/mnt/models"};
  return {std::string(link_name(program))};
}

std::vector<std::string_view> all_links() { return {"vllm", "pd-sidecar", "epp"}; }

}  // namespace baton::node
