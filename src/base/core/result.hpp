#pragma once
// Errors as values. An Error's code names what the caller can do about it; docs/errors.md has the
// table. These names live directly in `baton`: every folder speaks them.

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace baton {

// What the caller does about it; HTTP status and exit code follow from the code.
enum class Code : std::uint8_t {
  kInvalid,      // fix the input             400  exit 2
  kDenied,       // change credentials        403  exit 3
  kNotFound,     // treat as absent           404  exit 4
  kConflict,     // re-read, repeat           409  exit 5
  kExhausted,    // shed or wait              429  exit 6
  kUnavailable,  // try elsewhere, back off   503  exit 7
  kTimeout,      // budget spent, stop        504  exit 8
  kCancelled,    // unwind quietly            499  exit 130
  kUnsupported,  // fall back                 501  exit 9
  kInternal,     // report a bug              500  exit 1
};

std::string_view name(Code code);
int http_status(Code code);
int exit_code(Code code);

// A value. `message` reads outermost to innermost, without trailing period.
class [[nodiscard]] Error {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }

  // Puts what was being done in front: "loading tokenizer.json: no field 'model'".
  Error with(std::string_view context) &&;
  Error with(std::string_view context) const&;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  Code code_;
  std::string message_;
};

inline Error invalid(std::string m) { return {Code::kInvalid, std::move(m)}; }
inline Error denied(std::string m) { return {Code::kDenied, std::move(m)}; }
inline Error not_found(std::string m) { return {Code::kNotFound, std::move(m)}; }
inline Error conflict(std::string m) { return {Code::kConflict, std::move(m)}; }
inline Error exhausted(std::string m) { return {Code::kExhausted, std::move(m)}; }
inline Error unavailable(std::string m) { return {Code::kUnavailable, std::move(m)}; }
inline Error timed_out(std::string m) { return {Code::kTimeout, std::move(m)}; }
inline Error cancelled(std::string m) { return {Code::kCancelled, std::move(m)}; }
inline Error unsupported(std::string m) { return {Code::kUnsupported, std::move(m)}; }
inline Error internal(std::string m) { return {Code::kInternal, std::move(m)}; }

// std::expected<T, Error> with the monadic members that libstdc++ 12 lacks.
template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(Error error) : value_(std::unexpected(std::move(error))) {}
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_constructible_v<T, U &&> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error>)
  Result(U&& value) : value_(std::forward<U>(value)) {}
  Result()
    requires std::is_void_v<T>
  = default;

  explicit operator bool() const { return value_.has_value(); }
  bool has_value() const { return value_.has_value(); }
  decltype(auto) operator*() & { return *value_; }
  decltype(auto) operator*() const& { return *value_; }
  decltype(auto) operator*() && { return *std::move(value_); }
  auto operator->() { return value_.operator->(); }
  auto operator->() const { return value_.operator->(); }
  const Error& error() const& { return value_.error(); }
  Error&& error() && { return std::move(value_).error(); }

  template <class U>
  T value_or(U&& other) const& {
    return value_.value_or(std::forward<U>(other));
  }

  template <class F>
  auto and_then(F&& next) && {
    using R = std::invoke_result_t<F, T>;
    return value_ ? std::forward<F>(next)(*std::move(value_)) : R(std::move(value_).error());
  }
  template <class F>
  auto transform(F&& next) && {
    using R = Result<std::invoke_result_t<F, T>>;
    return value_ ? R(std::forward<F>(next)(*std::move(value_))) : R(std::move(value_).error());
  }

  // Adds context to the error, if there is one.
  Result with(std::string_view context) && {
    if (value_) return std::move(*this);
    return Result(std::move(value_).error().with(context));
  }

 private:
  std::expected<T, Error> value_;
};

using Status = Result<void>;

}  // namespace baton

#define BATON_JOIN_(a, b) a##b
#define BATON_JOIN(a, b) BATON_JOIN_(a, b)
#define BATON_TRY_IMPL_(ret, tmp, expr) \
  auto tmp = (expr);                    \
  if (!tmp) ret std::move(tmp).error()
#define BATON_TRY_ASSIGN_IMPL_(ret, tmp, decl, expr) \
  auto tmp = (expr);                                 \
  if (!tmp) ret std::move(tmp).error();              \
  decl = *std::move(tmp)

// Returns the error of `expr`, or goes on. The CO forms do the same inside a coroutine.
#define BATON_TRY(expr) BATON_TRY_IMPL_(return, BATON_JOIN(baton_try_, __COUNTER__), expr)
#define BATON_TRY_ASSIGN(decl, expr) \
  BATON_TRY_ASSIGN_IMPL_(return, BATON_JOIN(baton_try_, __COUNTER__), decl, expr)
#define BATON_CO_TRY(expr) BATON_TRY_IMPL_(co_return, BATON_JOIN(baton_try_, __COUNTER__), expr)
#define BATON_CO_TRY_ASSIGN(decl, expr) \
  BATON_TRY_ASSIGN_IMPL_(co_return, BATON_JOIN(baton_try_, __COUNTER__), decl, expr)
