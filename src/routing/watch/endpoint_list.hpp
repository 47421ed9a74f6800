#pragma once
// llm-d's endpoint file, for an endpoint picker without a cluster (picker reference 5.2):
//
//   endpoints:
//   - {name: d0, namespace: default, address: 10.0.0.1, port: "8000", labels: {llm-d.ai/role:
//   decode}}
//
// What objects of a cluster say of requests may stand there, too; where several rewrites fit, the
// first one counts:
//
//   objectives:
//   - {name: batch, priority: -1}
//   modelRewrites:
//   - {name: canary, rules: [{matches: [{model: {value: m}}], targets: [{modelRewrite: m-2}]}]}

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/async/file_watch.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "base/text/json.hpp"
#include "routing/schedule/objectives.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

inline constexpr std::size_t kMaxEndpointList = std::size_t{1} << 20;

struct EndpointList {
  std::vector<schedule::Endpoint> endpoints;
  // InferenceObjectives and InferenceModelRewrites of the pool, as a cluster would have them.
  std::vector<text::json::Value> objectives, rewrites;
};

// YAML or JSON. kInvalid: "<source>: <json pointer>: what"; one wrong entry refuses the file.
Result<EndpointList> load_endpoint_list(std::string_view text, std::string_view source,
                                        const schedule::PoolRef& pool = {});

// Reads the file at once; with a thread, again whenever it changes. What cannot be read then is
// logged, and everything stays as it was.
class EndpointListWatch {
 public:
  using OnList = std::function<void(const EndpointList&)>;
  enum class Again : bool { kNo, kYes };
  // `pool`: whose objectives and rewrites those of the file are.
  static Result<std::unique_ptr<EndpointListWatch>> start(const std::string& path, Again again,
                                                          const Clock& clock, OnList on,
                                                          schedule::PoolRef pool = {});
  ~EndpointListWatch();

 private:
  EndpointListWatch(std::string path, const Clock& clock, OnList on, schedule::PoolRef pool)
      : path_(std::move(path)), clock_(clock), on_(std::move(on)), pool_(std::move(pool)) {}
  Status read();
  void run();

  const std::string path_;
  const Clock& clock_;
  const OnList on_;
  const schedule::PoolRef pool_;
  std::unique_ptr<async::FileWatch> watch_;
  std::thread thread_;
};

}  // namespace baton::watch
