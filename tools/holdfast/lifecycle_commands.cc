#include <algorithm>

#include "base/units.h"
#include "tools/holdfast/lifecycle_support.h"
#include "tools/holdfast/point_selection.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

using Key = LifecycleSession::Key;

struct LifecycleArguments {
  std::vector<std::string> points;
  std::string item;
  std::string reason;
  std::string policy;
  std::string immutability;
  std::string approval;
  std::string key;
  int64_t soft_delete_days = 0;
  uint64_t request = 0;
};

struct Chosen {
  vault::ItemId item;
  std::vector<vault::PointRef> points;
};

// The points named, by item. Of whole points only.
Result<std::vector<Chosen>> choose(const LifecycleSession& session,
                                   const std::vector<std::string>& texts) {
  std::map<vault::ItemId, std::map<uint64_t, vault::PointRef>> found;
  vault::PointList list = session.lifecycle->points();
  for (const std::string& text : texts) {
    TRY(const PointSpec spec, parse_point_spec(text));
    if (!spec.key.empty() || spec.point == "latest") {
      return Error{Errc::malformed, "'" + text +
                                        "': give the id of a whole recovery point, or at "
                                        "least four of its digits"};
    }
    TRY(const vault::RecoveryPoint* point, select_point(list, spec));
    const uint64_t sequence = point->manifest.sequence;
    found[point->manifest.item()][sequence] = {sequence, point->sha256};
  }
  std::vector<Chosen> out;
  for (const auto& [item, points] : found) {
    out.push_back({item, {}});
    for (const auto& [sequence, ref] : points) out.back().points.push_back(ref);
  }
  return out;
}

// One entry for all that `make` gives for the chosen points.
template <class Make>
int change_points(const GlobalOptions& global, const LifecycleArguments& a, const Make& make,
                  const std::string& done) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  std::vector<vault::Action> actions;
  const auto chosen = choose(*session, a.points);
  if (!chosen.ok()) return out.fail(chosen.error());
  size_t count = 0;
  for (const Chosen& c : *chosen) {
    make(c, actions);
    count += c.points.size();
  }
  if (!a.item.empty()) {
    const auto item = session->item(a.item);
    if (!item.ok()) return out.fail(item.error());
    make(Chosen{*item, {}}, actions);
  }
  if (actions.empty()) return out.fail(Error{{}, "which points? Give their ids"}, kUsage);
  return change(out, *session, std::move(actions),
                done + " " +
                    (a.item.empty() ? format_count(count) + (count == 1 ? " point" : " points")
                                    : "item " + printable(a.item)));
}

int remove(const GlobalOptions& global, const LifecycleArguments& a) {
  return change_points(
      global, a,
      [](const Chosen& c, std::vector<vault::Action>& actions) {
        actions.emplace_back(
            vault::audit::SoftDelete{c.item, vault::DeleteReason::by_hand, c.points});
      },
      "deleted, and can be brought back until they are purged:");
}

int undelete(const GlobalOptions& global, const LifecycleArguments& a) {
  return change_points(
      global, a,
      [](const Chosen& c, std::vector<vault::Action>& actions) {
        vault::audit::Undelete action{c.item, {}};
        for (const vault::PointRef& p : c.points) action.sequences.push_back(p.sequence);
        actions.emplace_back(std::move(action));
      },
      "brought back (hold them, if the policy would expire them again):");
}

int hold(const GlobalOptions& global, const LifecycleArguments& a) {
  return change_points(
      global, a,
      [&](const Chosen& c, std::vector<vault::Action>& actions) {
        if (c.points.empty()) actions.emplace_back(vault::audit::Hold{c.item, 0, a.reason});
        for (const vault::PointRef& p : c.points) {
          actions.emplace_back(vault::audit::Hold{c.item, p.sequence, a.reason});
        }
      },
      "held until released:");
}

