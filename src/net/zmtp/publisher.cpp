#include "net/zmtp/publisher.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "base/core/log.hpp"
#include "net/http/lookup.hpp"
#include "net/zmtp/socket.hpp"

namespace baton::zmtp {
namespace {

constexpr Nanos kReconnect = std::chrono::seconds(1);
constexpr int kLookMillis = 500;  // handshakes and reconnects are late by this
constexpr std::size_t kReplayAtOnce = std::size_t{1} << 20;
constexpr std::size_t kMaxWish = 1024;  // bytes a subscriber may send as one message

struct Entry {
  std::uint64_t number;
  std::string payload;
};

struct Subscriber {
  Peer peer;
  Mono since;
  std::vector<std::string> topics = {};  // prefixes it wants
  std::deque<std::size_t> sizes = {};    // of what is on its way, for the bound
  std::size_t offered = 0;               // their sum
};

struct Replayer {
  Peer peer;
  std::optional<std::uint64_t> next = {};  // to be sent
};

class ThreadedPublisher final : public Publisher {
 public:
  ThreadedPublisher(Config config, const Clock& clock)
      : config_(std::move(config)), clock_(clock) {}
  ~ThreadedPublisher() override {
    stopping_ = true;
    wake_.wake();
    if (thread_.joinable()) thread_.join();
  }

  Status open();
  void publish(std::string payload) override;
  Stats stats() const override;
  http::Endpoint at() const override {
    return address_.binds == Binds::kYes ? address_.at : http::Endpoint{};
  }
  http::Endpoint replay_at() const override { return replay_at_; }

 private:
  void run();
  void take_queue();
  void connect();
  std::optional<Result<http::Addresses>> look_up(Mono now);
  void connected();
  void failed(const Error& why);
  void accept();
  void serve(const std::vector<pollfd>& polled);
  bool serve(Subscriber& subscriber, short revents);
  bool serve(Replayer& replayer, short revents);
  void replay(Replayer& replayer);
  void offer(Subscriber& subscriber, std::string_view encoded);

  const Config config_;
  const Clock& clock_;
  Address address_;
  http::Endpoint replay_at_;
  Listener listener_, replay_listener_;
  Wake wake_;
  std::atomic<bool> stopping_ = false;

  mutable std::mutex mutex_;  // guards the next two
  std::deque<Entry> queue_;
  Stats stats_;

