#pragma once
// Where the latency predictor's servers are, and how they are asked.

#include <cstddef>
#include <string>
#include <vector>

#include "base/core/clock.hpp"
#include "net/http/message.hpp"

namespace baton::epp {

struct PredictorConfig {
  struct Server {
    http::Endpoint at;
    std::string path;  // before that of the call; "" or begins with '/'
  };
  Server training = {.at = {"localhost", 8000}, .path = ""};
  std::vector<Server> prediction = {{.at = {"localhost", 8001}, .path = ""}};  // one at random
  std::size_t samples = 1000;                // told at once at most
  Nanos flush = std::chrono::seconds(1);     // between two batches of samples
  Nanos timeout = std::chrono::seconds(10);  // of one batch
  std::size_t rows = 100;                    // endpoints of one request at most
  Nanos window = Millis(1);                  // requests of one call come within it
  std::size_t batch_rows = 0;                // a call goes earlier with these; 0: never
  std::size_t calls = 36;                    // at the same time
};

}  // namespace baton::epp
