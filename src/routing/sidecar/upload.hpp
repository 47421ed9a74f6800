#pragma once
// A request's body on its way to an engine that gets it as it is. Internal to the folder.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http/client.hpp"
#include "net/http/server.hpp"

namespace baton::sidecar {

inline constexpr std::size_t kMaxBody = 64 << 20;  // of a request

// Short ones are read whole, so that they can be sent again when a kept connection turns out to be
// closed. Longer ones are passed on as they come: one piece is held at a time.
class Upload final : public http::BodySource {
 public:
  static constexpr std::size_t kWhole = 64 << 10;

  // `exchange` must outlive it.
  explicit Upload(http::Exchange& exchange) : exchange_(exchange) {}

  // Reads until the body is there, or longer than kWhole: true when that was all, and begun() is
  // it. Once, before next().
  Task<Result<bool>> begin();
  std::string_view begun() const { return begun_; }

  // All of it; nullopt: the client does not say.
  std::optional<std::uint64_t> length() const;
  Task<Result<std::string_view>> next() override;
  void stop() override { exchange_.drop_body(); }
  // Why next() failed.
  const std::optional<Error>& error() const { return error_; }

 private:
  http::Exchange& exchange_;
  std::string begun_;
  bool handed_on_ = false;  // what was begun
  std::optional<Error> error_;
};

}  // namespace baton::sidecar
