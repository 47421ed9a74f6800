#pragma once
// The command line of a benchmark: flags, each with a value of its own behind it.

#include <charconv>
#include <concepts>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace baton::bench {

// The variables have the defaults, and must live until read() returns.
class Flags {
 public:
  // `usage`: what stands behind the program's name, "[--runs N] [--json FILE]".
  explicit Flags(std::string_view usage) : usage_(usage) {}

  Flags& text(std::string_view flag, std::string& into) {
    return add(flag, [&into](std::string_view value) {
      into = value;
      return true;
    });
  }
  // A whole number above 0.
  template <std::integral Number>
  Flags& count(std::string_view flag, Number& into) {
    return add(flag, [&into](std::string_view value) {
      const auto* const end = value.data() + value.size();
      const auto [stopped, error] = std::from_chars(value.data(), end, into);
      return error == std::errc() && stopped == end && into > 0;
    });
  }
  template <class T>
  Flags& choice(std::string_view flag, T& into,
                std::initializer_list<std::pair<std::string_view, std::type_identity_t<T>>> names) {
    return add(flag, [&into, known = std::vector(names)](std::string_view value) {
      for (const auto& [name, meant] : known) {
        if (name != value) continue;
        into = meant;
        return true;
      }
      return false;
    });
  }

  // Arguments behind the program's name. Ends the program with status 2 and its usage when one is
  // unknown, has no value or one that it cannot have.
  void read(std::span<char* const> arguments) const;
  void read(int argc, char** argv) const {
    read(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
  }
  // Says so, too, of what a program reads without flags.
  [[noreturn]] void refuse(std::string_view what) const;

 private:
  using Take = std::function<bool(std::string_view)>;
  Flags& add(std::string_view flag, Take take) {
    flags_.emplace_back(flag, std::move(take));
    return *this;
  }

  std::string_view usage_;
  std::vector<std::pair<std::string_view, Take>> flags_;
};

}  // namespace baton::bench
