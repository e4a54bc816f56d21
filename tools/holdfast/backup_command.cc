#include <algorithm>
#include <chrono>

#include "backup-agent/upload/backup.h"
#include "base/units.h"
#include "tools/holdfast/output.h"
#include "vault/engine/head_code.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

using backup_agent::BackupOptions;
using backup_agent::BackupProgress;

struct BackupArguments {
  BackupOptions options;
  std::string snapshot = "auto";
  std::string read_limit;
  std::string write_limit;
  std::string larger_than;
  int compression = 1;
  bool dry_run = false;
  bool verbose = false;
};

// This machine's credential; where there is none and a passphrase is at hand, the machine is
// enrolled, unless nothing is to be changed.
Result<vault::AgentKeys> credential(vault::Vault& vault, const GlobalOptions& options,
                                    bool change_nothing, Output& out) {
  std::vector<std::string> warnings;
  auto keys = vault.credential(warnings);
  for (const std::string& w : warnings) out.warn(w);
  if (keys.ok() || keys.error().code != vault::Errc::no_credential || change_nothing ||
      !has_passphrase(options)) {
    return keys;
  }
  TRY(const vault::UnlockedSlot unlocked, unlock(vault, options));
  vault::EnrolOptions enrol;
  enrol.machine = machine_name();
  TRY(vault::AgentKeys enrolled, vault.enrol(unlocked.secret, enrol));
  out.line("enrolled this machine as agent " + enrolled.name + "; backups need no passphrase now");
  return enrolled;
}

std::string progress_text(const BackupProgress& p, std::chrono::steady_clock::time_point start) {
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const uint64_t files = p.files_new + p.files_changed + p.files_unchanged;
  std::string text =
      format_duration(seconds) + "  " + format_count(files) + " files, " +
      format_size(p.bytes_seen) + " seen; " + format_size(p.bytes_read) + " read at " +
      format_size(
          static_cast<uint64_t>(static_cast<double>(p.bytes_read) / std::max(seconds, 0.001))) +
      "/s";
  if (p.problems > 0) text += "; " + format_count(p.problems) + " problems";
  return text;
}

int run_dry(vault::Vault& vault, const vault::AgentKeys& keys, const BackupArguments& arguments,
            Output& out, std::stop_token stop) {
  const auto visit = [&](const std::string& path, bool is_new) {
    if (out.json()) {
      boost::json::object o{{"type", "file"}, {"action", is_new ? "new" : "changed"}};
      add_path(o, path);
      out.object(std::move(o));
    } else if (arguments.verbose) {
      out.line((is_new ? "new      " : "changed  ") + printable(path));
    }
  };
  const auto report = backup_agent::dry_run(vault, keys, arguments.options, visit, std::move(stop));
  if (!report.ok()) return out.fail(report.error());
  out.warn_problems(report->problems, report->problems.size());
  out.result("would read " + format_count(report->files_new + report->files_changed) + " files (" +
             format_count(report->files_new) + " new, " + format_count(report->files_changed) +
             " changed), " + format_size(report->bytes_to_read) + "; " +
             format_count(report->files_unchanged) + " are unchanged");
  return out.finish({{"dry_run", true},
                     {"files_new", report->files_new},
                     {"files_changed", report->files_changed},
                     {"files_unchanged", report->files_unchanged},
                     {"bytes_to_read", report->bytes_to_read},
                     {"bytes", report->bytes}});
}

