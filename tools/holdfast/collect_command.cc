#include "base/units.h"
#include "tools/holdfast/output.h"
#include "vault/client/maintenance.h"

namespace holdfast::cli {
namespace {

struct CollectArguments {
  std::string location;
  bool dry_run = false;
  bool despite_damage = false;
  std::string write_limit;
};

std::string progress_text(const vault::CollectProgress& p) {
  const uint64_t all = p.mark.packs_total;
  return progress_bar(all == 0 ? 0 : static_cast<double>(p.mark.packs) / static_cast<double>(all)) +
         " " + format_count(p.mark.packs) + " of " + format_count(all) + " packs, " +
         format_count(p.mark.pages) + " pages; " + format_count(p.packs_deleted) + " packs deleted";
}

boost::json::object fields_of(const vault::CollectReport& r) {
  boost::json::array waits;
  for (const auto& s : r.waits_for) waits.emplace_back(s.hex());
  boost::json::array given_up;
  for (const auto& s : r.given_up) given_up.emplace_back(s.hex());
  return {{"done", r.done},
          {"run", r.run},
          {"other_run", r.other_run},
          {"waits_for", std::move(waits)},
          {"given_up", std::move(given_up)},
          {"points", r.points},
          {"packs", r.packs},
          {"pack_bytes", r.pack_bytes},
          {"needed_bytes", r.needed_bytes},
          {"packs_condemned", r.packs_condemned},
          {"packs_copied", r.packs_copied},
          {"bytes_copied", r.bytes_copied},
          {"packs_deleted", r.packs_deleted},
          {"bytes_freed", r.bytes_freed},
          {"index_runs", r.index_runs}};
}

void print_report(const vault::CollectReport& r, bool dry_run, Output& out) {
  for (const std::string& w : r.warnings) out.warn(w);
  if (!r.other_run.empty()) {
    out.line("another maintainer's run " + r.other_run.substr(0, 12) +
             " is under way; nothing was begun. If that machine is gone for good, its run is ended "
             "three days after its last step");
    return;
  }
  if (r.packs > 0) {
    out.line("needed    " + format_size(r.needed_bytes) + " of " + format_size(r.pack_bytes) +
             " in " + format_count(r.packs) + " packs, by " + format_count(r.points) +
             " recovery points");
  }
  if (r.packs_copied > 0) {
    out.line((dry_run ? "to copy   " : "copied    ") + format_size(r.bytes_copied) + " out of " +
             format_count(r.packs_copied) + " packs that were partly garbage, or small");
  }
  if (dry_run) {
    out.line("to free   " + format_size(r.bytes_freed) + " in " + format_count(r.packs_condemned) +
             " packs at once");
    return;
  }
  for (const auto& s : r.given_up) {
    out.line("given up  session " + s.hex().substr(0, 12) +
             ", silent for too long; if it wakes up it goes on under a new name");
  }
  if (!r.done) {
    out.line("waiting   for " + format_count(r.waits_for.size()) +
             " backups that began before: " + format_count(r.packs_condemned) +
             " packs are condemned. Run this again later (daily, say); it goes on from here");
    return;
  }
  out.line("freed     " + format_size(r.bytes_freed) + " in " + format_count(r.packs_deleted) +
           " packs");
}

int collect(const GlobalOptions& global, const CollectArguments& a, const std::stop_token& stop) {
  Output out(global);
  GlobalOptions options = global;
  if (!a.location.empty()) options.vault = a.location;
  auto vault = open_vault(options);
  if (!vault.ok()) return out.fail(vault.error());
  vault::CollectOptions collect_options;
  collect_options.directory = vault::default_cache_directory() + "/collect";
  collect_options.dry_run = a.dry_run;
  collect_options.despite_damage = a.despite_damage;
  if (!a.write_limit.empty()) {
    const auto limit = parse_size(a.write_limit);
    if (!limit.ok()) return out.fail(Error{{}, "--write-limit: " + limit.error().context}, kUsage);
    collect_options.write_bytes_per_second = *limit;
  }
  vault::CollectProgress progress;
  Result<vault::CollectReport> report;
  {
    const ProgressLine line(options, [&] { return progress_text(progress); });
    report = vault::collect_vault(**vault, collect_options, progress, stop);
  }
  if (!report.ok()) return out.fail(report.error());
  print_report(*report, a.dry_run, out);
  return out.finish(fields_of(*report));
}

}  // namespace

void add_collect_command(Commands& commands, CLI::App& vault) {
  CLI::App* cmd = vault.add_subcommand(
      "collect",
      "Give back the space of what no recovery point needs any more. Needs no passphrase, but a "
      "maintainer's key: the machine that made the vault has one. Backups and restores may run "
      "meanwhile; if a backup began before, the next call goes on where this one waits");
  auto a = std::make_shared<CollectArguments>();
  cmd->add_option("VAULT", a->location, "The vault (or --vault)");
  cmd->add_flag("--dry-run", a->dry_run, "Only say what would be freed");
  cmd->add_flag("--despite-damage", a->despite_damage,
                "Go on although recovery points are damaged or missing: what only they needed is "
                "freed, and cannot be repaired any more");
  cmd->add_option("--write-limit", a->write_limit,
                  "Bytes a second when packs are rewritten, e.g. 20M");
  add_vault_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return collect(commands.options, *a, commands.stop); };
  });
}

}  // namespace holdfast::cli
