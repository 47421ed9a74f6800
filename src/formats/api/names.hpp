#pragma once
// What Kubernetes takes as names. Pure.

#include <string_view>

namespace baton::api {

bool is_dns_label(std::string_view text);
bool is_dns_subdomain(std::string_view text);

// A key of a ConfigMap or a Secret, which a volume makes a file's name.
bool is_data_key(std::string_view text);

// What an object of any kind may be called: one part of a path.
bool is_path_segment(std::string_view text);

}  // namespace baton::api