int print_result(const backup_agent::BackupResult& r, const BackupProgress& progress,
                 double seconds, const BackupArguments& arguments, const std::string& head,
                 Output& out) {
  for (const std::string& n : r.notes) out.line("note: " + printable(n));
  for (const std::string& w : r.warnings) out.warn(w);
  for (const auto& [path, reason] : r.left_out) {
    if (arguments.verbose) out.line("left out " + printable(path) + ": " + reason);
  }
  out.warn_problems(r.problems, r.problem_count);
  const auto& s = r.point.stats;
  const uint64_t stored = s.data_bytes + s.metadata_bytes + s.index_bytes;
  const std::string id = to_hex(r.point.sha256);
  out.line("read     " + format_count(progress.files_new + progress.files_changed) + " files, " +
           format_size(progress.bytes_read) + "; " + format_count(progress.files_unchanged) +
           " unchanged" + (r.resumed_sessions > 0 ? "; an interrupted backup was resumed" : ""));
  out.line("stored   " + format_size(stored) + " (data " + format_size(s.data_bytes) +
           ", metadata " + format_size(s.metadata_bytes) + ", index " + format_size(s.index_bytes) +
           ") for " + format_size(s.bytes_new) + " of new content");
  out.line("point    " + id.substr(0, 12) + ", number " + std::to_string(r.point.sequence) +
           " of item " + printable(arguments.options.item) + ": " + format_count(r.totals.files) +
           " files, " + format_count(r.totals.directories) + " directories, " +
           format_size(r.totals.bytes) + (r.problem_count > 0 ? "; INCOMPLETE" : ""));
  if (!head.empty()) out.line("head     " + head);
  out.line("time     " + format_duration(seconds));
  return out.finish({{"point", id},
                     {"head", head},
                     {"sequence", r.point.sequence},
                     {"item", json_text(arguments.options.item)},
                     {"complete", r.problem_count == 0},
                     {"problems", r.problem_count},
                     {"files", r.totals.files},
                     {"directories", r.totals.directories},
                     {"others", r.totals.others},
                     {"bytes", r.totals.bytes},
                     {"files_new", progress.files_new.load()},
                     {"files_changed", progress.files_changed.load()},
                     {"files_unchanged", progress.files_unchanged.load()},
                     {"bytes_read", progress.bytes_read.load()},
                     {"chunks_new", s.chunks_new},
                     {"bytes_new", s.bytes_new},
                     {"stored_data", s.data_bytes},
                     {"stored_metadata", s.metadata_bytes},
                     {"stored_index", s.index_bytes},
                     {"packs", s.packs},
                     {"resumed", r.resumed_sessions > 0},
                     {"seconds", seconds}});
}

Status complete(BackupArguments& a) {
  if (a.dry_run && !a.options.stdin_name.empty()) {
    return Error{{}, "--dry-run does not go with --stdin"};
  }
  for (const std::string& label : a.options.labels) {
    if (label.size() > vault::kLabelBytesMax)
      return Error{{}, "--tag: a label has at most 255 bytes"};
  }
  if (a.snapshot == "none") a.options.snapshot = backup_agent::SnapshotMode::none;
  if (a.snapshot == "btrfs") a.options.snapshot = backup_agent::SnapshotMode::btrfs;
  if (!a.read_limit.empty()) {
    TRY(a.options.read_bytes_per_second, parse_size(a.read_limit));
  }
  if (!a.write_limit.empty()) {
    TRY(a.options.write_bytes_per_second, parse_size(a.write_limit));
  }
  if (!a.larger_than.empty()) {
    TRY(a.options.exclude_larger_than, parse_size(a.larger_than));
  }
  a.options.compression.level = a.compression;
  a.options.host = machine_name();
  if (a.options.item.empty()) a.options.item = machine_name();
  a.options.cache_directory = vault::default_cache_directory();
  return {};
}

int run_backup(const GlobalOptions& global, BackupArguments& arguments, std::stop_token stop) {
  Output out(global);
  if (const Status ok = complete(arguments); !ok.ok()) {
    return out.fail(ok.error(), kUsage);
  }
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  auto keys = credential(**vault, global, arguments.dry_run, out);
  if (!keys.ok()) return out.fail(keys.error());
  if (arguments.dry_run) return run_dry(**vault, *keys, arguments, out, std::move(stop));

  BackupProgress progress;
  const auto start = std::chrono::steady_clock::now();
  Result<backup_agent::BackupResult> result;
  {
    const ProgressLine line(global, [&] { return progress_text(progress, start); });
    result = backup_agent::run_backup(**vault, *keys, arguments.options, progress, std::move(stop));
  }
  warn_of_store((*vault)->store(), out);
  if (!result.ok()) {
    Error error = std::move(result).error();
    if (error.code == Errc::interrupted) {
      error.context = arguments.options.stdin_name.empty()
                          ? "no recovery point was made; what was stored is kept, and the next "
                            "backup goes on from there"
                          : "no recovery point was made; run it again from the beginning";
    }
    return out.fail(error);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  // The point stands: if the code cannot be had, it is only not shown.
  const auto list = (*vault)->list_points_without_secret();
  const std::string head = list.ok() ? vault::head_code((*vault)->id(), *list) : std::string();
  return print_result(*result, progress, seconds, arguments, head, out);
}

}  // namespace

