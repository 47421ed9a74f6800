#pragma once
// What a user's files hold, sorted by what it is.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/result.hpp"
#include "base/text/json.hpp"

namespace baton::api {

struct Source {
  std::string name;  // for messages: the file
  std::string text;  // YAML, one or more documents, or JSON
};

struct Manifest {
  text::json::Value object;
  std::string where;  // "file:line", of its document; an item of a List also ": /items/<n>"

  // The file that it stands in, shared by all in it.
  std::shared_ptr<const Source> source{};
  int line = 1;      // of its document
  std::string in{};  // pointer from the document to it; "" but in a List

  // The same for what a message is about, which begins with a JSON pointer: "file:line" of that, or
  // of the nearest that the file has; `where` for any other message. Reads the file's text again.
  std::string where_is(std::string_view message) const;
};

struct Manifests {
  std::vector<Manifest> services;  // LLMInferenceService, as written
  std::vector<Manifest> configs;   // LLMInferenceServiceConfig, as written
  std::vector<Manifest> config_maps;
  std::vector<Manifest> secrets;         // stringData moved into data
  std::vector<Manifest> gateways;        // gateway.networking.k8s.io Gateway
  std::vector<Manifest> pools;           // InferencePool, as v1
  std::vector<Manifest> picker_configs;  // EndpointPickerConfig: no cluster object
  std::vector<Manifest> others;          // any other object with apiVersion, kind and a name
  std::vector<std::string> notes;        // "file:line: what was done with it"
};

// kInvalid: "<file>:<line>:<column>: …" for YAML, "<file>:<line>: …" for a document that is no
// object of Kubernetes, a misspelt kind, or the same object twice. `kind: List` is taken apart.
// Services and configs are not validated here: plan does that.
Result<Manifests> read_manifests(std::span<const Source> sources);

}  // namespace baton::api
