#include <iostream>

#include "backup-agent/mount/mount.h"
#include "tools/holdfast/session.h"

namespace holdfast::cli {
namespace {

int mount(const GlobalOptions& global, const backup_agent::MountOptions& options,
          std::stop_token stop) {
  Output out(global);
  auto session = ReadSession::open(global, out);
  if (!session.ok()) return out.fail(session.error());
  // What was deleted is there to be brought back, not to be looked at in passing.
  std::erase_if(session->points.points,
                [](const vault::RecoveryPoint& p) { return p.deleted.has_value(); });
  const auto mounted = [&] {
    out.object({{"type", "mounted"}, {"directory", json_text(options.directory)}});
    out.line("mounted " + std::to_string(session->points.points.size()) + " recovery points on " +
             printable(options.directory) + "; end with Ctrl-C or 'fusermount3 -u'");
    std::cout.flush();
  };
  const Status done =
      backup_agent::run_mount(*session->reader, session->points, options, mounted, std::move(stop));
  if (!done.ok()) return out.fail(done.error());
  return out.finish();
}

}  // namespace

void add_mount_command(Commands& commands) {
  CLI::App* cmd = commands.app.add_subcommand(
      "mount", "Show all recovery points as a read-only file system, by id and by time");
  auto o = std::make_shared<backup_agent::MountOptions>();
  cmd->add_option("DIR", o->directory, "An existing directory")->required();
  cmd->add_flag("--allow-other", o->allow_other, "Let other users in; modes are enforced");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_expect_head_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->footer(
      "\nDIR then has by-id/ID, by-time/ITEM/TIME and latest/ITEM. --allow-other needs\n"
      "user_allow_other in /etc/fuse.conf for all but root. Ends with Ctrl-C or fusermount3 -u "
      "DIR.\n"
      "\nExample:\n"
      "  mkdir -p /mnt/points && holdfast mount /mnt/points --vault /srv/vault\n");
  cmd->callback([&commands, o] {
    commands.run = [&commands, o] { return mount(commands.options, *o, commands.stop); };
  });
}

}  // namespace holdfast::cli
