#pragma once
// The picker's admin port: metrics for everybody, decisions for who asks from this machine.

#include "base/async/asio.hpp"
#include "base/observe/metrics.hpp"
#include "net/http/server.hpp"
#include "routing/epp/recorder.hpp"

namespace baton::epp {

//   GET /metrics               Prometheus text
//   GET /debug/decisions       {"requests": [ids, newest first]}; loopback only, else 403
//   GET /debug/decisions/<id>  the newest decision about that request; 404
Task<void> answer_admin(http::Exchange& exchange, const observe::Registry& registry,
                        const Recorder& recorder);

}  // namespace baton::epp