int release(const GlobalOptions& global, const LifecycleArguments& a) {
  return change_points(
      global, a,
      [](const Chosen& c, std::vector<vault::Action>& actions) {
        if (c.points.empty()) actions.emplace_back(vault::audit::Release{c.item, 0});
        for (const vault::PointRef& p : c.points) {
          actions.emplace_back(vault::audit::Release{c.item, p.sequence});
        }
      },
      "released");
}

std::string signer_name(const vault::LifecycleState& state, const vault::AuditSigner& signer) {
  if (!signer.granted) {
    return "vault key" +
           (signer.generation == 0 ? "" : " of generation " + std::to_string(signer.generation));
  }
  const auto it = state.grants.find(*signer.granted);
  if (it == state.grants.end()) return signer.granted->hex();
  return std::string(vault::name_of(it->second.role)) + " '" + printable(it->second.label) + "'";
}

int audit(const GlobalOptions& global) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::if_given);
  if (!session.ok()) return out.fail(session.error());
  const vault::AuditLog& log = session->lifecycle->log();
  for (const vault::LoggedEntry& e : log.entries()) {
    const std::string signer = signer_name(log.state(), e.entry.signer);
    boost::json::array actions;
    for (const vault::Action& action : e.entry.actions) {
      const std::string text = vault::describe(action);
      actions.emplace_back(json_text(text));
      out.result(std::to_string(e.entry.sequence) + "  " + format_time(e.entry.time_ns) + "  " +
                 signer + "  " + printable(text));
    }
    out.object({{"type", "entry"},
                {"sequence", e.entry.sequence},
                {"time", e.entry.time_ns},
                {"received", e.stored_ns},
                {"signer", json_text(signer)},
                {"sha256", to_hex(e.sha256)},
                {"actions", std::move(actions)}});
  }
  for (const auto& [sequence, request] : log.state().requests) {
    out.line("request " + std::to_string(sequence) + " is open: 'holdfast vault approve " +
             std::to_string(sequence) + "'");
  }
  for (const vault::PassedOverEntry& p : log.passed_over()) {
    out.warn(p.name + " does not count: " + p.reason +
             (p.is_genuine
                  ? " (signed by a key of this vault: an entry before it is missing, or it "
                    "broke a rule)"
                  : ""));
  }
  out.line("head " + to_hex(log.state().head.sha256).substr(0, 16) + " of entry " +
           std::to_string(log.state().head.sequence) + "; the chain verifies from the vault's key");
  return out.finish({{"entries", log.entries().size()},
                     {"passed_over", log.passed_over().size()},
                     {"head", to_hex(log.state().head.sha256)},
                     {"requests", log.state().requests.size()}});
}

int show_settings(Output& out, const LifecycleSession& session) {
  const vault::LifecycleState& s = session.lifecycle->state();
  const vault::VaultTime& time = session.lifecycle->time();
  out.result("soft delete   " + std::to_string(s.soft_delete_days) + " days");
  out.result("immutability  " + std::string(vault::name_of(s.immutability)));
  out.result("approval      " + std::string(s.approval_required
                                                ? "a second person's, for destructive operations"
                                                : "not demanded"));
  out.result("vault time    " + format_time(time.now_ns) + (time.is_trusted ? "" : ", in doubt"));
  for (const auto& [id, grant] : s.grants) {
    const std::string role(vault::name_of(grant.role));
    out.object({{"type", "key"},
                {"id", id.hex()},
                {"role", role},
                {"label", json_text(grant.label)},
                {"active", grant.active}});
    out.result("key           " + id.hex() + "  " + role + " '" + printable(grant.label) + "'" +
               (grant.active ? "" : ", revoked"));
  }
  if (s.immutability != vault::Immutability::off &&
      !session.vault->store().traits().locks_objects) {
    out.line(
        "this store cannot enforce immutability: programs keep to it, who can delete in the "
        "store need not");
  }
  if (!time.is_trusted) out.warn(time.doubt + "; nothing expires until 'vault clock confirm'");
  return out.finish({{"soft_delete_days", s.soft_delete_days},
                     {"immutability", vault::name_of(s.immutability)},
                     {"approval_required", s.approval_required},
                     {"store_enforces", session.vault->store().traits().locks_objects},
                     {"clock_trusted", time.is_trusted}});
}

