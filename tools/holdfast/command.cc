#include "tools/holdfast/command.h"

#include <cstdlib>
#include <iostream>
#include <termios.h>
#include <unistd.h>

#include <climits>

#include "vault/client/location.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

constexpr size_t kPassphraseMin = 8;

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// The first line, without its end.
Result<std::string> read_first_line(const std::string& path) {
  auto content = io::read_file(io::posix_file_system(), path, 64 * 1024);
  if (!content.ok()) return std::move(content).error().in("passphrase file");
  std::string line(as_text(*content));
  crypto::wipe(*content);
  if (const size_t end = line.find_first_of("\r\n"); end != std::string::npos) line.resize(end);
  if (line.empty()) {
    return Error{vault::Errc::no_passphrase, "the passphrase file " + path + " is empty"};
  }
  return line;
}

Result<std::string> ask(const std::string& prompt) {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) {
    return Error{vault::Errc::no_passphrase,
                 "set HOLDFAST_PASSPHRASE or HOLDFAST_PASSPHRASE_FILE, or give --passphrase-file"};
  }
  termios before{};
  ::tcgetattr(STDIN_FILENO, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::cerr << prompt << ": " << std::flush;
  std::string line;
  std::getline(std::cin, line);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::cerr << '\n';
  if (line.empty()) return Error{vault::Errc::no_passphrase, "nothing was entered"};
  return line;
}

}  // namespace

void add_vault_option(CLI::App& command, GlobalOptions& options) {
  command.add_option("--vault,-v", options.vault, "The vault's directory (or HOLDFAST_VAULT)");
}

void add_passphrase_option(CLI::App& command, GlobalOptions& options) {
  command.add_option("--passphrase-file", options.passphrase_file,
                     "File whose first line is the passphrase or recovery code (or "
                     "HOLDFAST_PASSPHRASE_FILE; HOLDFAST_PASSPHRASE holds it itself)");
}

void add_expect_head_option(CLI::App& command, GlobalOptions& options) {
  command
      .add_option("--expect-head", options.expect_head,
                  "Refuse a vault that is older than, or other than, the one that showed this head "
                  "code ('holdfast points', 'backup' and 'vault status' show it)")
      ->type_name("CODE");
}

void add_output_options(CLI::App& command, GlobalOptions& options) {
  command.add_flag("--json", options.json,
                   "Print one JSON object a line, the last of type \"summary\"");
  command.add_flag("--quiet,-q", options.quiet, "Print only results, warnings and errors");
}

void complete_from_environment(GlobalOptions& options) {
  const auto complete = [](std::string& option, const char* name) {
    if (option.empty()) option = environment(name).value_or("");
  };
  complete(options.vault, "HOLDFAST_VAULT");
  complete(options.passphrase_file, "HOLDFAST_PASSPHRASE_FILE");
}

vault::StateDirectory state_directory() {
  return {io::posix_file_system(), vault::default_state_directory()};
}

Result<std::unique_ptr<vault::Vault>> open_vault(const GlobalOptions& options,
                                                 const std::vector<std::string>& moved) {
  if (options.vault.empty()) {
    return Error{{}, "which vault? Give --vault DIR or set HOLDFAST_VAULT"};
  }
  return vault::Vault::open(options.vault, state_directory(), moved);
}

bool has_passphrase(const GlobalOptions& options) {
  return !options.passphrase_file.empty() || environment("HOLDFAST_PASSPHRASE").has_value();
}

Result<std::string> read_passphrase(const GlobalOptions& options, const std::string& prompt) {
  if (!options.passphrase_file.empty()) return read_first_line(options.passphrase_file);
  if (auto value = environment("HOLDFAST_PASSPHRASE")) return std::move(*value);
  return ask(prompt);
}

Result<std::string> read_new_passphrase(const std::string& file, const char* variable,
                                        const std::string& prompt) {
  std::string passphrase;
  if (!file.empty()) {
    TRY(passphrase, read_first_line(file));
  } else if (auto value = environment(variable)) {
    passphrase = std::move(*value);
  } else {
    TRY(passphrase, ask(prompt));
    TRY(std::string again, ask("Once more"));
    const bool same = passphrase == again;
    crypto::wipe(again);
    if (!same) return Error{{}, "the two entries differ"};
  }
  if (passphrase.size() < kPassphraseMin) {
    return Error{{},
                 "a passphrase needs at least " + std::to_string(kPassphraseMin) +
                     " characters; it is all that protects the vault"};
  }
  return passphrase;
}

Result<vault::UnlockedSlot> unlock(vault::Vault& vault, const GlobalOptions& options) {
  TRY(std::string passphrase, read_passphrase(options, "Passphrase of the vault"));
  auto unlocked = vault.unlock(passphrase);
  crypto::wipe(passphrase);
  return unlocked;
}

std::string machine_name() {
  char name[HOST_NAME_MAX + 1] = {};
  if (::gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
  return name;
}

}  // namespace holdfast::cli
