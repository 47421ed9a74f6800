#include "routing/epp/stream_metrics.hpp"

#include <string>
#include <vector>

namespace baton::epp {
namespace {

const std::vector<double> kSeconds = {.001, .005, .01, .05, .1,  .5,  1,
                                      5,    10,   30,  60,  120, 300, 600};

// As Go spells it: "OK", "Canceled", "InvalidArgument".
std::string label_of(grpc::StatusCode code) {
  if (code == grpc::StatusCode::kOk) return "OK";
  if (code == grpc::StatusCode::kCancelled) return "Canceled";
  std::string out;
  bool begins = true;
  for (const char c : grpc::name(code)) {
    if (c == '_') {
      begins = true;
    } else {
      out += begins || c < 'A' || c > 'Z' ? c : static_cast<char>(c - 'A' + 'a');
      begins = false;
    }
  }
  return out;
}

}  // namespace

StreamMetrics::StreamMetrics(observe::Registry& registry, const Clock& clock)
    : registry_(registry),
      clock_(clock),
      open_(registry.gauge("llm_d_epp_extproc_streams_inflight", "ext_proc streams that are open")),
      duration_(registry.histogram("llm_d_epp_extproc_stream_duration_seconds",
                                   "from a stream's begin to its end", kSeconds)) {}

StreamMetrics::Open::Open(StreamMetrics& metrics)
    : metrics_(metrics), began_(metrics.clock_.now()) {
  metrics_.open_.add(1);
}

StreamMetrics::Open::~Open() {
  metrics_.open_.add(-1);
  metrics_.duration_.observe(seconds(metrics_.clock_.now() - began_));
  metrics_.registry_
      .counter("llm_d_epp_extproc_streams_total", "ext_proc streams that ended",
               {{"code", label_of(code_)}})
      .add();
}

}  // namespace baton::epp
