// vault scrub and vault repair.

#include "base/io/file_lock.h"
#include "base/units.h"
#include "tools/holdfast/check_report.h"
#include "vault/client/location.h"
#include "vault/engine/repair.h"
#include "vault/engine/scrub.h"
#include "vault/store/redundancy.h"

namespace holdfast::cli {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

struct ScrubArguments {
  std::string location;
  std::string rate;
  std::string max_age;
  std::string limit;
};

struct RepairArguments {
  std::string location;
  std::vector<std::string> new_disks;
  std::vector<std::string> moved;
  std::string rate;
  bool dry_run = false;
  bool quick = false;
};

// "36h", "30d", "2w", "90" (seconds). Errors: Errc::malformed.
Result<int64_t> parse_age_ns(const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  const std::string unit = end;
  double seconds = 0;
  if (unit.empty() || unit == "s") seconds = 1;
  if (unit == "m") seconds = 60;
  if (unit == "h") seconds = 3600;
  if (unit == "d") seconds = 86400;
  if (unit == "w") seconds = 7 * 86400;
  if (end == text.c_str() || seconds == 0 || !(number >= 0 && number * seconds < 9e9)) {
    return Error{Errc::malformed, "'" + text + "' is no time such as 12h, 30d or 8w"};
  }
  return static_cast<int64_t>(number * seconds) * kSecondNs;
}

Status parse_rate(const std::string& text, uint64_t& rate) {
  if (text.empty()) return {};
  auto size = parse_size(text);
  if (!size.ok()) return std::move(size).error().in("--rate");
  rate = *size;
  return {};
}

// Two at a time would only be in one another's way. `what` is the file of the state directory that
// is locked.
Result<io::Fd> lock(vault::Vault& vault) {
  const std::string path = vault.state().scrub_path(vault.id()) + "-lock";
  TRYV(io::make_directories(vault.state().file_system(), io::parent_path(path)));
  auto held = io::lock_file(path, io::IfLocked::fail);
  if (!held.ok() && held.error().code == std::errc::resource_unavailable_try_again) {
    return Error{{}, "a scrub or repair of this vault is running on this machine already"};
  }
  return held;
}

void print_findings(const char* type, const char* heading,
                    const std::vector<vault::CheckFinding>& findings, Output& out) {
  for (const vault::CheckFinding& f : findings) {
    out.object({{"type", type}, {"object", json_text(f.object)}, {"what", json_text(f.what)}});
    out.result(std::string(heading) + printable(f.object) + ": " + printable(f.what));
  }
}

int scrub(const GlobalOptions& global, const ScrubArguments& a, std::stop_token stop) {
  Output out(global);
  GlobalOptions options = global;
  if (!a.location.empty()) options.vault = a.location;
  vault::ScrubOptions scrub_options;
  if (const Status rate = parse_rate(a.rate, scrub_options.bytes_per_second); !rate.ok()) {
    return out.fail(rate.error(), kUsage);
  }
  if (!a.max_age.empty()) {
    auto age = parse_age_ns(a.max_age);
    if (!age.ok()) return out.fail(std::move(age).error().in("--max-age"), kUsage);
    scrub_options.max_age_ns = *age;
  }
  if (!a.limit.empty()) {
    auto size = parse_size(a.limit);
    if (!size.ok()) return out.fail(std::move(size).error().in("--limit"), kUsage);
    scrub_options.bytes_max = *size;
  }
  auto vault = open_vault(options);
  if (!vault.ok()) return out.fail(vault.error());
  const auto held = lock(**vault);
  if (!held.ok()) return out.fail(held.error());
  const auto trusted = (*vault)->vault_key();
  if (!trusted.ok()) return out.fail(trusted.error());
  vault::ScrubProgress progress;
  Result<vault::ScrubReport> report;
  {
    const ProgressLine line(options, [&] {
      return format_count(progress.objects) + " of " + format_count(progress.objects_due) +
             " objects due, " + format_size(progress.bytes);
    });
    report = vault::scrub_vault((*vault)->store(), (*vault)->description(), trusted->key,
                                trusted->generation, (*vault)->state().file_system(),
                                (*vault)->state().scrub_path((*vault)->id()), scrub_options,
                                progress, stop);
  }
  warn_of_store((*vault)->store(), out);
  if (!report.ok()) return out.fail(report.error());
  print_findings("damage", "DAMAGED  ", report->damage, out);
  for (const vault::CheckFinding& f : report->unread) {
    out.warn(f.object + " could not be read just now: " + f.what);
  }
  const uint64_t rest = report->due - progress.objects;
  out.line("scrubbed " + format_count(progress.objects) + " of " + format_count(report->due) +
           " objects due (the vault has " + format_count(report->objects) + "), " +
           format_size(report->bytes_read) + " read" +
           (rest > 0 ? "; " + format_count(rest) + " wait for the next run" : ""));
  out.line(report->oldest_ns == 0
               ? std::string("some were never found whole yet")
               : "each object was found whole since " + format_time(report->oldest_ns));
  boost::json::object fields{{"clean", report->clean()},
                             {"damage", report->damage.size()},
                             {"degraded", report->degraded},
                             {"unread", report->unread.size()},
                             {"objects", report->objects},
                             {"due", report->due},
                             {"looked_at", progress.objects.load()},
                             {"verified", report->verified},
                             {"bytes_read", report->bytes_read},
                             {"oldest", report->oldest_ns}};
  if (report->clean()) return out.finish(std::move(fields));
  fields["type"] = "result";
  out.object(std::move(fields));
  return out.fail(Error{{},
                        "the vault is damaged: " + std::to_string(report->damage.size()) +
                            " findings at " + (*vault)->store().location() +
                            "; 'holdfast vault repair' makes good what it can, 'holdfast vault "
                            "check' says which recovery points are affected"});
}

// Puts empty directories in the place of missing ones. What the layout says of the others' new
// places is written down at the end of a repair.
Status replace_disks(vault::Vault& vault, const RepairArguments& a, Output& out) {
  vault::Redundancy* redundancy = vault.store().redundancy();
  if (redundancy == nullptr) {
    if (a.new_disks.empty() && a.moved.empty()) return {};
    return Error{{}, "the vault at " + vault.store().location() + " lies in one directory only"};
  }
  for (const std::string& disk : a.new_disks) {
    TRY(const std::string path, vault::location_path(disk));
    if (a.dry_run) {
      out.line("would use " + path + " in the place of a missing directory");
      continue;
    }
    auto place = redundancy->replace_missing(path);
    if (!place.ok()) return std::move(place).error().in("--new-disk " + path);
    out.line("directory " + std::to_string(place->number) + " is " + path + " now");
  }
  return {};
}

// What is damaged for good: which points and files that affects.
Result<vault::CheckReport> check_rest(vault::Vault& vault, const GlobalOptions& options,
                                      std::stop_token stop) {
  vault::CheckOptions check_options;
  // With redundancy every byte was just read.
  check_options.hashes = vault.store().redundancy() == nullptr;
  std::optional<vault::UnlockedSlot> unlocked;
  TRY(vault::Vault::TrustedKey trusted, vault.vault_key());
  if (has_passphrase(options)) {
    TRY(unlocked, unlock(vault, options));
    trusted = {unlocked->secret.vault_key(), unlocked->secret.generation, true};
  }
  vault::CheckProgress progress;
  return vault::check_vault(vault.store(), vault.description(), trusted.key, trusted.generation,
                            unlocked ? &unlocked->secret : nullptr, check_options, progress,
                            std::move(stop));
}

int finish_repair(const vault::RepairReport& r, const RepairArguments& a,
                  const vault::CheckReport* check, vault::Vault& vault, Output& out) {
  const std::string would = a.dry_run ? "would be " : "";
  out.line(would + "repaired: " + format_count(r.parts_rebuilt) + " shards and copies, " +
           format_count(r.runs_written) + " index runs written, " + format_count(r.runs_removed) +
           " damaged ones removed; " + format_size(r.bytes_read) + " read");
  if (!r.remains.empty()) {
    out.line("left alone: parts of " + format_count(r.remains.size()) +
             " names that are no object (of writes or removals that did not end)");
  }
  if (r.parts_elsewhere > 0) {
    out.warn(format_count(r.parts_elsewhere) +
             " shards and copies belong into missing directories: put these back, or give empty "
             "ones with --new-disk DIR, and run it again");
  }
  for (const vault::CheckFinding& f : r.unread) {
    out.warn(f.object + " could not be read just now: " + f.what);
  }
  const bool clean = r.left.empty() && (check == nullptr || check->clean());
  boost::json::object fields{{"dry_run", a.dry_run},
                             {"complete", r.complete() && clean},
                             {"parts_rebuilt", r.parts_rebuilt},
                             {"parts_elsewhere", r.parts_elsewhere},
                             {"runs_written", r.runs_written},
                             {"runs_removed", r.runs_removed},
                             {"left", r.left.size()},
                             {"unread", r.unread.size()},
                             {"remains", r.remains.size()},
                             {"points_damaged", check == nullptr ? 0 : check->points.size()},
                             {"bytes_read", r.bytes_read}};
  if (clean || a.dry_run) return out.finish(std::move(fields));
  fields["type"] = "result";
  out.object(std::move(fields));
  return out.fail(Error{{},
                        "some damage could not be repaired at " + vault.store().location() +
                            ": see the lines above; what the damage does not touch restores, and "
                            "the next backup stores again what it finds missing"});
}

int repair(const GlobalOptions& global, const RepairArguments& a, std::stop_token stop) {
  Output out(global);
  GlobalOptions options = global;
  if (!a.location.empty()) options.vault = a.location;
  vault::RepairOptions repair_options;
  repair_options.dry_run = a.dry_run;
  if (const Status rate = parse_rate(a.rate, repair_options.bytes_per_second); !rate.ok()) {
    return out.fail(rate.error(), kUsage);
  }
  auto vault = open_vault(options, a.moved);
  if (!vault.ok()) return out.fail(vault.error());
  const auto held = lock(**vault);
  if (!held.ok()) return out.fail(held.error());
  if (const Status ready = replace_disks(**vault, a, out); !ready.ok()) {
    return out.fail(ready.error());
  }
  vault::RepairProgress progress;
  Result<vault::RepairReport> report;
  {
    const ProgressLine line(options, [&] {
      return format_count(progress.objects) + " of " + format_count(progress.objects_total) +
             " objects, " + format_size(progress.bytes);
    });
    report = vault::repair_vault((*vault)->store(), (*vault)->description(), repair_options,
                                 progress, stop);
  }
  // Those about directories are said in numbers below.
  if (vault::Redundancy* redundancy = (*vault)->store().redundancy()) {
    for (const std::string& text : redundancy->take_warnings()) {
      if (report.ok() && report->parts_elsewhere == 0 && !a.new_disks.empty()) continue;
      out.line("note: " + text);
    }
  }
  if (!report.ok()) return out.fail(report.error());
  print_findings("repaired", a.dry_run ? "would    " : "repaired ", report->done, out);
  print_findings("damage", "DAMAGED  ", report->left, out);
  std::optional<vault::CheckReport> rest;
  if (!a.quick && !a.dry_run) {
    auto checked = check_rest(**vault, options, std::move(stop));
    if (!checked.ok()) return out.fail(checked.error());
    rest = std::move(*checked);
    print_report(*rest, out);
  }
  return finish_repair(*report, a, rest ? &*rest : nullptr, **vault, out);
}

}  // namespace

