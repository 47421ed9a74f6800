#include "engine/model/rope.hpp"

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

}  // namespace

Rope::Rope(const Config& config) {
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
    }
    frequencies_.push_back(static_cast<float>(frequency));
  }
}

void Rope::angles(std::size_t position, float* cosines, float* sines) const {
  for (std::size_t i = 0; i < frequencies_.size(); ++i) {
    // The angle is rounded to f32, as the models were trained.
    const float angle = static_cast<float>(position) * frequencies_[i];
    cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
    sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
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
