#pragma once
// What happens to one request: authenticate, read, pick, forward, learn.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/async/asio.hpp"
#include "base/async/task_group.hpp"
#include "base/core/clock.hpp"
#include "base/core/random.hpp"
#include "base/observe/metrics.hpp"
#include "base/observe/span.hpp"
#include "formats/openai/prompt_text.hpp"
#include "net/http/client.hpp"
#include "net/http/server.hpp"
#include "routing/gateway/board.hpp"
#include "routing/gateway/engine_talk.hpp"
#include "routing/gateway/gateway.hpp"
#include "routing/gateway/heads.hpp"
#include "routing/gateway/probe.hpp"
#include "routing/pick/service_pool.hpp"

namespace baton::gateway {

using pick::ServicePool;

// Confined to the loop.
class Front {
 public:
  struct Deps {
    const Clock& clock;
    Random& random;
    observe::Registry& registry;
    http::Client& client;
    Probe& probe;
    async::TaskGroup& tasks;  // ends before the front does
    observe::Tracer* tracer = nullptr;
  };
  Front(Deps deps, const Config& config);

  Task<void> handle(http::Exchange& exchange);

  // By (namespace, name). A model name that two services claim belongs to the first.
  using Services = std::map<std::pair<std::string, std::string>, std::shared_ptr<ServicePool>>;
  void serve(const Services& services);

  // What the page shows of services and pods: JSON text.
  void show(std::string stack) { stack_ = std::move(stack); }

  std::uint64_t requests() const { return requests_; }
  std::uint64_t failures() const { return failures_; }

 private:
  struct Work;  // one inference request on its way

  // Where a path leads: an API of all services, or of the one whose /namespace/name it starts with.
  struct Place {
    std::string_view path;
    std::shared_ptr<ServicePool> service;  // null: by model name
  };
  Place locate(std::string_view path) const;

  Task<void> dispatch(http::Exchange& exchange, int& status);
  Task<void> infer(http::Exchange& exchange, openai::Api api, Place place, int& status);
  Task<void> answer(Work& work);
  Task<bool> read(Work& work);
  Task<bool> pick(Work& work, std::optional<schedule::Endpoint> refused);
  void sign_route(Work& work);
  void tell_limits(Work& work);
  Task<bool> pick_again(Work& work, schedule::Endpoint refused);
  Task<std::optional<http::Response>> send(Work& work);
  Task<void> relay(Work& work, http::Response response);
  Task<void> show_page(http::Exchange& exchange, std::string_view path, int& status);
  std::string page_state() const;
  void talk_to_engines();
  CardKeeper open_card(const http::Exchange& exchange, const std::string& request_id);
  std::vector<std::string> models_at(const Place& place) const;
  Task<void> list_models(http::Exchange& exchange, const Place& place, int& status);

  // Answers an error of the gateway's own making.
  struct Problem {
    int status = 500;
    std::string message;
    std::string_view hop = "gateway";
  };
  Task<void> refuse(http::Exchange& exchange, Problem problem, int& status);
  std::string unknown_model(std::string_view model, const Place& place) const;
  bool may(const http::Exchange& exchange) const;

  Deps deps_;
  Config config_;
  EngineTalk talk_;
  openai::PromptReader reader_;
  SeededRandom ties_;  // picks need no unguessable numbers
  std::int64_t created_;
  Services services_;
  std::map<std::string, std::shared_ptr<ServicePool>, std::less<>> models_;
  std::set<std::pair<std::string, std::string>> contested_;  // model and service already told of
  Board board_;
  std::string stack_ = R"({"ready":true,"pods":[]})";
  std::uint64_t requests_ = 0, failures_ = 0;
};

}  // namespace baton::gateway
