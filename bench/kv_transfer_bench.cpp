// How fast a prompt's KV moves between two engines on this machine: out of the other's memory
// beside a plain memcpy of as many bytes, and over TCP beside a plain copy through such a socket.
//
//   kv_transfer_bench [--tokens N] [--block-size N] [--runs N] [--json FILE]
//
// Shape of a 135M-class model. Before a number counts, the rows that arrived are compared.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/text/json.hpp"
#include "cpu_time.hpp"
#include "engine/runtime/kv_puller.hpp"
#include "engine/runtime/kv_rows.hpp"
#include "engine/runtime/kv_server.hpp"
#include "figures.hpp"
#include "flags.hpp"

namespace baton::runtime {
namespace {

namespace json = text::json;
using bench::cpu_seconds;
using bench::fail;
using bench::must;

constexpr model::KvShape kShape{.layers = 30, .kv_heads = 3, .head_dim = 64};
constexpr std::size_t kCopyChunk = std::size_t{256} << 10;
constexpr std::string_view kHost = "127.0.0.1";

struct Options {
  std::size_t tokens = 2048;
  std::size_t block_size = 16;
  std::size_t runs = 9;
  std::string json_file;
};

struct Times {
  double wall = 0;  // seconds
  double cpu = 0;   // of both ends
};

template <class Work>
Times timed(const Clock& clock, Work work) {
  const Mono start = clock.now();
  const double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  work();
  return {seconds(clock.now() - start), cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu};
}

Times median(std::vector<Times> runs) {
  std::ranges::sort(runs, {}, &Times::wall);
  return runs[runs.size() / 2];
}

// A source and a target of one prompt's KV.
class Ends {
 public:
  Ends(const Options& options, LocalSocket local)
      : tokens_(options.tokens),
        from_(kShape, blocks(options), options.block_size,
              tensor::Pages::to_share(
                  model::KvMemory::bytes(kShape, blocks(options), options.block_size))),
        into_(kShape, blocks(options), options.block_size),
        leases_("bench", std::chrono::seconds(60), clock_, random_, [] {}) {
    config_.local_socket = local;
    for (std::size_t i = 0; i < blocks(options); ++i) table_.push_back(BlockIndex(i));
    fill();
    server_ = must(KvServer::listen(config_, {}, {leases_, from_, clock_}));
    server_->start();
    puller_ = std::make_unique<KvPuller>(
        config_, kv::Digest{},
        KvPuller::Deps{into_, clock_, [this](PullOutcome o) { done_.set_value(std::move(o)); }});
  }

  std::size_t bytes() const { return tokens_ * kShape.layers * kShape.row_bytes(); }

  // Through lease, frames, checksums and release.
  Times pull() {
    PullJob job;
    const auto grant = leases_.publish({"r", {}, tokens_, table_});
    job.source.remote_engine_id = "bench";
    job.source.remote_request_id = "r";
    job.source.remote_host = kHost;
    job.source.remote_port = server_->port();
    job.source.remote_num_tokens = tokens_;
    job.source.generation = grant.generation;
    job.source.lease_token = grant.token;
    job.end = tokens_;
    job.blocks = table_;
    job.deadline = Deadline::in(clock_, std::chrono::seconds(60));
    job.cancelled = std::make_shared<std::atomic<bool>>(false);
    done_ = {};
    auto outcome = done_.get_future();
    const Times times = timed(clock_, [&] {
      puller_->pull(std::move(job));
      outcome.wait();
    });
    if (const auto o = outcome.get(); !o.status) fail(o.status.error().message());
    (void)leases_.reclaim();
    check();
    return times;
  }

  // The same bytes and nothing else.
  Times plain() {
    const Times times = config_.local_socket == LocalSocket::kOn ? plain_memcpy() : plain_socket();
    check();
    return times;
  }

 private:
  Times plain_memcpy() {
    return timed(clock_, [&] {
      for (std::size_t layer = 0; layer < kShape.layers; ++layer)
        std::memcpy(into_.row(layer, BlockIndex{0}, 0), from_.row(layer, BlockIndex{0}, 0),
                    tokens_ * kShape.row_bytes());
    });
  }
  Times plain_socket() {
    const std::atomic<bool> never = false;
    const Patience patience{clock_, Deadline::in(clock_, std::chrono::seconds(60)), never};
    const Signal never_stop;
    Listener listener = must(listen_tcp(std::string(kHost), 0));
    const Socket reader = must(connect_tcp(std::string(kHost), listener.port, patience));
    const Socket writer = must(accept_any(std::span(&listener.socket, 1), never_stop));
    return timed(clock_, [&] {
      const std::jthread send([&] { stream(writer, from_, patience, &Socket::send); });
      stream(reader, into_, patience, &Socket::receive);
    });
  }

