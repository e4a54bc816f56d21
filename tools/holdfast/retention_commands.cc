#include "base/units.h"
#include "tools/holdfast/lifecycle_support.h"
#include "vault/client/maintenance.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

using Key = LifecycleSession::Key;

struct RetentionArguments {
  std::string name;
  std::string item;
  bool everywhere = false;
  bool expiring_only = false;
  // Texts, as "all" and spans are no numbers.
  std::string last, hourly, daily, weekly, monthly, yearly, within, minimum_age, zone;
  std::vector<std::string> tags;
  int64_t burst_factor = -1;
  int64_t shrink_percent = -1;
};

Status set_count(uint32_t& count, const std::string& text, const char* option) {
  if (text.empty()) return {};
  if (text == "all") {
    count = vault::kKeepAll;
    return {};
  }
  if (text.size() > 9 || text.find_first_not_of("0123456789") != std::string::npos) {
    return Error{Errc::malformed, std::string(option) + ": '" + text + "' is no number, nor 'all'"};
  }
  count = static_cast<uint32_t>(std::stoul(text));
  return {};
}

Result<vault::RetentionPolicy> policy_of(const RetentionArguments& a) {
  vault::RetentionPolicy p;
  TRYV(set_count(p.keep_last, a.last, "--keep-last"));
  TRYV(set_count(p.keep_hourly, a.hourly, "--keep-hourly"));
  TRYV(set_count(p.keep_daily, a.daily, "--keep-daily"));
  TRYV(set_count(p.keep_weekly, a.weekly, "--keep-weekly"));
  TRYV(set_count(p.keep_monthly, a.monthly, "--keep-monthly"));
  TRYV(set_count(p.keep_yearly, a.yearly, "--keep-yearly"));
  if (!a.within.empty()) {
    TRY(p.keep_within_s, parse_span(a.within));
  }
  if (!a.minimum_age.empty()) {
    TRY(p.minimum_age_s, parse_span(a.minimum_age));
  }
  p.keep_tags = a.tags;
  p.time_zone = a.zone;
  TRYV(vault::TimeZone::load(a.zone));
  if (a.burst_factor >= 0) p.burst_factor = static_cast<uint32_t>(a.burst_factor);
  if (a.shrink_percent >= 0) p.shrink_percent = static_cast<uint32_t>(a.shrink_percent);
  return p;
}

std::string describe(const vault::RetentionPolicy& p) {
  std::string text;
  const auto add = [&](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  const auto count = [&](const char* name, uint32_t n) {
    if (n != 0) add(std::string(name) + " " + (n == vault::kKeepAll ? "all" : std::to_string(n)));
  };
  count("last", p.keep_last);
  count("hourly", p.keep_hourly);
  count("daily", p.keep_daily);
  count("weekly", p.keep_weekly);
  count("monthly", p.keep_monthly);
  count("yearly", p.keep_yearly);
  if (p.keep_within_s != 0) add("within " + format_span(p.keep_within_s));
  for (const std::string& tag : p.keep_tags) add("tag " + printable(tag));
  if (text.empty()) text = "keeps everything";
  if (p.minimum_age_s != 0) add("minimum age " + format_span(p.minimum_age_s));
  add("time zone " + (p.time_zone.empty() ? "UTC" : printable(p.time_zone)));
  if (p.burst_factor != 10) add("burst factor " + std::to_string(p.burst_factor));
  if (p.shrink_percent != 50) add("shrink percent " + std::to_string(p.shrink_percent));
  return text;
}

int set_policy(const GlobalOptions& global, const RetentionArguments& a) {
  Output out(global);
  auto policy = policy_of(a);
  if (!policy.ok()) return out.fail(policy.error(), kUsage);
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  return change(out, *session, {vault::audit::SetPolicy{a.name, *policy}},
                "policy '" + printable(a.name) + "': " + describe(*policy));
}

int list_policies(const GlobalOptions& global) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::if_given);
  if (!session.ok()) return out.fail(session.error());
  const vault::LifecycleState& state = session->lifecycle->state();
  for (const auto& [name, p] : state.policies) {
    boost::json::array items;
    std::string assigned = state.default_policy == name ? "default" : "";
    for (const auto& [item, of_item] : state.items) {
      if (of_item.policy != name) continue;
      items.emplace_back(item.hex());
      assigned += (assigned.empty() ? "" : ", ") + printable(session->item_name(item));
    }
    out.object({{"type", "policy"},
                {"name", json_text(name)},
                {"rules", json_text(describe(p.policy))},
                {"immutability", vault::name_of(p.immutability)},
                {"default", state.default_policy == name},
                {"items", std::move(items)}});
    out.result(printable(name) + "  " + describe(p.policy) +
               (p.immutability == vault::Immutability::off
                    ? ""
                    : "  [immutable, " + std::string(vault::name_of(p.immutability)) + "]") +
               "  for: " + (assigned.empty() ? "nothing yet" : assigned));
  }
  if (state.policies.empty()) out.line("no policies: every point stays");
  return out.finish({{"policies", state.policies.size()}});
}

