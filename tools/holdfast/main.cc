// holdfast: one program, sub-commands by noun and verb.

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <malloc.h>
#include <signal.h>
#include <thread>

#include <CLI/CLI.hpp>
#include <sys/resource.h>

#include "tools/holdfast/command.h"

namespace {

constexpr const char* kFooter =
    "\nExamples:\n"
    "  holdfast vault create /srv/vault            make a vault, and enrol this machine\n"
    "  holdfast backup /home --vault /srv/vault    back up; no passphrase is needed\n"
    "  holdfast points --vault /srv/vault          list recovery points\n"
    "  holdfast restore latest:/home/me/notes --vault /srv/vault --to /tmp/out\n"
    "\nExit codes: 0 done, 1 failed (vault check: damage was found), 2 wrong usage, 3 done with\n"
    "warnings (for example files that could not be read), 130 or 143 after a second Ctrl-C or "
    "TERM.\n"
    "With --json the last line says the same, except for options that do not exist.\n"
    "\nEnvironment: HOLDFAST_VAULT, HOLDFAST_PASSPHRASE, HOLDFAST_PASSPHRASE_FILE,\n"
    "HOLDFAST_NEW_PASSPHRASE (vault key add, rotate),\n"
    "HOLDFAST_STATE_DIR (credentials), HOLDFAST_CACHE_DIR (what makes the next backup fast).\n";

// Signals are taken by a thread of their own, so that stopping may lock and allocate. A second one
// ends the program at once.
void stop_on_signals(std::stop_source& stop) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&set, s);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::thread([set, &stop] {
    int signal = 0;
    ::sigwait(&set, &signal);
    stop.request_stop();
    ::sigwait(&set, &signal);
    std::_Exit(128 + signal);
  }).detach();
}

// Buffers of a few hundred KiB come and go by the thousand; giving each back to the kernel would
// cost more than hashing it (page faults on virtual machines).
void keep_freed_memory() {
  ::mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

// A backup or a restore of a wide tree keeps some hundred directories open. Not without end: hooks
// inherit it.
void raise_open_file_limit() {
  constexpr rlim_t kWanted = 65536;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t possible = std::min(limit.rlim_max, kWanted);
  if (limit.rlim_cur >= possible) return;
  limit.rlim_cur = possible;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  // Never destroyed: the signal thread may outlive main.
  static std::stop_source& stop = *new std::stop_source;
  stop_on_signals(stop);
  keep_freed_memory();
  raise_open_file_limit();
  std::ios::sync_with_stdio(false);

  CLI::App app{"Holdfast: backup and disaster recovery for Linux sites"};
  app.set_version_flag("--version", "holdfast " HOLDFAST_VERSION);
  app.require_subcommand(1);
  app.footer(kFooter);
  holdfast::cli::GlobalOptions options;
  holdfast::cli::Commands commands{app, options, stop.get_token(), {}};
  holdfast::cli::add_backup_command(commands);
  holdfast::cli::add_restore_command(commands);
  holdfast::cli::add_point_commands(commands);
  holdfast::cli::add_browse_commands(commands);
  holdfast::cli::add_mount_command(commands);
  holdfast::cli::add_retention_commands(commands);
  holdfast::cli::add_vault_commands(commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? holdfast::cli::kDone : holdfast::cli::kUsage;
  }
  holdfast::cli::complete_from_environment(options);
  return commands.run();
}
