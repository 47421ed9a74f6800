#include "net/kube/resource.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace baton::kube {

namespace {

// RFC 3986 unreserved characters stay.
std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      fmt::format_to(std::back_inserter(out), "%{:02X}", byte);
    }
  }
  return out;
}

bool can(const Resource& resource, std::string_view verb) {
  return std::find(resource.verbs.begin(), resource.verbs.end(), verb) != resource.verbs.end();
}

}  // namespace

std::string group_version_path(const Type& type) {
  return type.group.empty() ? fmt::format("/api/{}", escape(type.version))
                            : fmt::format("/apis/{}/{}", escape(type.group), escape(type.version));
}

Result<Resources> parse_resources(std::string_view document) {
  BATON_TRY_ASSIGN(const auto root, text::json::parse(document));
  const auto* list = root.find("resources");
  if (list == nullptr || list->if_array() == nullptr) {
    return invalid("/resources: expected a list, as in an APIResourceList");
  }
  Resources out;
  std::vector<std::string> with_status;
  for (const auto& entry : *list->if_array()) {
    const std::string name(entry.string_at({"name"}));
    const auto slash = name.find('/');
    if (slash != std::string::npos) {
      if (std::string_view(name).substr(slash) == "/status") {
        with_status.push_back(name.substr(0, slash));
      }
      continue;
    }
    const auto kind = entry.string_at({"kind"});
    if (name.empty() || kind.empty()) continue;
    Resource resource;
    resource.plural = name;
    if (const auto* flag = entry.find("namespaced");
        flag != nullptr && flag->if_bool() != nullptr) {
      resource.namespaced = *flag->if_bool();
    }
    if (const auto* verbs = entry.find("verbs"); verbs != nullptr && verbs->if_array() != nullptr) {
      for (const auto& verb : *verbs->if_array()) {
        if (const auto* word = verb.if_string()) resource.verbs.push_back(*word);
      }
    }
    const auto known = out.find(kind);
    if (known == out.end()) {
      out.emplace(kind, std::move(resource));
    } else if (!can(known->second, "list") && can(resource, "list")) {
      known->second = std::move(resource);
    }
  }
  for (auto& [kind, resource] : out) {
    resource.has_status =
        std::find(with_status.begin(), with_status.end(), resource.plural) != with_status.end();
  }
  return out;
}

Result<ServerVersion> parse_version(std::string_view document) {
  BATON_TRY_ASSIGN(const auto root, text::json::parse(document));
  const auto number = [&](std::string_view member) -> Result<int> {
    const auto text = root.string_at({member});
    int out = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
    const std::string_view rest(end, text.data() + text.size());
    if (ec != std::errc{} || (!rest.empty() && rest != "+")) {
      return invalid(
          fmt::format("/{}: '{}': expected a number, as \"34\" or \"34+\"", member, text));
    }
    return out;
  };
  BATON_TRY_ASSIGN(const int major, number("major"));
  BATON_TRY_ASSIGN(const int minor, number("minor"));
  return ServerVersion{major, minor};
}

QueryText& QueryText::add(std::string_view name, std::string_view value) {
  text_ += fmt::format("{}{}={}", text_.empty() ? '?' : '&', escape(name), escape(value));
  return *this;
}

std::string selector_text(const LabelSelector& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    out += fmt::format("{}{}={}", out.empty() ? "" : ",", name, value);
  }
  return out;
}

Status check_path(const ObjectKey& key, const Resource& resource) {
  const auto check = [](std::string_view segment, std::string_view pointer) -> Status {
    if (segment.empty()) return invalid(fmt::format("{}: missing", pointer));
    if (segment == "." || segment == ".." || segment.find_first_of("/%") != segment.npos) {
      return invalid(fmt::format("{}: '{}' cannot be part of a path", pointer, segment));
    }
    return {};
  };
  if (resource.namespaced) {
    BATON_TRY(check(key.ns, "/metadata/namespace"));
  }
  return check(key.name, "/metadata/name");
}

std::string collection_path(const Type& type, const Resource& resource, std::string_view ns) {
  std::string out = group_version_path(type);
  if (resource.namespaced && !ns.empty()) out += fmt::format("/namespaces/{}", escape(ns));
  return fmt::format("{}/{}", out, escape(resource.plural));
}

std::string object_path(const ObjectKey& key, const Resource& resource,
                        std::string_view subresource) {
  std::string out =
      fmt::format("{}/{}", collection_path(key.type, resource, key.ns), escape(key.name));
  if (!subresource.empty()) out += fmt::format("/{}", subresource);
  return out;
}

}  // namespace baton::kube