int remove_policy(const GlobalOptions& global, const RetentionArguments& a) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  return change(out, *session, {vault::audit::RemovePolicy{a.name}},
                "removed policy '" + printable(a.name) + "'");
}

int assign(const GlobalOptions& global, const RetentionArguments& a) {
  Output out(global);
  if (a.item.empty() != a.everywhere) {
    return out.fail(Error{{},
                          "which items? Give --item ITEM, or --default for all without a "
                          "policy of their own"},
                    kUsage);
  }
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  vault::audit::Assign action;
  action.policy = a.name == "none" ? "" : a.name;
  if (!a.everywhere) {
    const auto item = session->item(a.item);
    if (!item.ok()) return out.fail(item.error());
    action.item = *item;
  }
  return change(out, *session, {action},
                (action.policy.empty() ? "no policy" : "policy '" + printable(a.name) + "'") +
                    " for " + (a.everywhere ? "all items without their own" : printable(a.item)));
}

int confirm(const GlobalOptions& global, const RetentionArguments& a) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::required);
  if (!session.ok()) return out.fail(session.error());
  const auto item = session->item(a.item);
  if (!item.ok()) return out.fail(item.error());
  uint64_t newest = 0;
  for (const vault::RecoveryPoint& p : session->lifecycle->points().points) {
    if (p.manifest.item() == *item) newest = std::max(newest, p.manifest.sequence);
  }
  return change(out, *session, {vault::audit::ConfirmItem{*item, newest}},
                "expiry of " + printable(a.item) + " goes on; its points up to #" +
                    std::to_string(newest) + " count as what is usual");
}

std::string reasons(const vault::PointDecision& d) {
  std::string text;
  for (const vault::Reason& r : d.reasons) {
    text += (text.empty() ? "" : "; ") + std::string(vault::name_of(r.rule)) +
            (r.slot.empty() ? "" : " " + printable(r.slot));
  }
  if (d.keep) return text;
  return d.represented_by == 0 ? "older than every slot that is kept"
                               : "its slot is represented by #" + std::to_string(d.represented_by);
}