  // The thread's.
  std::deque<Entry> remembered_;
  std::size_t remembered_bytes_ = 0;
  std::list<Subscriber> subscribers_;
  std::list<Replayer> replayers_;
  std::shared_ptr<http::Lookup> lookup_;         // of the endpoint's name, under way; null: none
  std::optional<http::Lookup::Watch> answered_;  // ends before lookup_ and wake_
  Mono asked_ = Mono::min();
  http::Addresses untried_;  // of the subscriber that is connected to, last first
  Mono try_again_ = Mono::min();
  bool told_ = false;  // that it cannot be reached
  std::thread thread_;
};

Status ThreadedPublisher::open() {
  BATON_TRY_ASSIGN(address_, parse_address(config_.endpoint, config_.any));
  if (address_.binds == Binds::kYes) {
    BATON_TRY_ASSIGN(auto fd, listen_at(address_.at));
    listener_ = Listener(std::move(fd));
  }
  if (config_.replay_endpoint) {
    BATON_TRY_ASSIGN(auto replay, parse_address(*config_.replay_endpoint, config_.any));
    BATON_TRY_ASSIGN(auto fd, listen_at(replay.at));
    replay_listener_ = Listener(std::move(fd));
    replay_at_ = replay.at;
  }
  thread_ = std::thread([this] { run(); });
  return {};
}

void ThreadedPublisher::publish(std::string payload) {
  {
    const std::scoped_lock lock(mutex_);
    const auto number = stats_.published++;
    if (queue_.size() >= config_.max_queue_size) {
      if (stats_.lost++ == 0) {
        log::warn("KV events are lost: the publisher's queue is full", {{"number", number}});
      }
      return;
    }
    queue_.push_back({number, std::move(payload)});
  }
  wake_.wake();
}

Publisher::Stats ThreadedPublisher::stats() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

void ThreadedPublisher::run() {
  std::vector<pollfd> polled;
  while (!stopping_) {
    connect();
    polled = {wake_.wanted(), subscribers_.size() < kMaxPeers ? listener_.wanted() : kNotPolled,
              replayers_.size() < kMaxPeers ? replay_listener_.wanted() : kNotPolled};
    for (const auto& s : subscribers_) polled.push_back(s.peer.wanted());
    for (const auto& r : replayers_) polled.push_back(r.peer.wanted());
    ::poll(polled.data(), polled.size(), kLookMillis);
    wake_.clear();
    serve(polled);
    take_queue();
    accept();
    const auto ready = static_cast<std::size_t>(
        std::ranges::count_if(subscribers_, [](const auto& s) { return !s.topics.empty(); }));
    const std::scoped_lock lock(mutex_);
    stats_.subscribers = ready;
  }
}

// Where the endpoint is the subscriber's: its addresses in turn.
void ThreadedPublisher::connect() {
  const auto now = clock_.now();
  if (address_.binds == Binds::kYes || !subscribers_.empty()) return;
  if (untried_.empty()) {
    if (now < try_again_) return;
    const auto found = look_up(now);
    if (!found) return;
    try_again_ = now + kReconnect;
    if (!*found) return failed(found->error());
    untried_.assign((*found)->rbegin(), (*found)->rend());
  }
  while (!untried_.empty()) {
    auto fd = connect_to(untried_.back());
    untried_.pop_back();
    if (fd) {
      subscribers_.push_back({Peer(*std::move(fd), Role::kPub, now, {kMaxWish}), now});
      return;
    }
    failed(fd.error());
  }
}

// nullopt: not yet. The loop is woken when there is an answer.
std::optional<Result<http::Addresses>> ThreadedPublisher::look_up(Mono now) {
  if (const auto address = http::literal_address(address_.at)) return http::Addresses{*address};
  if (!lookup_) {
    auto joined = http::Lookup::join(address_.at.host);
    if (!joined) return joined.error();
    lookup_ = *std::move(joined);
    answered_.emplace(*lookup_, [this] { wake_.wake(); });
    asked_ = now;
  }
  auto found = lookup_->answer(address_.at.port);
  if (found) {
    answered_.reset();
    lookup_.reset();
  } else if (now - asked_ >= kReconnect) {
    failed(lookup_->late());
  }
  return found;
}

// That the subscriber wants something, and stays: one that hangs up at once is not reached.
void ThreadedPublisher::connected() {
  if (address_.binds == Binds::kYes) return;
  untried_.clear();
  if (!std::exchange(told_, false)) return;
  log::info("KV events reach their endpoint now", {{"endpoint", config_.endpoint}});
}

// That the endpoint's subscriber cannot be reached, or no more: told once, of its last address.
void ThreadedPublisher::failed(const Error& why) {
  if (address_.binds == Binds::kYes || !untried_.empty() || std::exchange(told_, true)) return;
  log::warn("KV events do not reach their endpoint: it is tried again until they do",
            {{"endpoint", config_.endpoint}, {"why", why.message()}});
}

void ThreadedPublisher::accept() {
  const auto now = clock_.now();
  while (listener_ && subscribers_.size() < kMaxPeers) {
    auto fd = listener_.accept();
    if (!fd) break;
    subscribers_.push_back({Peer(std::move(fd), Role::kPub, now, {kMaxWish}), now});
  }
  while (replay_listener_ && replayers_.size() < kMaxPeers) {
    auto fd = replay_listener_.accept();
    if (!fd) break;
    replayers_.push_back({Peer(std::move(fd), Role::kRouter, now, {kMaxWish})});
  }
}

void ThreadedPublisher::serve(const std::vector<pollfd>& polled) {
  std::size_t at = 3;
  for (auto s = subscribers_.begin(); s != subscribers_.end();) {
    s = serve(*s, polled[at++].revents) ? std::next(s) : subscribers_.erase(s);
  }
  for (auto r = replayers_.begin(); r != replayers_.end();) {
    r = serve(*r, polled[at++].revents) ? std::next(r) : replayers_.erase(r);
  }
}

bool ThreadedPublisher::serve(Subscriber& s, short revents) {
  const auto now = clock_.now();
  if (const auto served = s.peer.serve(revents, now); !served) {
    failed(served.error());
    return false;
  }
  while (true) {
    auto message = s.peer.next();
    if (!message && address_.binds == Binds::kYes) {
      log::warn("a subscriber of KV events is refused", {{"why", message.error().message()}});
    }
    if (!message) {
      failed(message.error());
      return false;
    }
    if (!*message) {
      if (!s.topics.empty() && now - s.since >= kReconnect) connected();
      return true;
    }
    const auto& wish = (*message)->front();
    if (wish.empty()) continue;
    auto topic = wish.substr(1);
    if (wish[0] == '\1') {
      if (s.topics.size() < kMaxFrames) s.topics.push_back(std::move(topic));
    } else {
      const auto found = std::ranges::find(s.topics, topic);
      if (found != s.topics.end()) s.topics.erase(found);
    }
  }
}

bool ThreadedPublisher::serve(Replayer& r, short revents) {
  if (!r.peer.serve(revents, clock_.now())) return false;
  replay(r);
  while (!r.next) {
    auto message = r.peer.next();
    if (!message) return false;
    if (!*message) return true;
    const auto start = read_sequence((*message)->back());
    if ((*message)->size() != 2 || !start) {
      log::warn("a request to repeat KV events is malformed", {{"frames", (*message)->size()}});
      return false;
    }
    r.next = start;
    const std::scoped_lock lock(mutex_);
    ++stats_.replays;
  }
  replay(r);
  return true;
}

// As much as goes without piling up; the rest when that is sent.
void ThreadedPublisher::replay(Replayer& r) {
  while (r.next && r.peer.unsent() < kReplayAtOnce) {
    const auto entry = std::ranges::lower_bound(remembered_, *r.next, {}, &Entry::number);
    if (entry == remembered_.end()) {
      r.peer.send({"", sequence_bytes(kReplayEnd), ""});
      r.next.reset();
    } else {
      r.peer.send({"", sequence_bytes(entry->number), entry->payload});
      r.next = entry->number + 1;
    }
  }
}

void ThreadedPublisher::take_queue() {
  std::deque<Entry> fresh;
  {
    const std::scoped_lock lock(mutex_);
    fresh.swap(queue_);
  }
  for (auto& entry : fresh) {
    const auto encoded = encode({config_.topic, sequence_bytes(entry.number), entry.payload});
    for (auto& s : subscribers_) offer(s, encoded);
    remembered_bytes_ += entry.payload.size();
    remembered_.push_back(std::move(entry));
    while (remembered_.size() > config_.buffer_steps || remembered_bytes_ > kMaxReplayBytes) {
      remembered_bytes_ -= remembered_.front().payload.size();
      remembered_.pop_front();
    }
  }
  if (fresh.empty()) return;
  const auto now = clock_.now();
  for (auto s = subscribers_.begin(); s != subscribers_.end();) {
    const auto served = s->peer.serve(0, now);
    if (!served) failed(served.error());
    s = served ? std::next(s) : subscribers_.erase(s);
  }
}

void ThreadedPublisher::offer(Subscriber& s, std::string_view encoded) {
  const auto wants = [&](const std::string& topic) { return config_.topic.starts_with(topic); };
  if (!std::ranges::any_of(s.topics, wants)) return;
  // What is unsent is the end of what was offered.
  while (!s.sizes.empty() && s.offered - s.sizes.front() >= s.peer.unsent()) {
    s.offered -= s.sizes.front();
    s.sizes.pop_front();
  }
  if (s.sizes.size() >= config_.hwm || s.peer.unsent() + encoded.size() > kMaxUnsentBytes) {
    const std::scoped_lock lock(mutex_);
    ++stats_.skipped;
    return;
  }
  s.sizes.push_back(encoded.size());
  s.offered += encoded.size();
  s.peer.send_encoded(encoded);
}

}  // namespace

Result<std::unique_ptr<Publisher>> Publisher::start(Config config, const Clock& clock) {
  auto made = std::make_unique<ThreadedPublisher>(std::move(config), clock);
  BATON_TRY(made->open());
  return std::unique_ptr<Publisher>(std::move(made));
}

std::string sequence_bytes(std::uint64_t number) {
  std::string out;
  for (int i = 7; i >= 0; --i) out.push_back(static_cast<char>(number >> (8 * i)));
  return out;
}

std::optional<std::uint64_t> read_sequence(std::string_view bytes) {
  if (bytes.size() != 8) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : bytes) number = number << 8 | static_cast<unsigned char>(c);
  return number;
}

}  // namespace baton::zmtp
