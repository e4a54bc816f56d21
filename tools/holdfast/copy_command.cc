#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "base/units.h"
#include "tools/holdfast/output.h"
#include "tools/holdfast/point_selection.h"
#include "tools/holdfast/session.h"
#include "vault/client/copy.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

struct CopyArguments {
  std::string source;
  std::string target;
  std::vector<std::string> items;
  std::vector<std::string> points;
  uint64_t latest = 0;  // 0: all
  bool dry_run = false;
};

std::string progress_text(const vault::CopyProgress& p) {
  const double share =
      p.points_total == 0 ? 0 : static_cast<double>(p.points) / static_cast<double>(p.points_total);
  return progress_bar(share) + " " + format_count(p.points) + " of " +
         format_count(p.points_total) + " points, " + format_size(p.counters.bytes_read) +
         " read, " + format_size(p.bytes_stored) + " stored";
}

// In the order of the list. Errors: those of select_point; a name that no item has.
Result<std::vector<const vault::RecoveryPoint*>> select(const vault::PointList& list,
                                                        const CopyArguments& a) {
  std::set<const vault::RecoveryPoint*> named;
  for (const std::string& text : a.points) {
    TRY(const PointSpec spec, parse_point_spec(text));
    if (!spec.key.empty()) {
      return Error{Errc::malformed, "'" + text + "': whole recovery points are copied, no parts"};
    }
    TRY(const vault::RecoveryPoint* point, select_point(list, spec));
    named.insert(point);
  }
  for (const std::string& item : a.items) {
    const bool known = std::any_of(list.points.begin(), list.points.end(), [&](const auto& p) {
      return item_name(p) == item || p.manifest.item().hex() == item;
    });
    if (!known) {
      return Error{vault::Errc::no_such_point,
                   "item '" + item + "' ('holdfast points' lists them)"};
    }
  }
  std::vector<const vault::RecoveryPoint*> out;
  std::map<vault::ItemId, uint64_t> of_item;
  for (auto p = list.points.rbegin(); p != list.points.rend(); ++p) {
    if (!a.points.empty() && !named.contains(&*p)) continue;
    if (!a.items.empty() &&
        std::find(a.items.begin(), a.items.end(), item_name(*p)) == a.items.end() &&
        std::find(a.items.begin(), a.items.end(), p->manifest.item().hex()) == a.items.end()) {
      continue;
    }
    if (a.latest != 0 && ++of_item[p->manifest.item()] > a.latest) continue;
    out.push_back(&*p);
  }
  std::reverse(out.begin(), out.end());
  return out;
}

std::string_view outcome_text(vault::CopyOutcome outcome, bool dry_run) {
  switch (outcome) {
    case vault::CopyOutcome::copied:
      return dry_run ? "would copy" : "copied";
    case vault::CopyOutcome::present:
      return "present";
    case vault::CopyOutcome::damaged:
      return "damaged";
  }
  return "";
}

void print_point(const vault::CopiedPoint& p, bool dry_run, Output& out) {
  const vault::Manifest& m = p.source->manifest;
  const std::string outcome(outcome_text(p.outcome, dry_run));
  const std::string item = item_name(*p.source);
  boost::json::object o{{"type", "point"},          {"outcome", outcome},
                        {"source", p.source->id()}, {"item", json_text(item)},
                        {"sequence", m.sequence},   {"time", m.time_ns}};
  std::string line = outcome + "  " + p.source->id().substr(0, 12) + "  " + format_time(m.time_ns) +
                     "  " + printable(item) + " #" + std::to_string(m.sequence);
  if (!p.item_name.empty()) o["target_item"] = json_text(p.item_name);
  if (p.outcome == vault::CopyOutcome::copied && !dry_run) {
    const vault::SessionStats& s = p.target.stats;
    const uint64_t stored = s.data_bytes + s.metadata_bytes + s.index_bytes;
    o["stored_bytes"] = stored;
    o["target_sequence"] = p.target.sequence;
    line += "  -> " + to_hex(p.target_sha256).substr(0, 12) + " #" +
            std::to_string(p.target.sequence) + ", " + format_size(stored);
  }
  if (p.target_sha256 != crypto::Digest{}) o["target"] = to_hex(p.target_sha256);
  if (p.outcome == vault::CopyOutcome::damaged) {
    o["reason"] = json_text(p.reason);
    out.object(std::move(o));
    out.warn("recovery point " + p.source->id().substr(0, 12) + " of item " + item +
             " cannot be copied: " + p.reason);
    return;
  }
  out.object(std::move(o));
  if (p.outcome != vault::CopyOutcome::present) out.line(line);
}

