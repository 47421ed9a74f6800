#pragma once
// One line from a terminal: edited with the keys of emacs or vi (~/.editrc says), with a history.

#include <memory>
#include <string>

#include "base/core/result.hpp"

namespace baton::cli {

class InterruptKey;

// Confined to one thread; one at a time. Standard input and output are a terminal.
class LineEditor {
 public:
  static constexpr int kHistory = 500;  // lines

  // The history is read from the file and written to it with every line, unless "". `interrupt`
  // outlives it. kInternal: the terminal cannot be used.
  static Result<std::unique_ptr<LineEditor>> open(std::string history_file,
                                                  const InterruptKey& interrupt);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  struct Line {
    enum class End : std::uint8_t { kEntered, kInterrupted, kClosed } end;  // Ctrl-C, Ctrl-D
    std::string text;  // of kEntered, without the newline
  };
  Line read(const char* prompt);

 private:
  friend struct EditorCallbacks;
  struct Impl;
  explicit LineEditor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace baton::cli
