#pragma once
// A plot as SVG text, for pages without scripts. Pure. Colours come from the page's style: series i
// has the class s<i>, text and axes use currentColor, so that light and dark both work.

#include <string>
#include <utility>
#include <vector>

namespace baton::cli {

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // finite
};

struct Chart {
  enum class Style : bool { kLines, kDots };

  std::string title, x, y;  // y and x: what the axes are, with unit
  Style style = Style::kLines;
  std::vector<Series> series;  // at most kMaxSeries are drawn in colours of their own
};
inline constexpr std::size_t kMaxSeries = 4;

// Round numbers from 0 to at least `most`: about five steps of 1, 2 or 5 times a power of ten.
std::vector<double> ticks(double most);

std::string svg(const Chart& chart);

// Text for HTML and SVG.
std::string escaped(std::string_view text);

}  // namespace baton::cli
