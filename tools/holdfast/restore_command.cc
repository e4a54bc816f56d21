#include <chrono>
#include <unistd.h>

#include "backup-agent/restore/restore.h"
#include "backup-agent/restore/tar_stream.h"
#include "base/units.h"
#include "tools/holdfast/session.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

using backup_agent::Overwrite;
using backup_agent::RestoreProgress;
using backup_agent::RestoreReport;

struct RestoreArguments {
  backup_agent::RestoreOptions options;
  std::string point;
  std::string overwrite = "if-changed";
  bool verbose = false;
};

std::string progress_text(const RestoreProgress& p) {
  const double share =
      p.bytes_total == 0 ? 0 : static_cast<double>(p.bytes) / static_cast<double>(p.bytes_total);
  return std::string(p.verifying ? "verifying " : "") + progress_bar(share) + " " +
         format_count(p.entries) + " entries, " + format_size(p.bytes) + " of " +
         format_size(p.bytes_total) +
         (p.problems > 0 ? "; " + format_count(p.problems) + " problems" : "");
}

int print_report(const RestoreReport& r, const RestoreArguments& a, const std::string& id,
                 double seconds, Output& out) {
  out.warn_problems(r.problems, r.problem_count);
  // Told once. No reason for alarm where an ordinary user restores.
  for (const std::string& line : r.refused) {
    const std::string text = "could not set " + line;
    ::geteuid() == 0 ? out.warn(text) : out.line(printable(text));
  }
  const std::string would = a.options.dry_run ? "would be " : "";
  out.line(would + "restored " + format_count(r.files_written) + " files, " +
           format_count(r.files_patched) + " patched, " + format_count(r.files_unchanged) +
           " unchanged" +
           (r.files_skipped > 0 ? ", " + format_count(r.files_skipped) + " left as they are" : "") +
           "; " + format_count(r.directories) + " directories, " + format_count(r.links) +
           " hard links, " + format_count(r.others) + " others; " + format_size(r.bytes_written) +
           " written" + (r.deleted > 0 ? "; " + format_count(r.deleted) + " deleted" : ""));
  if (r.files_verified > 0) {
    out.line("verified " + format_count(r.files_verified) + " files against the recovery point");
  }
  out.line("time     " + format_duration(seconds));
  boost::json::array refused;
  for (const std::string& line : r.refused) refused.emplace_back(json_text(line));
  return out.finish({{"point", id},
                     {"dry_run", a.options.dry_run},
                     {"files_written", r.files_written},
                     {"files_patched", r.files_patched},
                     {"files_unchanged", r.files_unchanged},
                     {"files_skipped", r.files_skipped},
                     {"directories", r.directories},
                     {"links", r.links},
                     {"others", r.others},
                     {"deleted", r.deleted},
                     {"bytes_written", r.bytes_written},
                     {"files_verified", r.files_verified},
                     {"problems", r.problem_count},
                     {"refused", std::move(refused)},
                     {"seconds", seconds}});
}

int run_tar(ReadSession& session, const ReadSession::Chosen& chosen, const RestoreArguments& a,
            Output& out, std::stop_token stop) {
  if (::isatty(STDOUT_FILENO) != 0) {
    return out.fail(Error{{}, "a tar stream does not go to a terminal; redirect it"});
  }
  const auto report = backup_agent::write_tar(*session.reader, *chosen.point, a.options,
                                              STDOUT_FILENO, std::move(stop));
  for (const std::string& w : session.reader->warnings()) out.warn(w);
  if (!report.ok()) return out.fail(report.error());
  out.warn_problems(report->problems, report->problems.size());
  return out.finish();
}

Status complete(RestoreArguments& a) {
  if (a.overwrite == "always") a.options.overwrite = Overwrite::always;
  if (a.overwrite == "if-newer") a.options.overwrite = Overwrite::if_newer;
  if (a.overwrite == "never") a.options.overwrite = Overwrite::never;
  const bool for_trees = a.options.dry_run || a.options.verify || a.options.delta ||
                         a.options.delete_extra || a.options.metadata.owners_by_name || a.verbose;
  if (a.options.target == "-" && for_trees) {
    return Error{{}, "--to - writes a tar stream: only --include and --exclude go with it"};
  }
  if (a.options.dry_run && a.options.verify) {
    return Error{{}, "--verify needs a restore; leave out --dry-run"};
  }
  return {};
}

