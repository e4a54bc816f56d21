#include "backup-agent/upload/hook.h"

#include <cerrno>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include <sys/wait.h>

namespace holdfast::backup_agent {

Status run_hook(const std::string& command,
                const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<std::string> variables;
  for (char** e = environ; *e != nullptr; ++e) {
    // The hook has no business with the vault's passphrase.
    if (!std::string_view(*e).starts_with("HOLDFAST_PASSPHRASE")) variables.emplace_back(*e);
  }
  for (const auto& [name, value] : environment)
    variables.emplace_back(name).append("=").append(value);
  std::vector<char*> env;
  env.reserve(variables.size() + 1);
  for (std::string& v : variables) env.push_back(v.data());
  env.push_back(nullptr);

  std::string shell = "/bin/sh";
  std::string flag = "-c";
  std::string text = command;
  char* arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  // This program blocks the signals that end it, to take them in one thread, and ignores SIGPIPE. A
  // command that inherited that could not be stopped by Ctrl-C.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  ::sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t pipe;
  ::sigemptyset(&pipe);
  ::sigaddset(&pipe, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &pipe);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = 0;
  const int error =
      ::posix_spawn(&pid, shell.c_str(), &actions, &attributes, arguments, env.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return errno_error(error, "cannot run '" + command + "'");
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return errno_error("cannot wait for '" + command + "'");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  const std::string how = WIFEXITED(status) ? "exit status " + std::to_string(WEXITSTATUS(status))
                                            : "signal " + std::to_string(WTERMSIG(status));
  return Error{{}, "command '" + command + "' failed with " + how};
}

}  // namespace holdfast::backup_agent
