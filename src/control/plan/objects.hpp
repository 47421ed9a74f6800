#pragma once
// Reading Kubernetes objects and writing the parts that all children share.

#include <span>
#include <string>
#include <string_view>

#include "base/text/json.hpp"

namespace baton::plan {

using text::json::Value;

std::string name_of(const Value& object);
// "default" when it says nothing.
std::string namespace_of(const Value& object);
// The pool the service uses: router.scheduler.pool.ref, or the one made for it.
std::string pool_name(const Value& service);

// ASCII letters only. `lower` is in small letters.
bool equals_ignoring_case(std::string_view text, std::string_view lower);

// The member when it is there and not null, else nullptr.
const Value* get(const Value& object, std::initializer_list<std::string_view> path);

// The items of an array; none when it is null or no array.
std::span<const Value> items(const Value* list);
std::span<Value> items(Value* list);

// The item of a list whose "name" is `name`.
Value* named(Value* list, std::string_view name);
const Value* named(const Value* list, std::string_view name);

// Adds `item` to `list` (made when absent) unless it has one of that name.
void add_named(Value& list, Value item);

// "{apiVersion, kind, metadata: {name, namespace, labels}}".
Value object(std::string_view api_version, std::string_view kind, std::string_view ns,
             std::string_view name, Value labels);

}  // namespace baton::plan
