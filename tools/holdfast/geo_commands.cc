#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/units.h"
#include "tools/holdfast/output.h"
#include "vault/client/location.h"
#include "vault/engine/replica.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

struct GeoArguments {
  std::string replica;
  bool verify = false;
  uint64_t watch_seconds = 0;  // 0: one pass
  bool accept_loss = false;
};

// Both ends. The primary is --vault, or where the replica says that it was.
struct Pair {
  std::string primary_location;
  std::unique_ptr<vault::Store> primary;
  std::unique_ptr<vault::Store> replica;
  vault::VaultId vault;
  vault::ReplicaRole role;
};

Error no_replica(const std::string& location) {
  return Error{vault::Errc::not_a_vault,
               location +
                   " is no replica ('holdfast vault geo add' makes one in an empty "
                   "directory)"};
}

// Opens the replica's store and reads what it is. It may be half made: without a description.
Result<Pair> open_replica(const GlobalOptions& global, const GeoArguments& a) {
  Pair pair;
  TRY(pair.replica, vault::open_store(a.replica));
  const auto mark =
      pair.replica->get(std::string(vault::kGeoReplicaName), vault::kGeoLocationBytesMax + 1024);
  if (!mark.ok() && vault::is_absent(mark.error())) return no_replica(a.replica);
  if (!mark.ok()) return mark.error();
  const auto decoded = vault::decode_geo_replica(*mark);
  if (!decoded.ok()) {
    return Error{vault::Errc::damaged, std::string(vault::kGeoReplicaName) + " at " + a.replica};
  }
  pair.vault = decoded->vault;
  TRY(pair.role, vault::load_role(*pair.replica, pair.vault));
  pair.primary_location = global.vault.empty() ? decoded->primary : global.vault;
  return pair;
}

Status open_primary(Pair& pair) {
  auto store = vault::open_store(pair.primary_location);
  if (!store.ok()) {
    return Error{store.error().code, "primary " + pair.primary_location +
                                         " (where it was when the replica was made; --vault gives "
                                         "another place)"};
  }
  TRY(const vault::Description description, vault::load_description(**store));
  if (description.vault != pair.vault) {
    return Error{vault::Errc::not_a_vault, pair.primary_location +
                                               " is another vault than the replica at " +
                                               pair.replica->location() + " was made of"};
  }
  pair.primary = std::move(*store);
  return {};
}

std::string progress_text(const vault::SyncProgress& p) {
  const double share =
      p.bytes_total == 0 ? 0 : static_cast<double>(p.bytes) / static_cast<double>(p.bytes_total);
  return progress_bar(share) + " " + format_count(p.objects) + " of " +
         format_count(p.objects_total) + " objects, " + format_size(p.bytes);
}

boost::json::object describe(const vault::ReplicaLag& lag) {
  return {{"points_primary", lag.points_primary},
          {"points_replica", lag.points_replica},
          {"points_behind", lag.points_behind},
          {"objects_behind", lag.objects_behind},
          {"bytes_behind", lag.bytes_behind},
          {"objects_kept", lag.objects_kept},
          {"newest_primary", lag.newest_primary_ns},
          {"newest_replica", lag.newest_replica_ns},
          {"lag_seconds", static_cast<double>(lag.lag_ns) / 1e9}};
}

std::string lag_text(const vault::ReplicaLag& lag) {
  if (lag.points_behind == 0) {
    return "in step: all " + format_count(lag.points_primary) + " points are there";
  }
  return format_count(lag.points_behind) + " points behind, the oldest of them for " +
         format_duration(static_cast<double>(lag.lag_ns) / 1e9) + "; " +
         format_size(lag.bytes_behind) + " to copy";
}

