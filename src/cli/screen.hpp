#pragma once
// The lower end of a terminal: lines that stay, and a table under them that is drawn anew in place.

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace baton::cli {

// Thread-safe. Each change is one write, so that nothing of another writer comes in between.
class Screen {
 public:
  struct Size {
    std::size_t rows, columns;
  };
  using Write = std::function<void(std::string_view)>;
  using Measure = std::function<Size()>;

  Screen(Write write, Measure measure) : write_(std::move(write)), measure_(std::move(measure)) {}
  // Of standard error; 24 x 80 where it does not tell.
  static Screen of_standard_error();

  std::size_t columns() const { return measure_().columns; }
  // Whole lines, that stay above the table.
  void print(std::string_view lines);
  // Replaces the table. What is wider or longer than the terminal is cut, and said.
  void draw(std::string table);

 private:
  std::string erased() const;
  std::string fitted(std::string_view table);

  const Write write_;
  const Measure measure_;
  std::mutex mutex_;
  std::string table_;
  std::size_t shown_ = 0;  // lines of the table on the terminal
};

}  // namespace baton::cli
