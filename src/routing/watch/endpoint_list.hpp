#pragma once
// llm-d's endpoint file, for an endpoint picker without a cluster (picker reference 5.2):
//
//   endpoints:
//   - {name: d0, namespace: default, address: 10.0.0.1, port: "8000", labels: {llm-d.ai/role:
//   decode}}

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/async/file_watch.hpp"
#include "base/core/clock.hpp"
#include "base/core/result.hpp"
#include "routing/schedule/snapshot.hpp"

namespace baton::watch {

inline constexpr std::size_t kMaxEndpointList = std::size_t{1} << 20;

// YAML or JSON. kInvalid: "<source>: <json pointer>: what"; one wrong entry refuses the file.
Result<std::vector<schedule::Endpoint>> load_endpoint_list(std::string_view text,
                                                           std::string_view source);

// Reads the file at once; with a thread, again whenever it changes. What cannot be read then is
// logged, and the endpoints stay as they were.
class EndpointListWatch {
 public:
  using OnEndpoints = std::function<void(const std::vector<schedule::Endpoint>&)>;
  enum class Again : bool { kNo, kYes };
  static Result<std::unique_ptr<EndpointListWatch>> start(const std::string& path, Again again,
                                                          const Clock& clock, OnEndpoints on);
  ~EndpointListWatch();

 private:
  EndpointListWatch(std::string path, const Clock& clock, OnEndpoints on)
      : path_(std::move(path)), clock_(clock), on_(std::move(on)) {}
  Status read();
  void run();

  const std::string path_;
  const Clock& clock_;
  const OnEndpoints on_;
  std::unique_ptr<async::FileWatch> watch_;
  std::thread thread_;
};

}  // namespace baton::watch