// One pass, printed. Gives what came of it.
Result<vault::SyncReport> sync_once(const Pair& pair, const GlobalOptions& global,
                                    const GeoArguments& a, Output& out,
                                    const std::stop_token& stop) {
  vault::SyncOptions options;
  options.verify = a.verify;
  vault::SyncProgress progress;
  const auto start = std::chrono::steady_clock::now();
  Result<vault::SyncReport> report;
  {
    const ProgressLine line(global, [&] { return progress_text(progress); });
    report = vault::sync_replica(*pair.primary, *pair.replica, options, progress, stop);
  }
  if (!report.ok()) return report;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const vault::SyncReport& r = *report;
  for (const vault::SyncFinding& f : r.findings) out.warn("not copied: " + f.what);
  boost::json::object o = describe(r.lag);
  o["type"] = "pass";
  o["objects"] = r.objects;
  o["bytes"] = r.bytes;
  o["packs"] = r.packs;
  o["points"] = r.points;
  o["later"] = r.later;
  o["verified"] = r.verified;
  o["repaired"] = r.repaired;
  o["kept"] = r.kept;
  o["findings"] = r.findings.size();
  o["seconds"] = seconds;
  out.object(std::move(o));
  if (r.objects > 0 || r.repaired > 0 || a.watch_seconds == 0) {
    out.line(
        "copied   " + format_count(r.objects) + " objects, " + format_size(r.bytes) + ", " +
        format_count(r.points) + " points, in " + format_duration(seconds) +
        (r.verified > 0 ? "; " + format_count(r.verified) + " verified" : "") +
        (r.repaired > 0 ? "; " + format_count(r.repaired) + " repaired" : "") +
        (r.kept > 0 ? "; " + format_count(r.kept) + " kept that the primary has no more" : ""));
    out.line("replica  " + lag_text(r.lag));
  }
  return report;
}

// False if asked to stop.
bool sleep_for(uint64_t seconds, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, std::chrono::seconds(seconds), [] { return false; });
  return !stop.stop_requested();
}

int run_sync(const Pair& pair, const GlobalOptions& global, const GeoArguments& a, Output& out,
             const std::stop_token& stop) {
  for (uint64_t passes = 0;; ++passes) {
    const auto report = sync_once(pair, global, a, out, stop);
    if (a.watch_seconds == 0) {
      if (!report.ok()) return out.fail(report.error());
      boost::json::object fields = describe(report->lag);
      fields["objects"] = report->objects;
      fields["bytes"] = report->bytes;
      fields["points"] = report->points;
      fields["verified"] = report->verified;
      fields["repaired"] = report->repaired;
      fields["kept"] = report->kept;
      return out.finish(std::move(fields));
    }
    if (!report.ok()) {
      const Error& error = report.error();
      // What does not pass by waiting ends the watch.
      if (error.code == vault::Errc::rolled_back || error.code == vault::Errc::promoted ||
          error.code == vault::Errc::not_a_vault) {
        return out.fail(error);
      }
      if (error.code == Errc::interrupted) return out.finish({{"passes", passes}});
      out.warn(error.message() + "; trying again in " + std::to_string(a.watch_seconds) +
               " seconds");
    }
    if (!sleep_for(a.watch_seconds, stop)) return out.finish({{"passes", passes + 1}});
  }
}

int sync(const GlobalOptions& global, const GeoArguments& a, const std::stop_token& stop) {
  Output out(global);
  auto pair = open_replica(global, a);
  if (!pair.ok()) return out.fail(pair.error());
  if (pair->role.promoted) {
    return out.fail(Error{vault::Errc::promoted, "the replica at " + a.replica});
  }
  if (const Status opened = open_primary(*pair); !opened.ok()) return out.fail(opened.error());
  return run_sync(*pair, global, a, out, stop);
}

