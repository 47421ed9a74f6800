#pragma once
// What `serve` and `node` let the user say about how pods run here.

#include <string>
#include <vector>

#include "base/core/result.hpp"
#include "control/node/config.hpp"

namespace CLI {
class App;
}

namespace baton::cli {

struct NodeOptions {
  std::vector<std::string> model_dirs;
  std::string stand_in, engine = "baton", mounts = "auto";
  bool allow_exec = false;
};

void add_node_flags(CLI::App& app, NodeOptions& options);

// Reads the environment: PATH, BATON_MODELS_DIR, and what hub::read_settings() does. kNotFound: no
// such stand-in.
Result<node::Config> node_config(const NodeOptions& options, const std::string& state_dir);

}  // namespace baton::cli
