#include "routing/sidecar/upload.hpp"

#include <utility>

#include "routing/sidecar/relay.hpp"

namespace baton::sidecar {

std::optional<std::uint64_t> Upload::length() const {
  return content_length(exchange_.head().headers);
}

Task<Result<bool>> Upload::begin() {
  const bool chunked = exchange_.head().headers.has("Transfer-Encoding");
  const std::uint64_t told = length().value_or(0);
  if ((!chunked && told <= kWhole) || told > kMaxBody) {
    BATON_CO_TRY_ASSIGN(begun_, co_await exchange_.read_body(kMaxBody));
    co_return true;
  }
  while (begun_.size() <= kWhole) {
    BATON_CO_TRY_ASSIGN(const std::string_view piece, co_await exchange_.read_some(kMaxBody));
    if (piece.empty()) co_return true;
    begun_ += piece;
  }
  co_return false;
}

Task<Result<std::string_view>> Upload::next() {
  if (!std::exchange(handed_on_, true)) co_return std::string_view(begun_);
  std::string().swap(begun_);
  Result<std::string_view> piece = co_await exchange_.read_some(kMaxBody);
  if (!piece) error_ = piece.error();
  co_return piece;
}

}  // namespace baton::sidecar