void add_backup_command(Commands& commands) {
  CLI::App* cmd = commands.app.add_subcommand("backup", "Back up files and directories");
  auto a = std::make_shared<BackupArguments>();
  BackupOptions& o = a->options;
  cmd->add_option("PATH", o.paths, "What to back up");
  add_vault_option(*cmd, commands.options);
  cmd->add_option("--item", o.item,
                  "Name of the protected item; its points follow one another (default: host name)");
  cmd->add_option("--tag", o.labels, "Label of the point; visible without a key; repeat for more")
      ->allow_extra_args(false);
  cmd->add_option("--stdin", o.stdin_name, "Back up standard input as one file of this NAME")
      ->type_name("NAME");
  cmd->add_option("--exclude,-e", o.exclude,
                  "Leave out what matches: gitignore syntax; a leading '/' means the root of the "
                  "file system, with '/' elsewhere it is below each PATH, '!' takes back; repeat "
                  "for more")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  cmd->add_option("--exclude-from", o.exclude_from, "File of such patterns, one a line")
      ->type_name("FILE")
      ->allow_extra_args(false);
  cmd->add_option("--include", o.include,
                  "Take only what matches, or is below a match; repeat for more")
      ->type_name("GLOB")
      ->allow_extra_args(false);
  cmd->add_flag("--exclude-caches", o.exclude_caches,
                "Leave out what is in directories marked with a CACHEDIR.TAG");
  cmd->add_option("--exclude-larger-than", a->larger_than,
                  "Leave out larger files, such as 2G (K, M, G, T: powers of 1024)")
      ->type_name("SIZE");
  cmd->add_flag("--one-file-system,-x", o.one_file_system, "Do not cross into other file systems");
  cmd->add_option("--snapshot", a->snapshot,
                  "Read from a snapshot, so that the tree is of one instant: auto (where the file "
                  "system can), btrfs (or fail), none")
      ->check(CLI::IsMember({"auto", "btrfs", "none"}))
      ->capture_default_str();
  cmd->add_option("--before", o.before, "Shell command to run first; if it fails, nothing is done")
      ->type_name("COMMAND");
  cmd->add_option(
         "--after", o.after,
         "Shell command to run at the end, whatever happened (HOLDFAST_RESULT is committed "
         "or failed, HOLDFAST_ITEM the item)")
      ->type_name("COMMAND");
  cmd->add_option("--compression", a->compression,
                  "zstd level: 0 stores as it is, 1 is fast, 19 is small")
      ->check(CLI::Range(0, vault::kCompressionLevelMax))
      ->capture_default_str();
  cmd->add_option("--read-limit", a->read_limit, "Bytes to read a second, such as 50M")
      ->type_name("SIZE");
  cmd->add_option("--write-limit", a->write_limit, "Bytes to store a second, such as 50M")
      ->type_name("SIZE");
  cmd->add_option("--readers", o.readers,
                  "Files read at a time: 1 for a single disk, more for flash and networks")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  cmd->add_flag("--force-read", o.force_read, "Read every file, whatever the cache says");
  cmd->add_flag("--dry-run,-n", a->dry_run, "Only say what would be read");
  cmd->add_flag("--verbose", a->verbose, "Name what was left out (with --dry-run: each file)");
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->footer(
      "\nWithout a passphrase: the machine's write-only credential suffices. A machine without one "
      "is\n"
      "enrolled if --passphrase-file or HOLDFAST_PASSPHRASE is given. Interrupted backups of files "
      "are\n"
      "resumed by running the same command again; standard input is stored anew.\n"
      "\nAlways left out: the vault itself, /proc, /sys and their like, and directories named\n"
      ".holdfast, in which btrfs snapshots are made. --verbose names what was left out.\n"
      "\nExamples:\n"
      "  holdfast backup /etc /home --vault /srv/vault --exclude '*.tmp' --exclude /home/*/.cache\n"
      "  pg_dump db | holdfast backup --stdin db.sql --item db --vault /srv/vault\n"
      "  holdfast cat latest:db:/db.sql --vault /srv/vault > db.sql\n");
  cmd->callback([&commands, a, cmd] {
    if (a->options.paths.empty() == a->options.stdin_name.empty()) {
      throw CLI::RequiredError(cmd->get_name() + ": PATH or --stdin NAME");
    }
    commands.run = [&commands, a] { return run_backup(commands.options, *a, commands.stop); };
  });
}

}  // namespace holdfast::cli
