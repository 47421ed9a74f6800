#pragma once
// What `serve` shows of its services and pods: progress lines, the status file, the table.

#include <map>
#include <string>
#include <vector>

#include "net/kube/cluster.hpp"
#include "routing/gateway/gateway.hpp"

namespace baton::cli {

struct ContainerView {
  std::string name;
  std::int64_t pid = 0;  // 0: none
  std::int64_t restarts = 0;
  friend bool operator==(const ContainerView&, const ContainerView&) = default;
};

struct PodView {
  std::string ns, name, role, address;
  std::string state;   // "Ready", "Starting", "Stopping", or the reason it waits
  std::string detail;  // of the reason
  std::int64_t restarts = 0;
  std::vector<ContainerView> containers;
  friend bool operator==(const PodView&, const PodView&) = default;
};

struct ServiceView {
  std::string ns, name;
  bool ready = false;
  std::string reason, message;  // when not
  // Of services with baton.dev/probe: "True", "False" or "Unknown", and what was seen; "" of
  // others.
  std::string transfer, transfer_message;
  friend bool operator==(const ServiceView&, const ServiceView&) = default;
};

struct StackView {
  std::vector<ServiceView> services;
  std::vector<PodView> pods;
  friend bool operator==(const StackView&, const StackView&) = default;
};

// Pure.
StackView view_of(const std::vector<kube::Object>& services, const std::vector<kube::Object>& pods);

// Every service is ready for its current generation; false without any. Pure.
bool all_ready(const std::vector<kube::Object>& services);

// A line for each pod and service that came to another state, as "pod x: Ready". Pure.
std::vector<std::string> changes(const StackView& before, const StackView& now);

struct Header {
  std::string url, stand_in;
  bool ready = false;
};
// status.json of the state folder. Pure.
std::string status_file(const Header& header, const StackView& view, const gateway::Stats& stats);
// One screen of that width; names of pods give way, from the middle. Pure.
std::string status_table(const Header& header, const StackView& view, const gateway::Stats& stats,
                         std::size_t columns);

}  // namespace baton::cli