int restore(const GlobalOptions& global, RestoreArguments& a, std::stop_token stop) {
  const bool to_tar = a.options.target == "-";
  GlobalOptions options = global;
  if (to_tar) options.json = false;
  if (to_tar) options.quiet = true;
  Output out(options);
  if (const Status ok = complete(a); !ok.ok()) {
    return out.fail(ok.error(), kUsage);
  }
  auto session = ReadSession::open(options, out);
  if (!session.ok()) return out.fail(session.error());
  const auto chosen = session->choose(a.point);
  if (!chosen.ok()) return out.fail(chosen.error());
  a.options.subpath = chosen->spec.key;
  a.options.vault_others = session->vault->store().locations();
  if (chosen->point->manifest.incomplete) {
    const uint64_t n = chosen->point->body ? chosen->point->body->problem_count : 0;
    out.warn("this recovery point is incomplete: " + format_count(n) +
             " entries could not be backed up ('holdfast stats " +
             chosen->point->id().substr(0, 12) + "' names them)");
  }
  if (to_tar) return run_tar(*session, *chosen, a, out, std::move(stop));
  backup_agent::RestoreVisit visit;
  if (a.verbose || a.options.dry_run) {
    visit = [&](std::string_view action, const std::string& path) {
      if (out.json()) {
        boost::json::object o{{"type", "entry"}, {"action", action}};
        add_path(o, path);
        out.object(std::move(o));
      } else if (action != "directory" && action != "unchanged") {
        out.line(std::string(action) + "  " + printable(path));
      }
    };
  }
  RestoreProgress progress;
  const auto start = std::chrono::steady_clock::now();
  Result<RestoreReport> report;
  Status verified;
  {
    const ProgressLine line(options, [&] { return progress_text(progress); });
    report = backup_agent::run_restore(*session->reader, *chosen->point, a.options, progress, visit,
                                       stop);
    if (report.ok() && a.options.verify) {
      verified = backup_agent::verify_restore(*session->reader, *chosen->point, a.options, progress,
                                              *report, stop);
    }
  }
  for (const std::string& w : session->reader->warnings()) out.warn(w);
  if (!report.ok()) return out.fail(report.error());
  if (!verified.ok()) return out.fail(verified.error());
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return print_report(*report, a, chosen->point->id(), seconds, out);
}

}  // namespace

void add_restore_command(Commands& commands) {
  CLI::App* cmd =
      commands.app.add_subcommand("restore", "Restore a recovery point or a part of it");
  auto a = std::make_shared<RestoreArguments>();
  auto& o = a->options;
  cmd->add_option("POINT", a->point,
                  "An id, its first digits, latest or latest:ITEM; ':/PATH' for a part of it")
      ->required();
  cmd->add_option("--to", o.target, "Directory to restore into; '-' writes a tar stream")
      ->required()
      ->type_name("DIR");
  cmd->add_option("--include", o.include,
                  "Only what matches, or is below a match (gitignore syntax); repeat for more")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  cmd->add_option("--exclude", o.exclude, "Not what matches; repeat for more")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  cmd->add_option("--overwrite", a->overwrite,
                  "Files that exist: always; if-changed: unless size and time are those of the "
                  "point; if-newer: only if the point's is newer; never")
      ->check(CLI::IsMember({"always", "if-changed", "if-newer", "never"}))
      ->capture_default_str();
  cmd->add_flag(
      "--delta", o.delta,
      "Rewrite only the differing ranges of files that exist, in place. Files of the point's "
      "size and time are taken as equal; --overwrite always compares their content too");
  cmd->add_flag(
      "--delete", o.delete_extra,
      "In directories that are restored, remove what the point does not have; what "
      "--exclude matches is kept (give what the backup was told to leave out), and so are other "
      "file systems, the vault, and what the backup could not read");
  cmd->add_flag("--verify", o.verify,
                "Read everything back from the disk and compare it with the point");
  cmd->add_flag("--owners-by-name", o.metadata.owners_by_name,
                "Use this machine's numbers for the owners' names instead of the stored numbers");
  cmd->add_flag("--dry-run,-n", o.dry_run, "Only say what would be done");
  cmd->add_flag("--verbose", a->verbose, "Name each file");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_expect_head_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->footer(
      "\nThe whole point appears below DIR with its absolute paths; the content of ':/PATH' "
      "directly in\n"
      "DIR. Ids of everything are checked. As an ordinary user what cannot be set (owners, "
      "devices)\n"
      "is reported once.\n"
      "\nExamples:\n"
      "  holdfast restore latest --vault /srv/vault --to /mnt\n"
      "  holdfast restore 3f2a9c:/etc --vault /srv/vault --to /etc --delta --delete\n"
      "  holdfast restore latest:db --vault /srv/vault --to - | tar tv\n");
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return restore(commands.options, *a, commands.stop); };
  });
}

}  // namespace holdfast::cli