int add(const GlobalOptions& global, const GeoArguments& a, const std::stop_token& stop) {
  Output out(global);
  if (global.vault.empty()) {
    return out.fail(Error{{}, "of which vault? Give --vault DIR or set HOLDFAST_VAULT"});
  }
  Pair pair;
  auto primary = vault::open_store(global.vault);
  if (!primary.ok()) return out.fail(primary.error());
  const auto description = vault::load_description(**primary);
  if (!description.ok()) return out.fail(description.error());
  auto replica = vault::create_store(a.replica);
  if (!replica.ok()) {
    Error error = replica.error();
    if (error.code == std::errc::directory_not_empty) {
      error.context +=
          " holds something already; give an empty or new directory ('holdfast vault geo sync' "
          "goes on with a replica that was begun)";
    }
    return out.fail(error);
  }
  pair.primary = std::move(*primary);
  pair.replica = std::move(*replica);
  pair.vault = description->vault;
  pair.primary_location = global.vault;
  if (const Status added = vault::add_replica(*pair.primary, *pair.replica); !added.ok()) {
    return out.fail(added.error());
  }
  out.line("made " + pair.replica->location() + " a replica of vault " + pair.vault.hex() +
           "; it takes no backups until it is promoted");
  return run_sync(pair, global, a, out, stop);
}

int status(const GlobalOptions& global, const GeoArguments& a) {
  Output out(global);
  auto pair = open_replica(global, a);
  if (!pair.ok()) return out.fail(pair.error());
  const auto record = vault::last_sync(*pair->replica, pair->vault);
  if (!record.ok()) return out.fail(record.error());
  const vault::ReplicaRole& role = pair->role;
  const std::string state = role.promoted ? "promoted" : "replica";
  out.result("vault     " + pair->vault.hex());
  out.result("replica   " + printable(pair->replica->location()) + ", since " +
             format_time(role.replica->added_ns) +
             (role.promoted ? "; promoted " + format_time(role.promoted->promoted_ns) +
                                  ", a vault of its own since"
                            : "; read-only for backups"));
  boost::json::object fields{{"vault", pair->vault.hex()},
                             {"state", state},
                             {"replica", json_text(pair->replica->location())},
                             {"primary", json_text(pair->primary_location)},
                             {"added", role.replica->added_ns}};
  if (*record) {
    const vault::GeoSync& s = **record;
    out.result("last sync " + format_time(s.finished_ns) + ": " + format_count(s.points) +
               " points" +
               (s.newest_point_ns != 0 ? ", the newest of " + format_time(s.newest_point_ns) : ""));
    fields["last_sync"] = s.finished_ns;
    fields["last_sync_points"] = s.points;
    fields["last_sync_newest"] = s.newest_point_ns;
  } else {
    out.result("last sync none got through yet; run 'holdfast vault geo sync'");
  }
  if (role.promoted) {
    fields["promoted"] = role.promoted->promoted_ns;
    return out.finish(std::move(fields));
  }
  const Status opened = open_primary(*pair);
  fields["primary_reachable"] = opened.ok();
  if (!opened.ok()) {
    out.warn("the primary cannot be reached, so the lag is not known: " + opened.error().message());
    return out.finish(std::move(fields));
  }
  const auto lag = vault::measure_lag(*pair->primary, *pair->replica);
  if (!lag.ok()) return out.fail(lag.error());
  out.result("lag       " + lag_text(*lag));
  out.result("newest    " + (lag->newest_primary_ns == 0
                                 ? std::string("no points yet")
                                 : "primary " + format_time(lag->newest_primary_ns) +
                                       (lag->newest_replica_ns == 0
                                            ? ", replica none"
                                            : ", replica " + format_time(lag->newest_replica_ns))));
  for (auto& f : describe(*lag)) fields[f.key()] = f.value();
  return out.finish(std::move(fields));
}

