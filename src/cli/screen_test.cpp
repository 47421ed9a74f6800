#include "cli/screen.hpp"

#include <gtest/gtest.h>

namespace baton::cli {
namespace {

struct Terminal {
  Screen::Size size{10, 20};
  std::string written;
  Screen screen{[this](std::string_view text) { written += text; }, [this] { return size; }};

  std::string take() { return std::exchange(written, ""); }
};

TEST(Screen, DrawsTheTableOverTheLastOne) {
  Terminal t;
  t.screen.draw("a\nb\n");
  EXPECT_EQ(t.take(), "\r\x1b[Ja\nb\n");
  t.screen.draw("c\n");
  EXPECT_EQ(t.take(), "\r\x1b[2A\x1b[Jc\n");
}

TEST(Screen, KeepsLinesAboveTheTable) {
  Terminal t;
  t.screen.draw("a\nb\n");
  t.take();
  t.screen.print("warning\n");
  EXPECT_EQ(t.take(), "\r\x1b[2A\x1b[Jwarning\na\nb\n");
}

TEST(Screen, CutsWhatTheTerminalCannotShow) {
  Terminal t;
  t.size = {4, 8};
  t.screen.draw("0123456789\n1\n2\n3\n4\n");
  EXPECT_EQ(t.take(), "\r\x1b[J0123456\n1\nand 3 more lines\n");
  t.screen.draw("a\n");
  EXPECT_EQ(t.take(), "\r\x1b[3A\x1b[Ja\n");
}

}  // namespace
}  // namespace baton::cli
