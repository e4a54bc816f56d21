// What the sub-commands of `holdfast` share: options, output, passphrases, exit codes.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "vault/client/vault.h"

namespace holdfast::cli {

// Documented in `holdfast --help`.
enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2, kDoneWithWarnings = 3 };

struct GlobalOptions {
  std::string vault;            // --vault, HOLDFAST_VAULT
  std::string passphrase_file;  // --passphrase-file, HOLDFAST_PASSPHRASE_FILE
  std::string expect_head;      // --expect-head
  bool json = false;
  bool quiet = false;
};

// A command's work: given after parsing, run by main.
using Run = std::function<int()>;

struct Commands {
  CLI::App& app;
  GlobalOptions& options;
  std::stop_token stop;
  Run run;  // set by the sub-command that was chosen
};

// Registers one group of sub-commands each.
void add_vault_commands(Commands& commands);
void add_key_commands(Commands& commands, CLI::App& vault);
void add_check_command(Commands& commands, CLI::App& vault);
void add_collect_command(Commands& commands, CLI::App& vault);
void add_lifecycle_commands(Commands& commands, CLI::App& vault);
void add_point_lifecycle_commands(Commands& commands, CLI::App& points);
void add_retention_commands(Commands& commands);
void add_repair_commands(Commands& commands, CLI::App& vault);
void add_copy_command(Commands& commands, CLI::App& vault);
void add_geo_commands(Commands& commands, CLI::App& vault);
void add_backup_command(Commands& commands);
void add_point_commands(Commands& commands);
void add_browse_commands(Commands& commands);
void add_restore_command(Commands& commands);
void add_mount_command(Commands& commands);

// --vault, --json and so on, for a sub-command.
void add_vault_option(CLI::App& command, GlobalOptions& options);
void add_passphrase_option(CLI::App& command, GlobalOptions& options);
void add_expect_head_option(CLI::App& command, GlobalOptions& options);
void add_output_options(CLI::App& command, GlobalOptions& options);
// What was not given, from the environment. After parsing, and not by CLI11's envname: that sets an
// option of every sub-command, one after the other, and the last one wins over what was given.
void complete_from_environment(GlobalOptions& options);

// The state directory of this machine and user.
vault::StateDirectory state_directory();

// Opens the vault of --vault. Errors say what to do. `moved`: see vault::open_store.
Result<std::unique_ptr<vault::Vault>> open_vault(const GlobalOptions& options,
                                                 const std::vector<std::string>& moved = {});

// A passphrase from --passphrase-file, HOLDFAST_PASSPHRASE(_FILE), or asked for on a terminal.
// Errors: vault::Errc::no_passphrase.
Result<std::string> read_passphrase(const GlobalOptions& options, const std::string& prompt);
// Whether read_passphrase would find one without asking.
bool has_passphrase(const GlobalOptions& options);
// The same for a new one; asked for twice, and checked for length.
Result<std::string> read_new_passphrase(const std::string& file, const char* variable,
                                        const std::string& prompt);
Result<vault::UnlockedSlot> unlock(vault::Vault& vault, const GlobalOptions& options);

std::string machine_name();

}  // namespace holdfast::cli
