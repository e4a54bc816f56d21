#include "base/units.h"
#include "tools/holdfast/output.h"
#include "vault/client/keys.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

struct KeyArguments {
  std::string label;
  std::string slot;
  std::string what;
  std::string agent;
  std::string new_passphrase_file;
  bool recovery_code = false;
};

std::string kind_name(vault::SlotKind kind) {
  return kind == vault::SlotKind::passphrase ? "passphrase" : "recovery code";
}

int list(const GlobalOptions& global) {
  Output out(global);
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  const auto slots = vault::list_slots(**vault);
  if (!slots.ok()) return out.fail(slots.error());
  for (const vault::SlotStatus& s : *slots) {
    if (!s.readable) {
      out.warn(s.name + " is damaged");
      continue;
    }
    out.object({{"type", "slot"},
                {"id", s.slot.id.hex()},
                {"kind", kind_name(s.slot.kind)},
                {"label", json_text(s.slot.label)},
                {"created", s.slot.created_ns},
                {"proved", s.proved_ns},
                {"overdue", s.is_overdue},
                {"current", s.is_current}});
    out.result(s.slot.id.hex() + "  " + kind_name(s.slot.kind) + "  '" + printable(s.slot.label) +
               "'  made " + format_time(s.slot.created_ns) + ", opened last " +
               format_time(s.proved_ns) +
               (s.is_current ? "" : "  (before a rotation: opens nothing)"));
    if (s.is_overdue) out.warn("slot " + s.slot.id.hex() + " was not proved for 180 days");
  }
  return out.finish({{"slots", slots->size()}});
}

Result<std::string> new_passphrase(const KeyArguments& a) {
  return read_new_passphrase(a.new_passphrase_file, "HOLDFAST_NEW_PASSPHRASE", "New passphrase");
}

int add(const GlobalOptions& global, const KeyArguments& a) {
  Output out(global);
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  auto unlocked = unlock(**vault, global);
  if (!unlocked.ok()) return out.fail(unlocked.error());
  if (a.recovery_code) {
    std::string code;
    const auto slot = vault::add_recovery_code(**vault, unlocked->secret,
                                               a.label.empty() ? "recovery code" : a.label, code);
    if (!slot.ok()) return out.fail(slot.error());
    out.result("recovery code, shown once; print it and keep it apart from the vault:");
    out.result("    " + code);
    return out.finish({{"slot", slot->hex()}, {"recovery_code", code}});
  }
  auto passphrase = new_passphrase(a);
  if (!passphrase.ok()) return out.fail(passphrase.error());
  const auto slot = vault::add_passphrase(**vault, unlocked->secret, *passphrase,
                                          a.label.empty() ? "passphrase" : a.label);
  crypto::wipe(*passphrase);
  if (!slot.ok()) return out.fail(slot.error());
  out.line("added key slot " + slot->hex());
  return out.finish({{"slot", slot->hex()}});
}

int remove(const GlobalOptions& global, const KeyArguments& a) {
  Output out(global);
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  const auto id = vault::SlotId::parse(a.slot);
  if (!id.ok()) {
    return out.fail(Error{{},
                          "'" + a.slot + "' is no id of a key slot; 'holdfast vault key list' " +
                              "shows them, of 32 digits each"},
                    kUsage);
  }
  // Whoever cannot open the vault has no business changing who can.
  auto unlocked = unlock(**vault, global);
  if (!unlocked.ok()) return out.fail(unlocked.error());
  const Status removed = vault::remove_slot(**vault, *unlocked, *id);
  if (!removed.ok()) return out.fail(removed.error());
  out.line("removed key slot " + id->hex() +
           "; whoever kept a copy of it can still open the vault with it: if that matters, run "
           "'holdfast vault key rotate recovery'");
  return out.finish({{"slot", id->hex()}});
}

int prove(const GlobalOptions& global) {
  Output out(global);
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  auto unlocked = unlock(**vault, global);
  if (!unlocked.ok()) return out.fail(unlocked.error());
  // Opening the slot is half of it: the secret must also open what agents seal for it.
  const auto reader = (*vault)->open_reader(unlocked->secret);
  if (!reader.ok()) return out.fail(reader.error());
  const Status recorded = vault::record_proof(**vault, *unlocked);
  if (!recorded.ok()) return out.fail(recorded.error());
  out.result("key slot " + unlocked->slot.id.hex() + " ('" + printable(unlocked->slot.label) +
             "') opens the vault");
  return out.finish({{"slot", unlocked->slot.id.hex()}});
}

