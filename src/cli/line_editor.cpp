#include "cli/line_editor.hpp"

#include <histedit.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <filesystem>

#include "cli/interrupt_key.hpp"

namespace baton::cli {

struct LineEditor::Impl {
  const InterruptKey& interrupt;
  std::string history_file;
  std::string prompt = {};
  bool interrupted = false;
  ::History* history = nullptr;
  ::EditLine* line = nullptr;

  ~Impl() {
    if (line != nullptr) ::el_end(line);
    if (history != nullptr) ::history_end(history);
  }
};

// The library's callbacks know the editor by its client data.
struct EditorCallbacks {
  static LineEditor::Impl& of(::EditLine* line) {
    void* data = nullptr;
    ::el_get(line, EL_CLIENTDATA, &data);
    return *static_cast<LineEditor::Impl*>(data);
  }
  static char* prompt(::EditLine* line) { return of(line).prompt.data(); }
  static unsigned char interrupt(::EditLine* line, int) {
    of(line).interrupted = true;
    return CC_EOF;
  }
  // The next key: a character of UTF-8, or Ctrl-C, which is a signal to the terminal at all times.
  static int key(::EditLine* line, wchar_t* out) {
    std::mbstate_t state{};
    while (true) {
      pollfd ready[] = {{STDIN_FILENO, POLLIN, 0}, {of(line).interrupt.descriptor(), POLLIN, 0}};
      char byte = 0;
      const bool woken = ::poll(ready, 2, -1) > 0;
      if (woken && (ready[1].revents & POLLIN) != 0) {
        of(line).interrupt.forget();
        *out = kControlC;
        return 1;
      }
      const auto got = woken ? ::read(STDIN_FILENO, &byte, 1) : -1;
      if (got < 0 && errno == EINTR) {  // another size, or back from the background
        ::el_set(line, EL_REFRESH);
        continue;
      }
      if (got <= 0) return static_cast<int>(got);
      const auto used = std::mbrtowc(out, &byte, 1, &state);
      if (used <= 1) return 1;
      if (used == static_cast<std::size_t>(-1)) state = {};  // no character: passed over
    }
  }

  static constexpr wchar_t kControlC = 3;
};

Result<std::unique_ptr<LineEditor>> LineEditor::open(std::string history_file,
                                                     const InterruptKey& interrupt) {
  // Bytes over 127 are characters of UTF-8 also where the environment says nothing.
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
  auto impl = std::make_unique<Impl>(interrupt, std::move(history_file));
  impl->history = ::history_init();
  impl->line = ::el_init("baton", stdin, stdout, stderr);
  if (impl->history == nullptr || impl->line == nullptr) return internal("no line editor");
  auto* line = impl->line;
  ::HistEvent event{};
  ::history(impl->history, &event, H_SETSIZE, kHistory);
  ::history(impl->history, &event, H_SETUNIQUE, 1);
  if (!impl->history_file.empty()) {
    ::history(impl->history, &event, H_LOAD, impl->history_file.c_str());
  }
  ::el_set(line, EL_CLIENTDATA, impl.get());
  ::el_set(line, EL_PROMPT, EditorCallbacks::prompt);
  ::el_set(line, EL_EDITOR, "emacs");
  ::el_set(line, EL_SIGNAL, 1);  // the terminal is left as it was, whatever ends the process
  ::el_set(line, EL_HIST, ::history, impl->history);
  ::el_set(line, EL_ADDFN, "baton-interrupt", "begins a new line", EditorCallbacks::interrupt);
  ::el_source(line, nullptr);
  ::el_set(line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  ::el_set(line, EL_GETCFN, EditorCallbacks::key);
  ::el_set(line, EL_BIND, "^C", "baton-interrupt", nullptr);
  return std::unique_ptr<LineEditor>(new LineEditor(std::move(impl)));
}

LineEditor::LineEditor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LineEditor::~LineEditor() = default;

LineEditor::Line LineEditor::read(const char* prompt) {
  impl_->prompt = prompt;
  impl_->interrupted = false;
  int count = 0;
  const char* text = ::el_gets(impl_->line, &count);
  if (impl_->interrupted) return {Line::End::kInterrupted, ""};
  if (text == nullptr || count <= 0) return {Line::End::kClosed, ""};
  std::string out(text, static_cast<std::size_t>(count));
  while (out.ends_with('\n') || out.ends_with('\r')) out.pop_back();
  if (out.find_first_not_of(' ') != std::string::npos) {
    ::HistEvent event{};
    ::history(impl_->history, &event, H_ENTER, out.c_str());
    if (!impl_->history_file.empty()) {
      std::error_code ignored;
      std::filesystem::create_directories(std::filesystem::path(impl_->history_file).parent_path(),
                                          ignored);
      const auto before = ::umask(0077);  // what was typed is the user's own
      ::history(impl_->history, &event, H_SAVE, impl_->history_file.c_str());
      ::umask(before);
    }
  }
  return {Line::End::kEntered, std::move(out)};
}

}  // namespace baton::cli
