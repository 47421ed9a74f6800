// header-label-affinity-scorer: endpoints whose label is what a header of the request says.

#include "routing/schedule/plugins/plugins.hpp"

namespace baton::schedule {
namespace {

class HeaderLabelScorer final : public Scorer {
 public:
  HeaderLabelScorer(std::string header, std::string label)
      : header_(std::move(header)), label_(std::move(label)) {}
  void score(const Context& context, std::span<const Index> candidates,
             std::span<float> scores) const override {
    const auto wanted = context.request.header(header_);
    if (wanted.empty()) return;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const auto& endpoint = (*context.snapshot.endpoints)[candidates[c]];
      if (endpoint.label(label_) == wanted) scores[c] = 1;
    }
  }

 private:
  std::string header_, label_;
};

}  // namespace

Plugin make_header_label_scorer(Fields& parameters) {
  const auto header = parameters.header("headerName", "");
  const auto label = parameters.text("labelKey", "");
  if (header.empty()) parameters.fail("headerName", "the header's name is missing");
  if (label.empty()) parameters.fail("labelKey", "the label's name is missing");
  return {.scorer = std::make_unique<HeaderLabelScorer>(header, label), .reads_headers = true};
}

}  // namespace baton::schedule
