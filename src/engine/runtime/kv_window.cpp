#include "engine/runtime/kv_window.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <limits>

namespace baton::runtime {
namespace {

// 2^47 bytes are what a process can address.
constexpr std::uint64_t kMaxRows = std::uint64_t{1} << 40;

// Rows of the memory, or 0 when there cannot be so many.
std::uint64_t rows(const kv::Shared& shared, const model::KvShape& shape) {
  const std::uint64_t layer = std::uint64_t{shared.blocks} * shared.block_size;
  return layer > kMaxRows / shape.layers ? 0 : layer * shape.layers;
}

}  // namespace

Result<std::shared_ptr<const model::KvMemory>> KvWindows::open(int descriptor,
                                                               const kv::Shared& shared,
                                                               const model::KvShape& shape,
                                                               Mono now) {
  struct stat file{};
  if (rows(shared, shape) == 0 || ::fstat(descriptor, &file) != 0)
    return invalid("KV frame: shared memory of an impossible size");
  const Name name{file.st_dev, file.st_ino};
  const std::scoped_lock lock(mutex_);
  for (Window& window : windows_) {
    if (window.name != name || window.memory->blocks() != shared.blocks ||
        window.memory->block_size() != shared.block_size || window.memory->shape() != shape)
      continue;
    window.used = now;
    return window.memory;
  }
  BATON_TRY_ASSIGN(
      auto pages, tensor::Pages::of_another(
                      descriptor, model::KvMemory::bytes(shape, shared.blocks, shared.block_size)));
  auto memory = std::make_shared<const model::KvMemory>(shape, shared.blocks, shared.block_size,
                                                        std::move(pages));
  if (windows_.size() == kMost)
    windows_.erase(std::ranges::min_element(windows_, {}, &Window::used));
  windows_.push_back({name, memory, now});
  return memory;
}

void KvWindows::forget_idle(Mono now) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(windows_, [&](const Window& window) { return now - window.used >= kIdle; });
}

std::size_t KvWindows::size() const {
  const std::scoped_lock lock(mutex_);
  return windows_.size();
}

}  // namespace baton::runtime