int promote(const GlobalOptions& global, const GeoArguments& a) {
  Output out(global);
  auto pair = open_replica(global, a);
  if (!pair.ok()) return out.fail(pair.error());
  if (pair->role.promoted) {
    return out.fail(Error{{},
                          "the replica at " + a.replica + " was promoted before, on " +
                              format_time(pair->role.promoted->promoted_ns) + "; it is writable"});
  }
  uint64_t behind = 0;
  const Status opened = open_primary(*pair);
  if (opened.ok()) {
    const auto lag = vault::measure_lag(*pair->primary, *pair->replica);
    if (!lag.ok()) return out.fail(lag.error());
    behind = lag->points_behind;
    if (behind > 0 && !a.accept_loss) {
      return out.fail(
          Error{{},
                "the primary at " + pair->primary_location + " can be reached, and has " +
                    std::to_string(behind) +
                    " points that the replica lacks: run 'holdfast vault geo sync' first, or give "
                    "--accept-loss to go on without them"});
    }
  }
  if (const Status done = vault::promote_replica(*pair->replica); !done.ok()) {
    return out.fail(done.error());
  }
  out.line("promoted " + pair->replica->location() + ": it is a vault of its own now, with the " +
           "same passphrases and agents");
  out.line("next: point every machine to it (--vault or HOLDFAST_VAULT), and back up no more to " +
           printable(pair->primary_location) + ": the two have parted");
  out.line("      'holdfast vault geo add' makes a new replica of it elsewhere");
  if (!opened.ok()) {
    out.line(
        "the old primary cannot be reached; points that it received after the last sync are "
        "not here. Machines that remember them will say so at their next backup");
  }
  return out.finish({{"vault", pair->vault.hex()},
                     {"replica", json_text(pair->replica->location())},
                     {"points_lost", behind},
                     {"primary_reachable", opened.ok()}});
}

CLI::App* add_geo_command(Commands& commands, CLI::App& geo, const std::string& name,
                          const std::string& what, const std::shared_ptr<GeoArguments>& a) {
  CLI::App* cmd = geo.add_subcommand(name, what);
  cmd->add_option("REPLICA", a->replica, "The replica's directory")->required();
  cmd->add_option("--vault,-v", commands.options.vault,
                  "The primary's directory (or HOLDFAST_VAULT)");
  add_output_options(*cmd, commands.options);
  return cmd;
}

}  // namespace

void add_geo_commands(Commands& commands, CLI::App& vault) {
  CLI::App* geo = vault.add_subcommand(
      "geo", "Keep a byte-for-byte replica of a vault in another region; needs no key");
  geo->require_subcommand(1);
  geo->footer(
      "\nA replica has the vault's id and keys: restores work from it with the same passphrase.\n"
      "It takes no backups until it is promoted, and nothing from its primary afterwards.\n"
      "What the primary loses the replica keeps; a primary that looks older than its replica "
      "stops\n"
      "the sync.\n"
      "\nExamples:\n"
      "  holdfast vault geo add /mnt/second --vault /srv/vault\n"
      "  holdfast vault geo sync /mnt/second                     every hour, from cron\n"
      "  holdfast vault geo sync /mnt/second --watch 60          or all the time\n"
      "  holdfast vault geo status /mnt/second --json\n"
      "  holdfast vault geo promote /mnt/second                  when the first is lost\n");
  auto a = std::make_shared<GeoArguments>();
  CLI::App* cmd =
      add_geo_command(commands, *geo, "add", "Make an empty directory a replica, and fill it", a);
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return add(commands.options, *a, commands.stop); };
  });
  cmd = add_geo_command(commands, *geo, "sync", "Copy what the replica lacks", a);
  cmd->add_option("--watch", a->watch_seconds,
                  "Go on, with a pass every so many seconds, until interrupted")
      ->type_name("SECONDS")
      ->check(CLI::PositiveNumber);
  cmd->add_flag("--verify", a->verify,
                "Also read every object that both have, and put right packs and index runs that "
                "are damaged in the replica");
  cmd->callback([&commands, a] {
    commands.run = [&commands, a] { return sync(commands.options, *a, commands.stop); };
  });
  cmd = add_geo_command(commands, *geo, "status",
                        "What the replica is, and how far behind its primary", a);
  cmd->callback(
      [&commands, a] { commands.run = [&commands, a] { return status(commands.options, *a); }; });
  cmd = add_geo_command(commands, *geo, "promote",
                        "Make the replica a writable vault of its own; there is no way back", a);
  cmd->add_flag("--accept-loss", a->accept_loss,
                "Also if the primary can be reached and has points that the replica lacks");
  cmd->callback(
      [&commands, a] { commands.run = [&commands, a] { return promote(commands.options, *a); }; });
}

}  // namespace holdfast::cli
