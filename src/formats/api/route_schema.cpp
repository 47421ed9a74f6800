// HTTPRouteSpec of the Gateway API and InferencePoolSpec of both pool APIs, as embedded in
// spec.router. Bounds are those of gateway-api v1.4 and gateway-api-inference-extension v1.3;
// fields of newer ones pass untouched and are checked when the route or pool itself is made.

#include "formats/api/schema_parts.hpp"

namespace baton::api::parts {
namespace {

using enum FieldType;

constexpr std::int64_t kMostParents = 32;
constexpr std::int64_t kMost16 = 16;  // hostnames, rules, filters, header matches, backends
constexpr std::int64_t kMostMatches = 64;
constexpr std::int64_t kMostWeight = 1'000'000;
constexpr std::int64_t kMostTargetPorts = 8;
constexpr std::int64_t kMostLabels = 64;
constexpr std::int64_t kLongestPath = 1024;
constexpr std::int64_t kLongestHeader = 256;
constexpr std::int64_t kLongestValue = 4096;
constexpr std::string_view kLabelValue = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

constexpr Field kParentFields[] = {
    {.name = "group", .type = kString, .longest = kLongestSubdomain},
    {.name = "kind", .type = kString, .longest = kLongestLabel},
    {.name = "namespace", .type = kString, .pattern = kLabelPattern, .longest = kLongestLabel},
    {.name = "name", .type = kString, .needed = true, .shortest = 1, .longest = kLongestSubdomain},
    {.name = "sectionName",
     .type = kString,
     .pattern = kSubdomainPattern,
     .longest = kLongestSubdomain},
    {.name = "port", .type = kInt, .least = 1, .most = kMaxPort},
};
constexpr Struct kParent{.fields = kParentFields, .open = true};

constexpr std::string_view kPathTypes[] = {"Exact", "PathPrefix", "RegularExpression"};
constexpr Field kPathFields[] = {
    {.name = "type", .type = kString, .words = kPathTypes},
    {.name = "value", .type = kString, .longest = kLongestPath},
};
constexpr Rule kPathRules[] = {
    {"has(self.type) && self.type == 'RegularExpression' || !has(self.value) || "
     "self.value.startsWith('/')",
     "a path must begin with '/'"},
};
constexpr Struct kPath{.fields = kPathFields, .rules = kPathRules};

constexpr std::string_view kValueTypes[] = {"Exact", "RegularExpression"};
constexpr Field kValueMatchFields[] = {
    {.name = "type", .type = kString, .words = kValueTypes},
    {.name = "name", .type = kString, .needed = true, .shortest = 1, .longest = kLongestHeader},
    {.name = "value", .type = kString, .needed = true, .shortest = 1, .longest = kLongestValue},
};
constexpr Struct kValueMatch{.fields = kValueMatchFields};

constexpr std::string_view kMethods[] = {"GET",     "HEAD",    "POST",  "PUT",  "DELETE",
                                         "CONNECT", "OPTIONS", "TRACE", "PATCH"};
constexpr Field kMatchFields[] = {
    {.name = "path", .type = kRaw, .of = &kPath},
    {.name = "headers", .type = kRaws, .of = &kValueMatch, .longest = kMost16},
    {.name = "queryParams", .type = kRaws, .of = &kValueMatch, .longest = kMost16},
    {.name = "method", .type = kString, .words = kMethods},
};
constexpr Struct kMatch{.fields = kMatchFields, .open = true};

constexpr Field kFilterFields[] = {
    {.name = "type", .type = kString, .needed = true, .longest = kLongestLabel},
    {.name = "requestHeaderModifier", .type = kRaw},
    {.name = "responseHeaderModifier", .type = kRaw},
    {.name = "requestMirror", .type = kRaw},
    {.name = "requestRedirect", .type = kRaw},
    {.name = "urlRewrite", .type = kRaw},
    {.name = "extensionRef", .type = kRaw},
};
constexpr Rule kFilterRules[] = {
    {"has(self.requestHeaderModifier) == (self.type == 'RequestHeaderModifier')",
     "requestHeaderModifier goes with type RequestHeaderModifier, and only with it"},
    {"has(self.responseHeaderModifier) == (self.type == 'ResponseHeaderModifier')",
     "responseHeaderModifier goes with type ResponseHeaderModifier, and only with it"},
    {"has(self.requestMirror) == (self.type == 'RequestMirror')",
     "requestMirror goes with type RequestMirror, and only with it"},
    {"has(self.requestRedirect) == (self.type == 'RequestRedirect')",
     "requestRedirect goes with type RequestRedirect, and only with it"},
    {"has(self.urlRewrite) == (self.type == 'URLRewrite')",
     "urlRewrite goes with type URLRewrite, and only with it"},
    {"has(self.extensionRef) == (self.type == 'ExtensionRef')",
     "extensionRef goes with type ExtensionRef, and only with it"},
};
constexpr Struct kFilter{.fields = kFilterFields, .rules = kFilterRules, .open = true};

constexpr Field kBackendFields[] = {
    {.name = "group", .type = kString, .longest = kLongestSubdomain},
    {.name = "kind", .type = kString, .longest = kLongestLabel},
    {.name = "name", .type = kString, .needed = true, .shortest = 1, .longest = kLongestSubdomain},
    {.name = "namespace", .type = kString, .pattern = kLabelPattern, .longest = kLongestLabel},
    {.name = "port", .type = kInt, .least = 1, .most = kMaxPort},
    {.name = "weight", .type = kInt, .least = 0, .most = kMostWeight},
    {.name = "filters", .type = kRaws, .longest = kMost16},
};
constexpr Rule kBackendRules[] = {
    {"has(self.group) && self.group != '' || has(self.kind) && self.kind != 'Service' || "
     "has(self.port)",
     "a Service needs a port"},
};
constexpr Struct kBackend{.fields = kBackendFields, .rules = kBackendRules, .open = true};

constexpr Field kTimeoutFields[] = {
    {.name = "request", .type = kString},
    {.name = "backendRequest", .type = kString},
};
constexpr Struct kTimeouts{.fields = kTimeoutFields, .open = true};

constexpr Field kRuleFields[] = {
    {.name = "name", .type = kString, .longest = kLongestSubdomain},
    {.name = "matches", .type = kRaws, .of = &kMatch, .longest = kMostMatches},
    {.name = "filters", .type = kRaws, .of = &kFilter, .longest = kMost16},
    {.name = "backendRefs", .type = kRaws, .of = &kBackend, .longest = kMost16},
    {.name = "timeouts", .type = kRaw, .of = &kTimeouts},
    {.name = "retry", .type = kRaw},
    {.name = "sessionPersistence", .type = kRaw},
};
constexpr Rule kRuleRules[] = {
    {"!has(self.filters) || !has(self.backendRefs) || size(self.backendRefs) == 0 || "
     "!self.filters.exists(f, f.type == 'RequestRedirect')",
     "a rule with a RequestRedirect filter has no backendRefs"},
};
constexpr Struct kRule{.fields = kRuleFields, .rules = kRuleRules, .open = true};

constexpr Field kRouteFields[] = {
    {.name = "parentRefs", .type = kRaws, .of = &kParent, .longest = kMostParents},
    {.name = "hostnames", .type = kStrings, .longest = kMost16},
    {.name = "rules", .type = kRaws, .of = &kRule, .longest = kMost16},
    {.name = "useDefaultGateways", .type = kString},
};

constexpr Field kPortNumberFields[] = {
    {.name = "number", .type = kInt, .least = 1, .most = kMaxPort, .needed = true}};
constexpr Struct kPortNumber{.fields = kPortNumberFields};

constexpr Field kSelectorFields[] = {
    {.name = "matchLabels", .type = kStringMap, .pattern = kLabelValue, .longest = kMostLabels},
};
constexpr Struct kSelector{.fields = kSelectorFields};

constexpr std::string_view kFailureModes[] = {"FailOpen", "FailClose"};
constexpr std::string_view kProtocols[] = {"http", "kubernetes.io/h2c"};
constexpr Field kPickerFields[] = {
    {.name = "group", .type = kString, .preset = R"("")", .longest = kLongestSubdomain},
    {.name = "kind", .type = kString, .preset = R"("Service")", .longest = kLongestLabel},
    {.name = "name", .type = kString, .needed = true, .shortest = 1, .longest = kLongestSubdomain},
    {.name = "port", .type = kRaw, .of = &kPortNumber},
    {.name = "failureMode", .type = kString, .words = kFailureModes, .preset = R"("FailClose")"},
};
constexpr Rule kPickerRules[] = {
    {"has(self.kind) && self.kind != 'Service' || has(self.port)",
     "port is required when kind is Service"},
};
constexpr Struct kPicker{.fields = kPickerFields, .rules = kPickerRules, .open = true};

constexpr Rule kPoolRules[] = {
    {"!has(self.targetPorts) || self.targetPorts.all(p, self.targetPorts.exists_one(q, q.number == "
     "p.number))",
     "targetPorts must differ"},
};
constexpr Field kPoolFields[] = {
    {.name = "selector", .type = kRaw, .of = &kSelector},
    {.name = "targetPorts",
     .type = kRaws,
     .of = &kPortNumber,
     .shortest = 1,
     .longest = kMostTargetPorts},
    {.name = "appProtocol", .type = kString, .words = kProtocols, .preset = R"("http")"},
    {.name = "endpointPickerRef", .type = kRaw, .of = &kPicker},
};

constexpr Field kExtensionFields[] = {
    {.name = "group", .type = kString, .preset = R"("")", .longest = kLongestSubdomain},
    {.name = "kind", .type = kString, .preset = R"("Service")", .longest = kLongestLabel},
    {.name = "name", .type = kString, .needed = true, .shortest = 1, .longest = kLongestSubdomain},
    {.name = "portNumber", .type = kInt, .least = 1, .most = kMaxPort},
    {.name = "failureMode", .type = kString, .words = kFailureModes, .preset = R"("FailClose")"},
};
constexpr Struct kExtension{.fields = kExtensionFields, .open = true};
constexpr Field kXPoolFields[] = {
    {.name = "selector", .type = kStringMap, .pattern = kLabelValue, .longest = kMostLabels},
    {.name = "targetPortNumber", .type = kInt, .least = 1, .most = kMaxPort},
    {.name = "extensionRef", .type = kRaw, .of = &kExtension},
};

}  // namespace

constinit const Struct kRouteSpec{.fields = kRouteFields, .open = true};
constinit const Struct kPoolSpec{.fields = kPoolFields, .rules = kPoolRules, .open = true};
constinit const Struct kXPoolSpec{.fields = kXPoolFields, .open = true};

}  // namespace baton::api::parts
