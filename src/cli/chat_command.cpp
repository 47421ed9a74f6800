// `baton chat`: talk to a server, one turn after another, and see how each answer was made.

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "base/async/loop.hpp"
#include "base/core/clock.hpp"
#include "cli/chat_session.hpp"
#include "cli/command.hpp"
#include "cli/interrupt_key.hpp"
#include "cli/line_editor.hpp"
#include "cli/print.hpp"

namespace baton::cli {
namespace {

struct ChatFlags {
  std::string url = "http://127.0.0.1:8080/v1";
  std::string system;
  std::string system_file;
  std::vector<std::string> messages;
  std::vector<std::string> require;
  ChatSettings chat;
  bool proof = false, keep_history = true;
};

// What a scripted turn must have been, for `make demo` and tests.
Status check(const std::string& requirement, const Proof& proof) {
  if (requirement == "any") return {};
  if (requirement == "kv-moved") {
    if (proof.prefill_pod() && proof.number("x-baton-remote-tokens").value_or(0) > 0) return {};
    return internal("this turn had to move KV from a prefill pod, and did not");
  }
  if (requirement == "decode-only") {
    if (!proof.prefill_pod()) return {};
    return internal("this turn had to stay on the decode pod, and used a prefill pod");
  }
  return invalid(fmt::format("--require {}: expected any, kv-moved or decode-only", requirement));
}

Status turn(ChatSession& session, const std::string& message, const ChatFlags& options,
            const std::string& requirement) {
  const auto print = [](std::string_view text) {
    cli::print("{}", text);
    cli::flush();
  };
  BATON_TRY_ASSIGN(const Proof proof, session.say(message, print));
  cli::print("\n");
  if (options.proof) cli::print("\n{}", describe(proof));
  return check(requirement, proof);
}

Status scripted(ChatSession& session, const ChatFlags& options) {
  for (std::size_t i = 0; i < options.messages.size(); ++i) {
    cli::print("\n> {}\n\n", options.messages[i]);
    BATON_TRY(turn(session, options.messages[i], options,
                   i < options.require.size() ? options.require[i] : "any"));
  }
  return {};
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t") == std::string_view::npos;
}

// Messages from a file or a pipe, one a line.
Status piped(ChatSession& session, const ChatFlags& options) {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (is_blank(line)) continue;
    cli::print("\n> {}\n\n", line);
    BATON_TRY(turn(session, line, options, "any"));
  }
  return {};
}

// Beside the state of `serve`; "" without a home.
std::string history_file() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state != '\0') {
    return fmt::format("{}/baton/chat_history", state);
  }
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : fmt::format("{}/.local/state/baton/chat_history", home);
}

// A person at a terminal: what goes wrong with one answer ends only that one.
Status interactive(ChatSession& session, const ChatFlags& options, const InterruptKey& interrupt) {
  BATON_TRY_ASSIGN(const auto editor,
                   LineEditor::open(options.keep_history ? history_file() : "", interrupt));
  cli::print("Type a message. Ctrl-C stops an answer, Ctrl-D leaves.\n");
  while (true) {
    cli::print("\n");
    const auto line = editor->read("> ");
    if (line.end == LineEditor::Line::End::kClosed) break;
    if (line.end == LineEditor::Line::End::kInterrupted || is_blank(line.text)) continue;
    cli::print("\n");
    cli::flush();
    interrupt.forget();
    const auto done = turn(session, line.text, options, "any");
    if (done) continue;
    cli::print("\n");
    cli::flush();
    cli::print(stderr, "{}\n",
               done.error().code() == Code::kCancelled ? "[stopped]" : done.error().message());
  }
  cli::print("\n");
  return {};
}

Result<std::string> system_message(const ChatFlags& options) {
  if (options.system_file.empty()) return options.system;
  std::ifstream file(options.system_file);
  if (!file) return not_found(fmt::format("no file {}", options.system_file));
  std::string text((std::istreambuf_iterator<char>(file)), {});
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace

int run_chat(int argc, char** argv) {
  ChatFlags options;
  CLI::App app("Talk to a Baton server (or any OpenAI-compatible one)", "chat");
  app.add_option("--url", options.url, "the server's base address, with /v1")
      ->envname("OPENAI_BASE_URL")
      ->capture_default_str();
  app.add_option("--api-key", options.chat.api_key, "sent as a bearer token")
      ->envname("OPENAI_API_KEY");
  app.add_option("--model", options.chat.model, "default: the first model the server lists");
  app.add_option("--system", options.system, "system message");
  app.add_option("--system-file", options.system_file, "a file that holds the system message");
  app.add_option("-m,--message", options.messages, "say this and end; repeat for more turns");
  app.add_option("--max-tokens", options.chat.max_tokens, "longest answer, tokens")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--temperature", options.chat.temperature, "0 is greedy")
      ->check(CLI::Range(0.0, 2.0))
      ->capture_default_str();
  app.add_option("--timeout", options.chat.timeout_seconds, "longest wait for an answer, seconds")
      ->check(CLI::Range(1, 86'400))
      ->capture_default_str();
  app.add_flag("--proof", options.proof,
               "print how each answer was made, from the engines' reports");
  app.add_option("--require", options.require,
                 "per message: any, kv-moved or decode-only; exits 1 when it was not so");
  app.add_flag("!--no-history", options.keep_history,
               "keep what is typed out of $XDG_STATE_HOME/baton/chat_history");
  app.footer("Example: baton chat --proof -m 'Write a story about a robot' -m Continue");
  int exit = 0;
  if (!parse(app, argc, argv, exit)) return exit;

  const auto system = system_message(options);
  if (!system) return fail("chat", system.error());
  const SystemClock clock;
  const bool scripting = !options.messages.empty();
  const bool at_terminal =
      !scripting && ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  std::optional<InterruptKey> interrupt;
  if (at_terminal) options.chat.interrupt = interrupt.emplace().descriptor();
  auto session = ChatSession::open(options.url, *system, options.chat, clock);
  if (!session) return fail("chat", session.error());
  const Status done = scripting     ? scripted(**session, options)
                      : at_terminal ? interactive(**session, options, *interrupt)
                                    : piped(**session, options);
  return done ? 0 : fail("chat", done.error());
}

}  // namespace baton::cli
