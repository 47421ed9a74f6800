#include "engine/runtime/cache_log.hpp"

namespace baton::runtime {
namespace {

constexpr const char* kGpu = "gpu";  // what vLLM calls the first tier, also on a CPU

}  // namespace

void CacheLog::stored(Sequence& s, std::size_t index, std::size_t block_size) {
  const auto block = [&](std::size_t i) {
    return std::span<const TokenId>(s.tokens).subspan(i * block_size, block_size);
  };
  while (s.hashes.size() <= index) {
    const bool first = s.hashes.empty();
    s.hashes.push_back(hash_.next(first ? hash_.none() : s.hashes.back(), block(s.hashes.size()),
                                  first ? s.request.cache_salt : ""));
  }
  const auto own = VllmHash::number(s.hashes[index]);
  told_.insert_or_assign(s.names[index], own);
  std::optional<kv::EngineHash> parent;
  if (index > 0) parent = VllmHash::number(s.hashes[index - 1]);
  auto* last = events_.empty() ? nullptr : std::get_if<kv::BlockStored>(&events_.back());
  if (last == nullptr || !parent || last->hashes.back() != *parent) {
    kv::BlockStored fresh;
    fresh.parent = parent;
    fresh.block_size = static_cast<std::uint32_t>(block_size);
    fresh.medium = kGpu;
    last = &std::get<kv::BlockStored>(events_.emplace_back(std::move(fresh)));
  }
  last->hashes.push_back(own);
  if (index == 0 && !s.request.cache_salt.empty()) {
    last->extra_keys = {{s.request.cache_salt}};
  } else if (!last->extra_keys.empty()) {
    last->extra_keys.emplace_back();
  }
  const auto tokens = block(index);
  last->tokens.insert(last->tokens.end(), tokens.begin(), tokens.end());
}

void CacheLog::removed(const kv::Digest& name) {
  const auto known = told_.extract(name);
  if (known.empty()) return;
  auto* last = events_.empty() ? nullptr : std::get_if<kv::BlockRemoved>(&events_.back());
  if (last == nullptr) {
    kv::BlockRemoved fresh;
    fresh.medium = kGpu;
    last = &std::get<kv::BlockRemoved>(events_.emplace_back(std::move(fresh)));
  }
  last->hashes.push_back(known.mapped());
}

}  // namespace baton::runtime