void add_repair_commands(Commands& commands, CLI::App& vault) {
  CLI::App* cmd = vault.add_subcommand(
      "scrub", "Read everything stored and hold it against its hashes, slowly; needs no key");
  auto s = std::make_shared<ScrubArguments>();
  cmd->add_option("VAULT", s->location, "The vault (or --vault)");
  cmd->add_option("--rate", s->rate, "Bytes to read a second, such as 20M (default: no limit)")
      ->type_name("SIZE");
  cmd->add_option("--max-age", s->max_age,
                  "Only what was not found whole for so long, such as 30d (h, d, w)")
      ->type_name("TIME");
  cmd->add_option("--limit", s->limit, "Stop after about so many bytes, such as 50G")
      ->type_name("SIZE");
  add_vault_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->footer(
      "\nThis machine remembers when it found which object whole, and begins with the one that "
      "was\n"
      "not looked at for longest, so that stopped and limited runs get around in the end.\n"
      "A vault in several directories is read with all shards and copies.\n"
      "\nExample, every night from cron:\n"
      "  holdfast vault scrub /srv/vault --rate 30M --max-age 30d --limit 200G --quiet\n");
  cmd->callback([&commands, s] {
    commands.run = [&commands, s] { return scrub(commands.options, *s, commands.stop); };
  });

  cmd = vault.add_subcommand("repair",
                             "Make again what is lost and can be had from what is left; needs no "
                             "key");
  auto r = std::make_shared<RepairArguments>();
  cmd->add_option("VAULT", r->location, "The vault (or --vault)");
  cmd->add_option("--new-disk", r->new_disks,
                  "An empty directory to take the place of a missing one; repeat for more")
      ->type_name("DIR")
      ->allow_extra_args(false);
  cmd->add_option("--moved", r->moved,
                  "Where a directory of the vault is now, if it is not found; repeat for more")
      ->type_name("DIR")
      ->allow_extra_args(false);
  cmd->add_option("--rate", r->rate, "Bytes to read a second, such as 100M (default: no limit)")
      ->type_name("SIZE");
  cmd->add_flag("--dry-run,-n", r->dry_run, "Only say what would be done");
  cmd->add_flag("--quick", r->quick, "Do not check the vault afterwards");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->footer(
      "\nOf a vault in several directories: shards and copies that are damaged or missing, from "
      "the\n"
      "others. Of every vault: index runs, from the packs. Nothing else is changed: damaged packs\n"
      "and recovery points stay, as they may hold the last copy of what is good in them. What\n"
      "cannot be repaired is listed, with the points it affects; with a passphrase also the "
      "files.\n"
      "\nExamples:\n"
      "  holdfast vault repair /mnt/d0/vault --new-disk /mnt/new/vault    after a disk was lost\n"
      "  holdfast vault repair /mnt/d0/vault --moved /media/d3/vault      a disk is elsewhere "
      "now\n");
  cmd->callback([&commands, r] {
    commands.run = [&commands, r] { return repair(commands.options, *r, commands.stop); };
  });
}

}  // namespace holdfast::cli
