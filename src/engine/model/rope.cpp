#include "engine/model/rope.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace baton::model {

namespace {

// The frequencies of Llama 3: long waves are stretched by `factor`, short ones kept, those between
// blended.
double stretch(const Config::RopeScaling& s, double frequency) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  if (wavelength < s.original_max_positions / s.high_freq_factor) return frequency;
  if (wavelength > s.original_max_positions / s.low_freq_factor) return frequency / s.factor;
  const double kept = (s.original_max_positions / wavelength - s.low_freq_factor) /
                      (s.high_freq_factor - s.low_freq_factor);
  return (1 - kept) * frequency / s.factor + kept * frequency;
}

// YaRN: dimensions that turn often within the original context are kept, those that turn seldom are
// stretched, those between blended along the dimensions.
class Yarn {
 public:
  explicit Yarn(const Config& config) : scaling_(config.rope_scaling) {
    const auto dim = static_cast<double>(config.head_dim);
    // The dimension that makes `turns` rotations over the original context.
    const auto dimension = [&](double turns) {
      return dim * std::log(scaling_.original_max_positions / (turns * 2 * std::numbers::pi)) /
             (2 * std::log(config.rope_theta));
    };
    double low = dimension(scaling_.beta_fast);
    double high = dimension(scaling_.beta_slow);
    if (scaling_.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low_ = std::max(low, 0.0);
    high_ = std::min(high, dim - 1);
    if (low_ == high_) high_ += 0.001;
  }

  double stretch(std::size_t pair, double frequency) const {
    const double ramp = std::clamp((static_cast<double>(pair) - low_) / (high_ - low_), 0.0, 1.0);
    return ramp * frequency / scaling_.factor + (1 - ramp) * frequency;
  }

 private:
  const Config::RopeScaling& scaling_;
  double low_ = 0, high_ = 0;
};

}  // namespace

Rope::Rope(const Config& config) {
  const Yarn yarn(config);
  const auto dim = static_cast<double>(config.head_dim);
  for (std::size_t i = 0; i < config.head_dim; i += 2) {
    double frequency = 1.0 / std::pow(config.rope_theta, static_cast<double>(i) / dim);
    switch (config.rope_scaling.kind) {
      case Config::RopeScaling::Kind::kNone:
        break;
      case Config::RopeScaling::Kind::kLinear:
        frequency /= config.rope_scaling.factor;
        break;
      case Config::RopeScaling::Kind::kLlama3:
        frequency = stretch(config.rope_scaling, frequency);
        break;
      case Config::RopeScaling::Kind::kYarn:
        frequency = yarn.stretch(i / 2, frequency);
        break;
    }
    frequencies_.push_back(static_cast<float>(frequency));
  }
  magnitude_ = config.rope_scaling.attention_factor;
}

void Rope::angles(std::size_t position, float* cosines, float* sines) const {
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    // The angle is rounded to f32, as the models were trained.
    const float angle = static_cast<float>(position) * frequencies_[i];
    cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * magnitude_);
    sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)) * magnitude_);
  }
}

void Rope::rotate(float* x, std::size_t heads, const float* cosines, const float* sines) const {
  const std::size_t half = frequencies_.size();
  for (std::size_t head = 0; head < heads; ++head, x += 2 * half) {
    for (std::size_t i = 0; i < half; ++i) {
      const float low = x[i];
      const float high = x[i + half];
      x[i] = low * cosines[i] - high * sines[i];
      x[i + half] = high * cosines[i] + low * sines[i];
    }
  }
}

}  // namespace baton::model
