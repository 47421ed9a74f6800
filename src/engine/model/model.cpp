#include "engine/model/model.hpp"

#include <fmt/format.h>

#include "engine/model/transformer.hpp"

namespace baton::model {

Result<std::unique_ptr<Model>> Model::load(const std::filesystem::path& folder,
                                           const LoadOptions& options) {
  const Isa isa = options.isa.value_or(best_isa());
  if (!tensor::supported(isa)) {
    return invalid(fmt::format("this CPU does not run the {} kernels; it runs {}",
                               tensor::name(isa), tensor::name(best_isa())));
  }
  if (options.threads == 0) return invalid("the engine needs at least one thread");
  BATON_TRY_ASSIGN(Config config, read_config(folder));
  const tensor::Kernels& kernels = tensor::kernels(isa);
  auto pool = std::make_unique<tensor::ThreadPool>(
      options.groups.empty() ? tensor::unbound(options.threads) : options.groups);
  BATON_TRY_ASSIGN(Weights weights, load_weights(folder, config, kernels, *pool, options));
  const KvType kv_type = options.kv_type.value_or(
      weights.dtype() == tensor::Dtype::kF32 ? KvType::kF32 : KvType::kBf16);
  return std::unique_ptr<Model>(std::make_unique<Transformer>(std::move(config), kv_type, kernels,
                                                              std::move(pool), std::move(weights)));
}

}  // namespace baton::model