vault::Immutability level_of(const std::string& text) {
  return text == "off"        ? vault::Immutability::off
         : text == "unlocked" ? vault::Immutability::unlocked
                              : vault::Immutability::locked;
}

int settings(const GlobalOptions& global, const LifecycleArguments& a) {
  Output out(global);
  std::vector<vault::Action> actions;
  if (a.soft_delete_days != 0) {
    actions.emplace_back(vault::audit::SetSoftDelete{static_cast<uint16_t>(a.soft_delete_days)});
  }
  if (!a.immutability.empty()) {
    actions.emplace_back(vault::audit::SetImmutability{a.policy, level_of(a.immutability)});
  } else if (!a.policy.empty()) {
    return out.fail(Error{{}, "--policy goes with --immutability"}, kUsage);
  }
  if (!a.approval.empty()) actions.emplace_back(vault::audit::SetApproval{a.approval == "on"});
  auto session = LifecycleSession::open(global, actions.empty() ? Key::if_given : Key::required);
  if (!session.ok()) return out.fail(session.error());
  if (actions.empty()) return show_settings(out, *session);
  std::string done;
  for (const vault::Action& action : actions) {
    done += (done.empty() ? "" : "; ") + printable(vault::describe(action));
  }
  if (a.immutability == "locked") {
    done += ". This cannot be undone by anybody";
    if (!session->vault->store().traits().locks_objects) {
      done += "; but this store does not enforce it: who can delete in it still can";
    }
  }
  return change(out, *session, std::move(actions), done);
}

int approve(const GlobalOptions& global, const LifecycleArguments& a) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::none);
  if (!session.ok()) return out.fail(session.error());
  const auto& requests = session->lifecycle->state().requests;
  std::string what;
  if (const auto it = requests.find(a.request); it != requests.end()) {
    for (const vault::Action& action : it->second.actions) {
      what += (what.empty() ? "" : "; ") + printable(vault::describe(action));
    }
  }
  return report(out, session->lifecycle->approve(a.request),
                "approved request " + std::to_string(a.request) + ": " + what);
}

int revoke(const GlobalOptions& global, const LifecycleArguments& a) {
  Output out(global);
  const auto id = vault::MaintainerId::parse(a.key);
  if (!id.ok()) {
    return out.fail(Error{{},
                          "'" + a.key +
                              "' is no id of a key; 'holdfast vault settings' shows "
                              "them, of 32 digits each"},
                    kUsage);
  }
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  return change(out, *session, {vault::audit::Revoke{*id}},
                "revoked " + a.key + "; what it signed before stays");
}

int show_clock(const GlobalOptions& global) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::none);
  if (!session.ok()) return out.fail(session.error());
  const vault::VaultTime& time = session->lifecycle->time();
  out.result("vault time  " + format_time(time.now_ns));
  if (!time.is_trusted) out.warn(time.doubt + "; nothing expires until it is confirmed");
  return out.finish({{"time", time.now_ns}, {"clock_trusted", time.is_trusted}});
}

int confirm_clock(const GlobalOptions& global) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  auto changed = session->lifecycle->confirm_clock(session->unlocked->secret);
  return report(out, changed,
                "the store's clock is right; vault time is now " +
                    format_time(session->lifecycle->time().now_ns));
}

}  // namespace

