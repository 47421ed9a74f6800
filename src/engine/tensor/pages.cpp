#include "engine/tensor/pages.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "base/core/assert.hpp"

namespace baton::tensor {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t round_up(std::size_t bytes) { return (bytes + kHugePage - 1) / kHugePage * kHugePage; }

// The kernel's setting, which stands in brackets among those it has; "" where it has none.
std::string setting(const char* file) {
  std::ifstream in(file);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto begin = text.find('['), end = text.find(']');
  return begin < end && end != std::string::npos ? text.substr(begin + 1, end - begin - 1) : "";
}

// Asks for huge pages; the kernel says nothing when it forms none.
PageKind advise(void* memory, std::size_t bytes, const char* file) {
  const std::string allowed = setting(file);
  const bool formed = madvise(memory, bytes, MADV_HUGEPAGE) == 0 && !allowed.empty() &&
                      allowed != "never" && allowed != "deny";
  return formed ? PageKind::kTransparent : PageKind::kSmall;
}

constexpr const char* kOfProcesses = "/sys/kernel/mm/transparent_hugepage/enabled";
constexpr const char* kOfSharedMemory = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

// A file in memory of that size, mapped; nullptr: the kernel has no room of that kind.
std::byte* map_shared(int descriptor, std::size_t bytes) {
  if (descriptor < 0 || ftruncate(descriptor, static_cast<off_t>(bytes)) != 0) return nullptr;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
}

}  // namespace

std::string_view name(PageKind kind) {
  switch (kind) {
    case PageKind::kReserved:
      return "reserved huge pages";
    case PageKind::kTransparent:
      return "transparent huge pages";
    case PageKind::kSmall:
      return "ordinary pages";
  }
  return "";
}

Pages Pages::of_own(std::size_t bytes) {
  Pages out;
  out.bytes_ = round_up(bytes);
  constexpr int kMap = MAP_PRIVATE | MAP_ANONYMOUS;
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  void* memory = mmap(nullptr, out.bytes_, kAccess, kMap | MAP_HUGETLB, -1, 0);
  out.kind_ = PageKind::kReserved;
  if (memory == MAP_FAILED) {
    memory = mmap(nullptr, out.bytes_, kAccess, kMap | MAP_NORESERVE, -1, 0);
    BATON_ASSERT(memory != MAP_FAILED);
    out.kind_ = advise(memory, out.bytes_, kOfProcesses);
  }
  out.memory_ = static_cast<std::byte*>(memory);
  return out;
}

Pages Pages::to_share(std::size_t bytes) {
  Pages out;
  out.bytes_ = round_up(bytes);
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  out.descriptor_ = memfd_create("baton-kv", kFlags | MFD_HUGETLB | MFD_HUGE_2MB);
  out.memory_ = map_shared(out.descriptor_, out.bytes_);
  out.kind_ = PageKind::kReserved;
  if (out.memory_ == nullptr) {
    if (out.descriptor_ >= 0) close(out.descriptor_);
    out.descriptor_ = memfd_create("baton-kv", kFlags);
    out.memory_ = map_shared(out.descriptor_, out.bytes_);
    if (out.memory_ == nullptr) return of_own(bytes);
    out.kind_ = advise(out.memory_, out.bytes_, kOfSharedMemory);
  }
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  if (fcntl(out.descriptor_, F_ADD_SEALS, kSeals) != 0) return of_own(bytes);  // before Linux 5.1
  return out;
}

Result<Pages> Pages::of_another(int descriptor, std::size_t bytes) {
  struct stat file{};
  if (fstat(descriptor, &file) != 0 || static_cast<std::size_t>(file.st_size) < bytes)
    return invalid("shared memory is smaller than what is to be read of it");
  const int seals = fcntl(descriptor, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
    return invalid("shared memory may shrink while it is read");
  Pages out;
  out.bytes_ = static_cast<std::size_t>(file.st_size);
  void* memory = mmap(nullptr, out.bytes_, PROT_READ, MAP_SHARED, descriptor, 0);
  if (memory == MAP_FAILED) return exhausted("shared memory cannot be mapped");
  out.memory_ = static_cast<std::byte*>(memory);
  return out;
}

Pages::~Pages() {
  if (memory_ != nullptr) munmap(memory_, bytes_);
  if (descriptor_ >= 0) close(descriptor_);
}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  std::swap(kind_, other.kind_);
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

}  // namespace baton::tensor