void print_plan(Output& out, const LifecycleSession& session,
                const vault::Lifecycle::ItemPlan& plan, const RetentionArguments& a) {
  const std::string name = session.item_name(plan.item);
  out.line("item " + printable(name) + ", " +
           (plan.policy.empty() ? "no policy" : "policy '" + printable(plan.policy) + "'") + ": " +
           format_count(plan.points.size() - plan.plan.expiring) + " points stay, " +
           format_count(plan.plan.expiring) + (plan.plan.expiring == 1 ? " expires" : " expire"));
  for (size_t i = 0; i < plan.points.size(); ++i) {
    const vault::PointDecision& d = plan.plan.points[i];
    const vault::RecoveryPoint& p = *plan.points[i];
    boost::json::array why;
    for (const vault::Reason& r : d.reasons) {
      why.push_back(
          boost::json::object{{"rule", vault::name_of(r.rule)}, {"slot", json_text(r.slot)}});
    }
    boost::json::object o{{"type", "point"},         {"id", p.id()},
                          {"item", json_text(name)}, {"item_id", plan.item.hex()},
                          {"sequence", d.sequence},  {"received", p.stored_ns},
                          {"keep", d.keep},          {"reasons", std::move(why)}};
    if (d.represented_by != 0) o["represented_by"] = d.represented_by;
    out.object(std::move(o));
    if (a.expiring_only && d.keep) continue;
    out.result(std::string(d.keep ? "keep    " : "expire  ") + p.id().substr(0, 12) + "  #" +
               std::to_string(d.sequence) + "  " + format_time(p.stored_ns) + "  " + reasons(d));
  }
  for (const vault::RetentionAlert& alert : plan.plan.alerts) {
    out.warn("expiry of item " + name + " pauses: point #" + std::to_string(alert.sequence) +
             " has " + alert.text + ". Look at it, then run 'holdfast retention confirm " + name +
             "'");
  }
}

Result<std::optional<vault::ItemId>> only_item(const LifecycleSession& session,
                                               const RetentionArguments& a) {
  if (a.item.empty()) return std::optional<vault::ItemId>();
  TRY(const vault::ItemId item, session.item(a.item));
  return std::optional(item);
}

int preview(const GlobalOptions& global, const RetentionArguments& a) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::if_given);
  if (!session.ok()) return out.fail(session.error());
  const auto item = only_item(*session, a);
  if (!item.ok()) return out.fail(item.error());
  const auto plans = session->lifecycle->preview(*item);
  if (!plans.ok()) return out.fail(plans.error());
  size_t expiring = 0;
  size_t points = 0;
  for (const auto& plan : *plans) {
    print_plan(out, *session, plan, a);
    expiring += plan.plan.expiring;
    points += plan.points.size();
  }
  const vault::VaultTime& time = session->lifecycle->time();
  if (!time.is_trusted) {
    out.warn("'retention apply' would do nothing: " + time.doubt +
             "; see 'holdfast vault clock --help'");
  }
  return out.finish(
      {{"points", points}, {"expiring", expiring}, {"clock_trusted", time.is_trusted}});
}

int apply(const GlobalOptions& global, const RetentionArguments& a) {
  Output out(global);
  auto session = LifecycleSession::open(global, Key::none);
  if (!session.ok()) return out.fail(session.error());
  const auto item = only_item(*session, a);
  if (!item.ok()) return out.fail(item.error());
  const auto applied = vault::with_reserve(session->vault->store(),
                                           [&] { return session->lifecycle->apply(*item); });
  if (!applied.ok()) return out.fail(applied.error());
  for (const auto& plan : applied->plans) print_plan(out, *session, plan, a);
  out.line(format_count(applied->soft_deleted) + " points expired (soft-deleted for " +
           std::to_string(session->lifecycle->state().soft_delete_days) +
           " days: 'holdfast points undelete' brings them back), " + format_count(applied->purged) +
           " purged, " + format_count(applied->manifests_removed) + " manifests removed" +
           (applied->manifests_waiting == 0
                ? ""
                : ", " + format_count(applied->manifests_waiting) + " wait"));
  return out.finish({{"soft_deleted", applied->soft_deleted},
                     {"purged", applied->purged},
                     {"manifests_removed", applied->manifests_removed},
                     {"manifests_waiting", applied->manifests_waiting}});
}