void add_point_lifecycle_commands(Commands& commands, CLI::App& points) {
  auto a = std::make_shared<LifecycleArguments>();
  const auto add = [&](const char* name, const char* help, auto function) {
    CLI::App* cmd = points.add_subcommand(name, help);
    cmd->add_option("POINT", a->points, "Ids of recovery points, or their first digits");
    add_vault_option(*cmd, commands.options);
    add_passphrase_option(*cmd, commands.options);
    add_output_options(*cmd, commands.options);
    cmd->callback([&commands, a, function] {
      commands.run = [&commands, a, function] { return function(commands.options, *a); };
    });
    return cmd;
  };
  add("delete", "Delete points by hand: softly, so that they can be brought back for some days",
      remove);
  add("undelete", "Bring soft-deleted points back", undelete);
  CLI::App* cmd =
      add("hold", "Keep points, whatever retention and anybody says, until released", hold);
  cmd->add_option("--item", a->item, "The item with all its points, also future ones");
  cmd->add_option("--reason", a->reason, "Why; visible without a key")
      ->check([](const std::string& t) -> std::string {
        return t.size() <= vault::kAuditTextBytesMax ? "" : "at most 1024 bytes";
      });
  cmd = add("release", "End a hold", release);
  cmd->add_option("--item", a->item, "A hold on the item");
}

void add_lifecycle_commands(Commands& commands, CLI::App& vault) {
  auto a = std::make_shared<LifecycleArguments>();
  const auto finish = [&](CLI::App* cmd, auto function, bool with_passphrase) {
    add_vault_option(*cmd, commands.options);
    if (with_passphrase) add_passphrase_option(*cmd, commands.options);
    add_output_options(*cmd, commands.options);
    cmd->callback([&commands, a, function] {
      commands.run = [&commands, a, function] { return function(commands.options, *a); };
    });
  };
  CLI::App* cmd = vault.add_subcommand(
      "audit", "Print the audit log, and verify its chain and signatures; needs no key");
  finish(
      cmd, [](const GlobalOptions& g, const LifecycleArguments&) { return audit(g); }, true);

  cmd = vault.add_subcommand("settings", "Show or change the rules of the vault");
  cmd->add_option("--soft-delete-days", a->soft_delete_days,
                  "How long deleted points can be brought back (14 to 180)")
      ->check(CLI::Range(14, 180));
  cmd->add_option(
         "--immutability", a->immutability,
         "unlocked: retention cannot be lowered, soft delete not shortened, points not "
         "deleted before their time, until it is turned off; locked: the same for ever; off")
      ->check(CLI::IsMember({"off", "unlocked", "locked"}));
  cmd->add_option("--policy", a->policy, "--immutability of this policy instead of the vault");
  cmd->add_option("--approval", a->approval,
                  "on: destructive operations need a second person ('vault enrol --approver' on "
                  "their machine, then 'vault approve'); off")
      ->check(CLI::IsMember({"on", "off"}));
  finish(cmd, settings, true);

  cmd = vault.add_subcommand("approve",
                             "Approve a request, as the second person; with this "
                             "machine's approver's key");
  cmd->add_option("REQUEST", a->request, "Its number, from 'vault audit'")->required();
  finish(cmd, approve, false);

  cmd = vault.add_subcommand("revoke", "Take a maintainer's or approver's key back");
  cmd->add_option("KEY", a->key, "Its id, from 'vault settings'")->required();
  finish(cmd, revoke, true);

  CLI::App* clock = vault.add_subcommand(
      "clock",
      "The vault's own time. It goes on by itself; if the store's clock disagrees by a "
      "day, nothing expires until somebody with the passphrase confirms");
  clock->require_subcommand(0, 1);
  cmd = clock->add_subcommand("confirm", "Say that the store's clock is right now");
  finish(
      cmd, [](const GlobalOptions& g, const LifecycleArguments&) { return confirm_clock(g); },
      true);
  add_vault_option(*clock, commands.options);
  add_output_options(*clock, commands.options);
  clock->callback([&commands, clock] {
    if (!clock->get_subcommands().empty()) return;
    commands.run = [&commands] { return show_clock(commands.options); };
  });
}

}  // namespace holdfast::cli
