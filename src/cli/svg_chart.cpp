#include "cli/svg_chart.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace baton::cli {

namespace {

constexpr double kWidth = 560, kHeight = 300;
constexpr double kLeft = 64, kRight = 12, kTop = 30, kBottom = 44;
constexpr double kInnerWidth = kWidth - kLeft - kRight, kInnerHeight = kHeight - kTop - kBottom;

class Drawing {
 public:
  explicit Drawing(const Chart& chart) : chart_(chart) {
    double x = 0, y = 0;
    for (const auto& series : chart.series) {
      for (const auto& [px, py] : series.points) {
        x = std::max(x, px);
        y = std::max(y, py);
      }
    }
    x_ = ticks(x);
    y_ = ticks(y);
  }

  std::string text() {
    out_ = fmt::format(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\"><text x=\"{}\" y=\"16\" "
        "class=\"title\">{}</text>\n",
        kWidth, kHeight, escaped(chart_.title), kLeft, escaped(chart_.title));
    axes();
    for (std::size_t i = 0; i < chart_.series.size(); ++i) series(i);
    legend();
    return std::move(out_) + "</svg>\n";
  }

 private:
  double at_x(double value) const { return kLeft + kInnerWidth * value / x_.back(); }
  double at_y(double value) const { return kTop + kInnerHeight * (1 - value / y_.back()); }

  void label(double x, double y, std::string_view anchor, std::string_view text) {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", x, y,
                        anchor, escaped(text));
  }
  void axes() {
    for (const double value : y_) {
      out_ += fmt::format("<path class=\"grid\" d=\"M{} {:.1f}h{}\"/>", kLeft, at_y(value),
                          kInnerWidth);
      label(kLeft - 6, at_y(value) + 4, "end", fmt::format("{:g}", value));
    }
    for (const double value : x_) {
      label(at_x(value), kHeight - kBottom + 16, "middle", fmt::format("{:g}", value));
    }
    label(kLeft + kInnerWidth, kHeight - 8, "end", chart_.x);
    label(kLeft, kTop - 2, "start", chart_.y);
  }
  void series(std::size_t index) {
    const auto& points = chart_.series[index].points;
    const std::string name = fmt::format("s{}", index % kMaxSeries);
    if (chart_.style == Chart::Style::kLines) {
      out_ += fmt::format("<polyline class=\"{}\" points=\"", name);
      for (const auto& [x, y] : points) out_ += fmt::format("{:.1f},{:.1f} ", at_x(x), at_y(y));
      out_ += "\"/>";
      if (points.size() > 20) return;  // dots would hide the line
    }
    for (const auto& [x, y] : points) {
      out_ += fmt::format("<circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>", name,
                          at_x(x), at_y(y));
    }
  }
  void legend() {
    double x = kLeft;
    for (std::size_t i = 0; i < chart_.series.size(); ++i) {
      out_ += fmt::format("<circle class=\"s{}\" cx=\"{}\" cy=\"{}\" r=\"4\"/>", i % kMaxSeries,
                          x + 4, kHeight - 12);
      label(x + 12, kHeight - 8, "start", chart_.series[i].name);
      x += 24 + 7.5 * static_cast<double>(chart_.series[i].name.size());
    }
  }

  const Chart& chart_;
  std::vector<double> x_, y_;
  std::string out_;
};

}  // namespace

std::vector<double> ticks(double most) {
  if (!(most > 0) || !std::isfinite(most)) most = 1;
  const double power = std::pow(10, std::floor(std::log10(most / 5)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (most / step > 6) step = power * factor;
  }
  std::vector<double> out;
  for (int i = 0; out.empty() || out.back() < most; ++i) out.push_back(step * i);
  return out;
}

std::string svg(const Chart& chart) { return Drawing(chart).text(); }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace baton::cli