  using Move = Status (Socket::*)(std::span<iovec>, const Patience&) const;

  static std::size_t blocks(const Options& o) {
    return (o.tokens + o.block_size - 1) / o.block_size;
  }
  void stream(const Socket& socket, const model::KvMemory& memory, const Patience& patience,
              Move move) const {
    for (std::size_t layer = 0; layer < kShape.layers; ++layer)
      for (std::size_t at = 0; at < tokens_ * kShape.row_bytes(); at += kCopyChunk) {
        auto* start = const_cast<std::byte*>(memory.row(layer, BlockIndex{0}, 0)) + at;
        iovec part{start, std::min(kCopyChunk, tokens_ * kShape.row_bytes() - at)};
        if (const Status s = (socket.*move)(std::span(&part, 1), patience); !s)
          fail(s.error().message());
      }
  }
  void fill() {
    for (std::size_t layer = 0; layer < kShape.layers; ++layer)
      for (std::size_t t = 0; t < tokens_; ++t) {
        auto* row = from_.row(layer, table_[t / from_.block_size()], t % from_.block_size());
        for (std::size_t at = 0; at < kShape.row_bytes(); at += sizeof(std::uint64_t)) {
          const std::uint64_t word = random_.next();
          std::memcpy(row + at, &word, sizeof word);
        }
      }
  }
  // What arrived is what was sent; then it is forgotten.
  void check() {
    for (std::size_t layer = 0; layer < kShape.layers; ++layer) {
      const auto sent = rows_of(from_, layer, table_, 0, tokens_);
      const auto got = rows_of(into_, layer, table_, 0, tokens_);
      for (std::size_t i = 0; i < sent.size(); ++i) {
        if (std::memcmp(sent[i].iov_base, got[i].iov_base, sent[i].iov_len) != 0)
          fail(fmt::format("layer {} arrived changed", layer));
        std::memset(got[i].iov_base, 0, got[i].iov_len);
      }
    }
  }

  const std::size_t tokens_;
  SystemClock clock_;
  SeededRandom random_{1};
  TransferConfig config_;
  model::KvMemory from_, into_;
  std::vector<BlockIndex> table_;
  LeaseTable leases_;
  std::promise<PullOutcome> done_;
  std::unique_ptr<KvServer> server_;
  std::unique_ptr<KvPuller> puller_;
};

json::Value measure(const Options& options, LocalSocket local, std::string_view path) {
  Ends ends(options, local);
  std::vector<Times> pulls, copies;
  for (std::size_t i = 0; i <= options.runs; ++i) {
    const Times pull = ends.pull(), copy = ends.plain();
    if (i == 0) continue;  // touches the memory
    pulls.push_back(pull);
    copies.push_back(copy);
  }
  const Times pull = median(pulls), copy = median(copies);
  const double gb = static_cast<double>(ends.bytes()) * 1e-9;
  fmt::print(
      "{:<13} {:>8.1f} MB  pull {:>6.2f} GB/s {:>6.3f} CPU s/GB   copy {:>6.2f} GB/s "
      "{:>6.3f} CPU s/GB   pull/copy {:>4.0f} %\n",
      path, gb * 1e3, gb / pull.wall, pull.cpu / gb, gb / copy.wall, copy.cpu / gb,
      100 * copy.wall / pull.wall);
  json::Value out;
  out["path"] = path;
  out["bytes"] = ends.bytes();
  out["pull_gb_per_s"] = gb / pull.wall;
  out["pull_cpu_s_per_gb"] = pull.cpu / gb;
  out["copy_gb_per_s"] = gb / copy.wall;
  out["copy_cpu_s_per_gb"] = copy.cpu / gb;
  out["share"] = copy.wall / pull.wall;
  return out;
}

void run(const Options& options) {
  json::Value out;
  out["bench"] = "kv_transfer";
  out["tokens"] = options.tokens;
  out["block_size"] = options.block_size;
  out["paths"].push_back(measure(options, LocalSocket::kOn, "shared memory"));
  out["paths"].push_back(measure(options, LocalSocket::kOff, "TCP"));
  bench::save(out, options.json_file);
}

}  // namespace
}  // namespace baton::runtime

int main(int argc, char** argv) {
  baton::runtime::Options options;
  baton::bench::Flags("[--tokens N] [--block-size N] [--runs N] [--json FILE]")
      .count("--tokens", options.tokens)
      .count("--block-size", options.block_size)
      .count("--runs", options.runs)
      .text("--json", options.json_file)
      .read(argc, argv);
  baton::runtime::run(options);
}
