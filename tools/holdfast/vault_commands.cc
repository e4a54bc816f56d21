#include <cstdio>
#include <map>
#include <set>

#include <sys/stat.h>

#include "base/units.h"
#include "tools/holdfast/output.h"
#include "vault/client/keys.h"
#include "vault/client/location.h"
#include "vault/engine/head_code.h"
#include "vault/engine/replica.h"
#include "vault/errc.h"
#include "vault/format/object_names.h"
#include "vault/store/redundancy.h"

namespace holdfast::cli {
namespace {

struct CreateArguments {
  std::string location;
  std::string name;
  std::string region;
  bool recovery_code = false;
  std::string redundancy;  // "K+M"
  std::vector<std::string> disks;
  std::string reserve;
};

// "4+2" and six directories.
Result<vault::StripedPlaces> parse_places(const CreateArguments& arguments) {
  vault::StripedPlaces places;
  unsigned k = 0;
  unsigned m = 0;
  int end = 0;
  const std::string& text = arguments.redundancy;
  if (std::sscanf(text.c_str(), "%3u+%3u%n", &k, &m, &end) != 2 ||
      static_cast<size_t>(end) != text.size() || k == 0 || m == 0) {
    return Error{{},
                 "--redundancy: '" + text +
                     "' is not of the form K+M, such as 4+2: any M of K+M directories may be lost"};
  }
  places.data_shards = k;
  places.parity_shards = m;
  places.directories = arguments.disks;
  if (places.directories.size() != k + m) {
    return Error{{},
                 "--redundancy " + text + " needs " + std::to_string(k + m) +
                     " directories, each given with --disk and on a disk of its own; there are " +
                     std::to_string(places.directories.size())};
  }
  return places;
}

// Directories on one file system are lost together.
void note_shared_disks(const vault::StripedPlaces& places, const Output& out) {
  std::map<dev_t, std::string> seen;
  for (const std::string& directory : places.directories) {
    struct stat st {};
    if (::stat(directory.c_str(), &st) != 0) continue;
    const auto [first, fresh] = seen.emplace(st.st_dev, directory);
    if (!fresh) {
      out.line("note: " + directory + " is on the same file system as " + first->second +
               "; losing that disk loses both");
    }
  }
}

// The argument, or --vault.
std::string location_of(const std::string& argument, const GlobalOptions& options) {
  return argument.empty() ? options.vault : argument;
}

int create(const GlobalOptions& global, const CreateArguments& arguments) {
  Output out(global);
  const std::string location = location_of(arguments.location, global);
  const bool is_striped = !arguments.redundancy.empty() || !arguments.disks.empty();
  std::optional<vault::StripedPlaces> places;
  if (is_striped) {
    if (arguments.redundancy.empty()) {
      return out.fail(Error{{}, "several --disk need --redundancy K+M, such as 4+2"}, kUsage);
    }
    if (!arguments.location.empty()) {
      return out.fail(Error{{}, "give the directories with --disk only, none as VAULT"}, kUsage);
    }
    auto parsed = parse_places(arguments);
    if (!parsed.ok()) return out.fail(parsed.error(), kUsage);
    places = std::move(*parsed);
  }
  if (location.empty() && !is_striped) {
    return out.fail(Error{{}, "which directory? Give it as VAULT"});
  }
  vault::CreateOptions options;
  options.name = arguments.name;
  options.region = arguments.region;
  options.machine = machine_name();
  std::optional<uint64_t> reserve;
  if (!arguments.reserve.empty()) {
    auto size = parse_size(arguments.reserve);
    if (!size.ok()) return out.fail(std::move(size).error().in("--reserve"), kUsage);
    reserve = *size;
  }
  auto passphrase = read_new_passphrase(global.passphrase_file, "HOLDFAST_PASSPHRASE",
                                        "New passphrase for the vault");
  if (!passphrase.ok()) return out.fail(passphrase.error());
  options.passphrase = std::move(*passphrase);
  const auto make = [&]() -> Result<std::unique_ptr<vault::Vault>> {
    if (!places) return vault::Vault::create(location, options, state_directory());
    TRY(auto store, vault::create_store(*places));
    return vault::Vault::create(std::move(store), options, state_directory());
  };
  auto vault = make();
  if (!vault.ok()) {
    Error error = std::move(vault).error();
    if (error.code == std::errc::directory_not_empty) {
      error.context += " holds something already; give an empty or new directory";
    }
    return out.fail(error);
  }
  if (const Status reserved = (*vault)->store().set_reserve(reserve); !reserved.ok()) {
    out.warn("no space could be set aside for maintenance: " + reserved.error().message());
  }
  std::string code;
  if (arguments.recovery_code) {
    auto unlocked = (*vault)->unlock(options.passphrase);
    if (!unlocked.ok()) return out.fail(unlocked.error());
    const auto slot = vault::add_recovery_code(**vault, unlocked->secret, "recovery code", code);
    if (!slot.ok()) return out.fail(slot.error());
  }
  crypto::wipe(options.passphrase);
  out.line("created vault " + (*vault)->id().hex() + " at " + (*vault)->store().location());
  if (places) {
    out.line("redundancy " + arguments.redundancy + ": any " +
             std::to_string(places->parity_shards) + " of the " +
             std::to_string(places->directories.size()) +
             " directories may be lost; give any one of them as the vault");
    note_shared_disks(*places, out);
  }
  out.line("this machine is enrolled as agent " + options.machine +
           "; its backups need no passphrase (credential in " + state_directory().path() + ")");
  for (const std::string& p : vault::promises((*vault)->store().traits()))
    out.line("promise: " + p);
  if (!code.empty()) {
    out.result("recovery code, shown once; print it and keep it apart from the vault:");
    out.result("    " + code);
  } else {
    out.line(
        "no one can restore without the passphrase: keep it safe, or add a recovery code with "
        "'holdfast vault key add --recovery-code'");
  }
  boost::json::object fields{{"vault", (*vault)->id().hex()},
                             {"location", json_text((*vault)->store().location())}};
  if (!code.empty()) fields["recovery_code"] = code;
  return out.finish(std::move(fields));
}

struct EnrolArguments {
  std::string location;
  bool maintainer = false;
  bool approver = false;
  vault::EnrolOptions options;
};

// A key for maintenance or approvals, beside or without that of an agent.
int enrol_granted(Output& out, vault::Vault& vault, const vault::VaultSecret& secret,
                  vault::Role role, const std::string& label) {
  const auto key = vault.enrol_granted(secret, role, label);
  if (!key.ok()) return out.fail(key.error());
  const std::string name(vault::name_of(role));
  if (key->request != 0) {
    out.warn("this machine has a key as " + name + ", but the vault demands a second person's " +
             "approval: an approver runs 'holdfast vault approve " + std::to_string(key->request) +
             "' within 14 days");
    return out.finish({{"key", key->id.hex()}, {"role", name}, {"request", key->request}});
  }
  out.line("this machine has a key as " + name + " '" + printable(label) + "' (" + key->id.hex() +
           ", in " + state_directory().path() + "); the audit log names it");
  return out.finish({{"key", key->id.hex()}, {"role", name}});
}

int enrol(const GlobalOptions& global, EnrolArguments& arguments) {
  Output out(global);
  GlobalOptions options = global;
  options.vault = location_of(arguments.location, global);
  auto vault = open_vault(options);
  if (!vault.ok()) return out.fail(vault.error());
  auto unlocked = unlock(**vault, options);
  if (!unlocked.ok()) return out.fail(unlocked.error());
  const bool name_given = !arguments.options.machine.empty();
  if (!name_given) arguments.options.machine = machine_name();
  if (arguments.maintainer || arguments.approver) {
    return enrol_granted(out, **vault, unlocked->secret,
                         arguments.maintainer ? vault::Role::maintainer : vault::Role::approver,
                         arguments.options.machine);
  }
  const auto keys = (*vault)->enrol(unlocked->secret, arguments.options);
  if (!keys.ok()) return out.fail(keys.error());
  if (keys->name != arguments.options.machine && name_given) {
    out.warn("this machine was enrolled before, as " + keys->name + "; another name takes --new");
  }
  out.line("this machine is agent " + keys->name + " (" + keys->agent.hex() +
           "); its backups need no passphrase");
  return out.finish({{"agent", keys->agent.hex()},
                     {"name", json_text(keys->name)},
                     {"domain", keys->domain.id.hex()}});
}

struct StoredBytes {
  uint64_t packs = 0;
  uint64_t pack_bytes = 0;
  uint64_t index_bytes = 0;
  uint64_t other_bytes = 0;
  uint64_t objects = 0;
};

Result<StoredBytes> count_stored(vault::Store& store) {
  TRY(const auto objects, store.list(""));
  StoredBytes s;
  for (const vault::ObjectInfo& o : objects) {
    ++s.objects;
    if (o.name.starts_with(vault::kPacksPrefix)) {
      ++s.packs;
      s.pack_bytes += o.size_bytes;
    } else if (o.name.starts_with(vault::kIndexPrefix)) {
      s.index_bytes += o.size_bytes;
    } else {
      s.other_bytes += o.size_bytes;
    }
  }
  return s;
}

void warn_of_slots(const std::vector<vault::SlotStatus>& slots, Output& out) {
  for (const vault::SlotStatus& s : slots) {
    if (!s.readable) {
      out.warn("key slot " + s.name + " is damaged");
    } else if (s.is_overdue) {
      out.warn("nobody has shown for 180 days that key slot " + s.slot.id.hex() + " ('" +
               s.slot.label + "') opens; do so with 'holdfast vault key prove'");
    }
  }
}

// The directories of a vault that has several.
boost::json::array list_places(vault::Store& store, const Output& out) {
  boost::json::array all;
  vault::Redundancy* redundancy = store.redundancy();
  if (redundancy == nullptr) return all;
  for (const vault::PlaceStatus& p : redundancy->places()) {
    const std::string state = !p.present  ? "missing (" + p.why + ")"
                              : p.filling ? "new, waits for 'holdfast vault repair'"
                              : p.moved   ? "found at a new place"
                                          : "there";
    out.result("disk " + std::to_string(p.number) + "    " + printable(p.path) + ": " + state);
    all.push_back({{"number", p.number},
                   {"path", json_text(p.path)},
                   {"present", p.present},
                   {"filling", p.filling},
                   {"moved", p.moved}});
  }
  return all;
}

// Their names are sealed.
Status list_agents(vault::Vault& vault, const GlobalOptions& options, Output& out) {
  TRY(const vault::UnlockedSlot unlocked, unlock(vault, options));
  TRY(const auto roster, vault::open_roster(vault.store(), vault.description(), unlocked.secret));
  for (const vault::OpenRoster::Agent& a : roster.agents) {
    const std::string domain = a.secrets.back().first.hex();
    const bool active = a.state == vault::AgentState::active;
    out.object({{"type", "agent"},
                {"id", a.id.hex()},
                {"name", json_text(a.name)},
                {"active", active},
                {"enrolled", a.enrolled_ns},
                {"domain", domain}});
    out.result("agent     " + a.id.hex() + "  " + printable(a.name) + ", enrolled " +
               format_time(a.enrolled_ns) + ", dedup domain " + domain.substr(0, 12) +
               (active ? "" : ", retired"));
  }
  return {};
}

int status(const GlobalOptions& global, const std::string& location) {
  Output out(global);
  GlobalOptions options = global;
  options.vault = location_of(location, global);
  auto vault = open_vault(options);
  if (!vault.ok()) return out.fail(vault.error());
  const vault::Description& d = (*vault)->description();
  const auto stored = count_stored((*vault)->store());
  if (!stored.ok()) return out.fail(stored.error());
  const auto slots = vault::list_slots(**vault);
  if (!slots.ok()) return out.fail(slots.error());
  const auto list = (*vault)->list_points_without_secret();
  if (!list.ok()) return out.fail(list.error());
  const auto credential = state_directory().load_credential((*vault)->id());
  const bool enrolled = credential.ok() && credential->has_value();

  std::set<vault::ItemId> items;
  int64_t newest = 0;
  size_t deleted = 0;
  for (const vault::RecoveryPoint& p : list->points) {
    deleted += p.deleted ? 1 : 0;
    items.insert(p.manifest.item());
    newest = std::max(newest, p.manifest.time_ns);
  }
  out.result("vault     " + (*vault)->id().hex() + (d.name.empty() ? "" : " '" + d.name + "'") +
             (d.region.empty() ? "" : " in region '" + d.region + "'"));
  out.result("location  " + printable((*vault)->store().location()) + " (" +
             (*vault)->store().traits().kind + "), format version " +
             std::to_string(d.format_version) + ", created " + format_time(d.created_ns));
  out.result("points    " + format_count(list->points.size() - deleted) + " of " +
             format_count(items.size()) + " items" +
             (deleted != 0 ? " (and " + format_count(deleted) + " deleted ones)" : "") +
             (newest != 0 ? ", the newest of " + format_time(newest) : ""));
  const std::string head = vault::head_code((*vault)->id(), *list);
  out.result("head      " + head);
  const auto role = vault::load_role((*vault)->store(), (*vault)->id());
  if (!role.ok()) return out.fail(role.error());
  if (role->is_read_only()) {
    out.result("replica   of the vault at " + printable(role->replica->primary) +
               "; takes no backups ('holdfast vault geo status' shows more)");
  }
  out.result("stored    " + format_size(stored->pack_bytes) + " in " + format_count(stored->packs) +
             " packs, index " + format_size(stored->index_bytes) + ", other objects " +
             format_size(stored->other_bytes));
  out.result("keys      " + std::to_string(slots->size()) + " key slots; this machine is " +
             (enrolled ? "agent " + printable((*credential)->name) : "not enrolled"));
  if (has_passphrase(options)) {
    const Status listed = list_agents(**vault, options, out);
    if (!listed.ok()) return out.fail(listed.error());
  }
  for (const std::string& p : vault::promises((*vault)->store().traits())) {
    out.result("promise   " + p);
  }
  boost::json::array places = list_places((*vault)->store(), out);
  warn_of_store((*vault)->store(), out);
  for (const vault::PointDefect& defect : list->defects) {
    out.warn(defect.name + ": " + defect.reason);
  }
  warn_of_slots(*slots, out);
  return out.finish({{"vault", (*vault)->id().hex()},
                     {"name", json_text(d.name)},
                     {"region", json_text(d.region)},
                     {"location", json_text((*vault)->store().location())},
                     {"points", list->points.size() - deleted},
                     {"deleted_points", deleted},
                     {"head", head},
                     {"replica", role->is_read_only()},
                     {"items", items.size()},
                     {"packs", stored->packs},
                     {"pack_bytes", stored->pack_bytes},
                     {"index_bytes", stored->index_bytes},
                     {"other_bytes", stored->other_bytes},
                     {"key_slots", slots->size()},
                     {"directories", std::move(places)},
                     {"enrolled", enrolled}});
}

}  // namespace

void add_vault_commands(Commands& commands) {
  CLI::App* vault = commands.app.add_subcommand("vault", "Make and look after vaults");
  vault->require_subcommand(1);

  CLI::App* cmd = vault->add_subcommand("create", "Make a vault and enrol this machine");
  auto c = std::make_shared<CreateArguments>();
  cmd->add_option("VAULT", c->location, "Directory; made if need be, must be empty");
  cmd->add_option("--name", c->name, "Name of the vault; visible without a key");
  cmd->add_option("--region", c->region, "Region it stands in; visible without a key");
  cmd->add_option("--redundancy", c->redundancy,
                  "K+M, such as 4+2: lie in K+M directories, on a disk each, of which any M may be "
                  "lost; takes (K+M)/K of the space")
      ->type_name("K+M");
  cmd->add_option("--disk", c->disks, "One of the directories; repeat it, instead of VAULT")
      ->type_name("DIR")
      ->allow_extra_args(false);
  cmd->add_option("--reserve", c->reserve,
                  "Space to set aside so that maintenance can work when the disk is full, 0 for "
                  "none (default: 1 % of the disk, at most 64M)")
      ->type_name("SIZE");
  cmd->add_flag("--recovery-code", c->recovery_code,
                "Also make a recovery code to print, which opens the vault like the passphrase");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback(
      [&commands, c] { commands.run = [&commands, c] { return create(commands.options, *c); }; });

  cmd = vault->add_subcommand("enrol", "Make this machine an agent of a vault");
  auto e = std::make_shared<EnrolArguments>();
  cmd->add_option("VAULT", e->location, "The vault (or --vault)");
  cmd->add_option("--name", e->options.machine, "Name of this machine (default: host name)");
  cmd->add_flag("--new", e->options.fresh,
                "A new identity even if this machine has one: for clones of another machine");
  cmd->add_option("--join", e->options.join,
                  "Share the dedup domain of this agent (name or id): less is stored, but each can "
                  "then tell what the other stores. Also for a machine that lost its credential: "
                  "with its old name")
      ->type_name("AGENT");
  auto* maintainer = cmd->add_flag(
      "--maintainer", e->maintainer,
      "Instead grant this machine a maintainer's key: it then runs retention, collection and "
      "scrubs without a passphrase");
  cmd->add_flag("--approver", e->approver,
                "Instead grant this machine an approver's key: its user is the second person of "
                "'vault approve'")
      ->excludes(maintainer);
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback(
      [&commands, e] { commands.run = [&commands, e] { return enrol(commands.options, *e); }; });

  cmd = vault->add_subcommand("status",
                              "What is in a vault, and what it promises; needs no key. With "
                              "--passphrase-file or HOLDFAST_PASSPHRASE also its agents");
  auto s = std::make_shared<std::string>();
  cmd->add_option("VAULT", *s, "The vault (or --vault)");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback(
      [&commands, s] { commands.run = [&commands, s] { return status(commands.options, *s); }; });

  add_check_command(commands, *vault);
  add_collect_command(commands, *vault);
  add_repair_commands(commands, *vault);
  add_copy_command(commands, *vault);
  add_geo_commands(commands, *vault);
  add_key_commands(commands, *vault);
  add_lifecycle_commands(commands, *vault);
}

}  // namespace holdfast::cli
