#pragma once
// What the gateway's requests are doing, and why each went where it went: for the page at /ui.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/core/clock.hpp"
#include "base/text/json.hpp"
#include "formats/openai/live_requests.hpp"
#include "net/http/message.hpp"
#include "routing/pick/service_pool.hpp"
#include "routing/schedule/record.hpp"

namespace baton::gateway {

// One request.
//
//   kPicking ──picked──> kPrefill or kDecode ──answer's head──> kAnswering ──> kDone
//       └── kFailed (4xx, 5xx, broken off) or kLeft (by its client) <──┘ from each of them
struct Card {
  enum class Stage : std::uint8_t {
    kPicking,
    kPrefill,    // a prefill pod was named: it computes, then KV moves
    kDecode,     // the decode pod computes the prompt
    kAnswering,  // tokens come
    kDone,
    kFailed,
    kLeft,
  };
  std::uint64_t serial = 0;  // of the card; unique
  std::string id, service, model;
  Stage stage = Stage::kPicking;
  Wall at;
  Mono arrived;
  std::string decode, prefill;  // pods
  http::Endpoint decode_at, prefill_at;
  // What the engines of these last said of it, until its answer begins.
  struct Told {
    std::string pod;
    openai::LiveRequest request;
  };
  std::vector<Told> told;
  std::string no_prefill;  // why there is none
  // As the answer's head told: where the prompt's KV came from, and the times of its stages.
  std::uint64_t prompt = 0, remote = 0, cached = 0, computed = 0, kv_bytes = 0;
  std::string timing;  // Server-Timing
  std::uint64_t tokens = 0;
  Nanos first_byte{}, total{};  // since arrival; 0: not yet
  int status = 0;
  // Shared: the record's views are of names that the pool has, which may leave before the card.
  std::shared_ptr<const pick::ServicePool> decided_by;
  std::unique_ptr<schedule::Record> record;  // null: nobody was picked

  void picked(const pick::Route& route);
  // `prefilled`: what the answer says of its prefill pod.
  void answered(const http::ResponseHead& head, Mono now);
  bool is_over() const { return stage >= Stage::kDone; }
  // It was sent to its pods, and nothing has come back.
  bool is_with_engines() const { return stage == Stage::kPrefill || stage == Stage::kDecode; }
};
std::string_view name(Card::Stage stage);  // "picking", …
// 17 of "/requests/17"; nullopt for other paths.
std::optional<std::uint64_t> serial_of(std::string_view path);
text::json::Value to_json(const Card& card, Mono now);

// Holds the cards of requests on their way and of the last ones, kMost in all. Confined to the
// loop.
class Board {
 public:
  static constexpr std::size_t kMost = 100;

  std::shared_ptr<Card> open(std::string_view id, Wall at, Mono arrived);
  std::vector<Card*> with_engines();
  // Null when it is gone.
  const Card* find(std::uint64_t serial) const;
  // Newest first.
  text::json::Value to_json(Mono now) const;

 private:
  std::deque<std::shared_ptr<Card>> cards_;  // oldest first
  std::uint64_t next_serial_ = 1;
};

// Ends a card with its request, however that ends.
class CardKeeper {
 public:
  CardKeeper() = default;  // of nobody's card
  CardKeeper(std::shared_ptr<Card> card, const Clock& clock)
      : card_(std::move(card)), clock_(&clock) {}
  ~CardKeeper();
  CardKeeper(CardKeeper&&) = default;
  CardKeeper(const CardKeeper&) = delete;
  CardKeeper& operator=(const CardKeeper&) = delete;

  Card* operator->() const { return card_.get(); }
  explicit operator bool() const { return card_ != nullptr; }
  // The client has its whole answer, or an error.
  void finish(int status);

 private:
  std::shared_ptr<Card> card_;
  const Clock* clock_ = nullptr;
};

}  // namespace baton::gateway