int rotate(const GlobalOptions& global, const KeyArguments& a) {
  Output out(global);
  auto vault = open_vault(global);
  if (!vault.ok()) return out.fail(vault.error());
  auto unlocked = unlock(**vault, global);
  if (!unlocked.ok()) return out.fail(unlocked.error());
  if (a.what == "domain") {
    const auto rotated = vault::rotate_domain(**vault, unlocked->secret, a.agent);
    if (!rotated.ok()) return out.fail(rotated.error());
    out.result("new keys for " + std::to_string(rotated->agents) +
               " agents. Cost: nothing older is shared any more, each agent's next backup sends "
               "everything once. Each agent fetches its keys with 'holdfast vault enrol'.");
    return out.finish({{"domain", rotated->domain.hex()}, {"agents", rotated->agents}});
  }
  auto passphrase = new_passphrase(a);
  if (!passphrase.ok()) return out.fail(passphrase.error());
  if (a.what == "slot") {
    const auto slot = vault::rotate_slot(**vault, *unlocked, *passphrase);
    if (!slot.ok()) return out.fail(slot.error());
    out.result(
        "the passphrase of this key slot is changed. Cost: two small objects. It does not "
        "help against somebody who kept a copy of the old slot and knows its passphrase: "
        "that takes 'rotate recovery'.");
    return out.finish({{"slot", slot->hex()}});
  }
  const auto rotated = vault::rotate_recovery_key(**vault, *unlocked, *passphrase);
  if (!rotated.ok()) return out.fail(rotated.error());
  out.result("new recovery key, generation " + std::to_string(rotated->generation) +
             ". Cost: a new roster; what is stored stays as it is, still readable with the old key "
             "by whoever has it (copy the vault to encrypt it anew). " +
             std::to_string(rotated->slots_dropped) +
             " other key slots were dropped; add them again with 'holdfast vault key add'.");
  return out.finish({{"slot", rotated->slot.hex()},
                     {"generation", rotated->generation},
                     {"slots_dropped", rotated->slots_dropped}});
}

}  // namespace

void add_key_commands(Commands& commands, CLI::App& vault) {
  CLI::App* key = vault.add_subcommand("key", "Who can open the vault");
  key->require_subcommand(1);
  auto a = std::make_shared<KeyArguments>();
  const auto common = [&](CLI::App& cmd) {
    add_vault_option(cmd, commands.options);
    add_passphrase_option(cmd, commands.options);
    add_output_options(cmd, commands.options);
  };
  const auto add_new_passphrase = [&](CLI::App& cmd) {
    cmd.add_option("--new-passphrase-file", a->new_passphrase_file,
                   "File whose first line is the new passphrase (or HOLDFAST_NEW_PASSPHRASE)");
  };

  CLI::App* cmd = key->add_subcommand("list", "List key slots; needs no passphrase");
  add_vault_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback([&commands] { commands.run = [&commands] { return list(commands.options); }; });

  cmd = key->add_subcommand("add", "Add a passphrase or a recovery code");
  cmd->add_option("--label", a->label, "What to call the slot; visible without a key");
  cmd->add_flag("--recovery-code", a->recovery_code, "A code to print instead of a passphrase");
  add_new_passphrase(*cmd);
  common(*cmd);
  cmd->callback(
      [&commands, a] { commands.run = [&commands, a] { return add(commands.options, *a); }; });

  cmd = key->add_subcommand("remove", "Remove a key slot");
  cmd->add_option("SLOT", a->slot, "Its id, from 'list'")->required();
  common(*cmd);
  cmd->callback(
      [&commands, a] { commands.run = [&commands, a] { return remove(commands.options, *a); }; });

  cmd = key->add_subcommand("prove", "Show that a passphrase or code still opens the vault");
  common(*cmd);
  cmd->callback([&commands] { commands.run = [&commands] { return prove(commands.options); }; });

  cmd = key->add_subcommand("rotate", "Change keys: slot, recovery or domain");
  cmd->add_option("WHAT", a->what,
                  "slot: a new passphrase in place of the passphrase or code that is given now, "
                  "which stops working; recovery: a new recovery key for all backups from now on, "
                  "and all other passphrases and codes stop working (add them again); domain: new "
                  "keys for an agent's domain, after a machine was compromised")
      ->required()
      ->check(CLI::IsMember({"slot", "recovery", "domain"}));
  cmd->add_option("--agent", a->agent, "domain: of this agent (default: this machine's)");
  add_new_passphrase(*cmd);
  common(*cmd);
  cmd->callback(
      [&commands, a] { commands.run = [&commands, a] { return rotate(commands.options, *a); }; });
}

}  // namespace holdfast::cli