int copy(const GlobalOptions& global, const CopyArguments& a, std::stop_token stop) {
  Output out(global);
  GlobalOptions options = global;
  options.vault = a.source;
  auto target = vault::Vault::open(a.target, state_directory());
  if (!target.ok()) return out.fail(std::move(target).error().in("target"));
  auto source = ReadSession::open(options, out);
  if (!source.ok()) return out.fail(std::move(source).error().in("source"));
  if ((*target)->id() == source->vault->id()) {
    return out.fail(
        Error{{},
              "source and target are the same vault; what makes and keeps a byte-for-byte replica "
              "is 'holdfast vault geo'"});
  }
  std::vector<std::string> warnings;
  const auto keys = (*target)->credential(warnings);
  if (!keys.ok()) return out.fail(keys.error());
  for (const std::string& w : warnings) out.warn(w);
  const auto points = select(source->points, a);
  if (!points.ok()) return out.fail(points.error());

  vault::CopyOptions copy_options;
  copy_options.dry_run = a.dry_run;
  copy_options.cache_directory = vault::default_cache_directory();
  vault::CopyProgress progress;
  const auto start = std::chrono::steady_clock::now();
  Result<vault::CopyReport> report;
  {
    const ProgressLine line(options, [&] { return progress_text(progress); });
    report = vault::copy_points(
        *source->reader, source->points, *points, **target, *keys, copy_options, progress,
        [&](const vault::CopiedPoint& p) { print_point(p, a.dry_run, out); }, std::move(stop));
  }
  for (const std::string& w : source->reader->warnings()) out.warn(w);
  if (!report.ok()) return out.fail(report.error());
  for (const std::string& w : report->warnings) out.warn(w);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  out.line(
      (a.dry_run ? "would copy " : "copied ") + format_count(report->copied) + " points, " +
      format_count(report->present) + " were there already" +
      (report->damaged > 0 ? ", " + format_count(report->damaged) + " left out as damaged" : "") +
      "; " + format_size(progress.counters.bytes_read) + " read, " +
      format_size(report->bytes_stored) + " stored in " + format_duration(seconds));
  return out.finish({{"copied", report->copied},
                     {"present", report->present},
                     {"damaged", report->damaged},
                     {"dry_run", a.dry_run},
                     {"bytes_read", progress.counters.bytes_read.load()},
                     {"chunks_read", progress.counters.chunks_read.load()},
                     {"pages_read", progress.counters.pages_read.load()},
                     {"bytes_stored", report->bytes_stored},
                     {"seconds", seconds}});
}

}  // namespace

void add_copy_command(Commands& commands, CLI::App& vault) {
  CLI::App* cmd =
      vault.add_subcommand("copy", "Copy recovery points into another vault, with keys of its own");
  auto a = std::make_shared<CopyArguments>();
  cmd->add_option("SOURCE", a->source, "The vault to copy from; the passphrase is of this one")
      ->required();
  cmd->add_option("TARGET", a->target,
                  "The vault to copy into; this machine must be its agent ('vault create' and "
                  "'vault enrol' make it one)")
      ->required();
  cmd->add_option("--item", a->items, "Only points of this item, by name or id; repeat for more")
      ->allow_extra_args(false);
  cmd->add_option("--point", a->points, "Only this point; repeat for more")
      ->allow_extra_args(false);
  cmd->add_option("--latest", a->latest, "Only the newest N points of each item")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  cmd->add_flag("--dry-run,-n", a->dry_run, "Only say what would be copied");
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->footer(
      "\nContent is sealed anew under the target's keys and deduplicated there. Only what the\n"
      "target lacks is sent. A point that was copied before is recognised and left alone, so the\n"
      "same command may run every night; interrupted, it goes on where it stopped. Names of "
      "items,\n"
      "times, labels, hosts and paths are carried over. If this machine has another item of the\n"
      "same name in the target, the copy's item is called NAME@HOST.\n"
      "A point that cannot be read completely is named and left out (exit code 3).\n"
      "\nExamples:\n"
      "  holdfast vault copy /srv/vault /mnt/second\n"
      "  holdfast vault copy /srv/vault /mnt/second --item etc --latest 7\n");
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return copy(commands.options, *a, commands.stop); };
  });
}

}  // namespace holdfast::cli