void add_rules(CLI::App& cmd, RetentionArguments& a) {
  cmd.add_option("--keep-last", a.last, "The points received last; a number, or 'all'");
  cmd.add_option("--keep-hourly", a.hourly, "Newest hours that have points, one point each");
  cmd.add_option("--keep-daily", a.daily, "Newest days, likewise");
  cmd.add_option("--keep-weekly", a.weekly, "Newest weeks (from Monday)");
  cmd.add_option("--keep-monthly", a.monthly, "Newest months");
  cmd.add_option("--keep-yearly", a.yearly, "Newest years");
  cmd.add_option("--keep-within", a.within, "Everything received in this span: 12h, 30d, 8w, 2y");
  cmd.add_option("--keep-tag", a.tags, "Points with this label; repeat for more")
      ->allow_extra_args(false);
  cmd.add_option("--minimum-age", a.minimum_age,
                 "Nothing younger expires, whatever the counts say");
  cmd.add_option("--time-zone", a.zone, "Where days begin, like Europe/Berlin (default: UTC)");
  cmd.add_option(
         "--burst-factor", a.burst_factor,
         "Pause expiry when so many times more points come than usual (default 10; 0: never)")
      ->check(CLI::Range(0, 1'000'000));
  cmd.add_option(
         "--shrink-percent", a.shrink_percent,
         "Pause when a point lost more than this share of its entries (default 50; 0: never)")
      ->check(CLI::Range(0, 100));
}

}  // namespace

void add_retention_commands(Commands& commands) {
  auto a = std::make_shared<RetentionArguments>();
  CLI::App* retention = commands.app.add_subcommand("retention", "Which recovery points stay");
  retention->require_subcommand(1);
  const auto finish = [&](CLI::App* cmd, auto function, bool with_passphrase) {
    add_vault_option(*cmd, commands.options);
    if (with_passphrase) add_passphrase_option(*cmd, commands.options);
    add_output_options(*cmd, commands.options);
    cmd->callback([&commands, a, function] {
      commands.run = [&commands, a, function] { return function(commands.options, *a); };
    });
  };

  CLI::App* policy = retention->add_subcommand("policy", "Named sets of rules");
  policy->require_subcommand(1);
  CLI::App* cmd = policy->add_subcommand(
      "set",
      "Make a policy, or change it. Each rule keeps points; what no rule keeps expires. A "
      "slot (hour, day, ...) is kept by its first complete point, so a point that will be the "
      "one of its year is never expired before. Without rules everything stays");
  cmd->add_option("NAME", a->name, "Of the policy; visible without a key")->required();
  add_rules(*cmd, *a);
  finish(cmd, set_policy, true);
  cmd = policy->add_subcommand("list", "All policies, and what they are assigned to");
  finish(
      cmd, [](const GlobalOptions& g, const RetentionArguments&) { return list_policies(g); },
      true);
  cmd = policy->add_subcommand("remove", "Remove one that is assigned to nothing");
  cmd->add_option("NAME", a->name, "Of the policy")->required();
  finish(cmd, remove_policy, true);

  cmd = retention->add_subcommand("assign", "Say which policy holds for an item");
  cmd->add_option("POLICY", a->name, "Its name; 'none': no policy of its own")->required();
  cmd->add_option("--item", a->item, "The item, by name or id");
  cmd->add_flag("--default", a->everywhere, "For all items without a policy of their own");
  finish(cmd, assign, true);

  cmd = retention->add_subcommand(
      "preview", "What would stay by which rule and slot, and what would expire; changes nothing");
  cmd->add_option("--item", a->item, "Only this item");
  cmd->add_flag("--expiring", a->expiring_only, "Print only what expires");
  finish(cmd, preview, true);

  cmd = retention->add_subcommand(
      "apply",
      "Expire what no rule keeps (soft delete first), and purge what was deleted long "
      "enough. Needs no passphrase, but a maintainer's key: the machine that made the "
      "vault has one. For cron");
  cmd->add_option("--item", a->item, "Only this item");
  cmd->add_flag("--expiring", a->expiring_only, "Print only what expires");
  finish(cmd, apply, false);

  cmd = retention->add_subcommand(
      "confirm",
      "Let expiry of an item go on after a flood of points or lost entries, having looked");
  cmd->add_option("ITEM", a->item, "By name or id")->required();
  finish(cmd, confirm, true);
}

}  // namespace holdfast::cli
