#include "base/units.h"
#include "tools/holdfast/check_report.h"
#include "tools/holdfast/output.h"
#include "vault/client/keys.h"
#include "vault/engine/check.h"
#include "vault/engine/head_code.h"
#include "vault/errc.h"

namespace holdfast::cli {
namespace {

struct CheckArguments {
  std::string location;
  bool quick = false;
  std::string read_data;  // empty: not given
};

std::string progress_text(const vault::CheckProgress& p) {
  const double share =
      p.packs_total == 0 ? 0 : static_cast<double>(p.packs) / static_cast<double>(p.packs_total);
  return progress_bar(share) + " " + format_count(p.packs) + " of " + format_count(p.packs_total) +
         " packs, " + format_size(p.bytes) + "; " + format_count(p.points) + " of " +
         format_count(p.points_total) + " points";
}

}  // namespace

void print_report(const vault::CheckReport& r, Output& out) {
  for (const vault::CheckFinding& f : r.damage) {
    out.object({{"type", "damage"}, {"object", json_text(f.object)}, {"what", json_text(f.what)}});
    out.result("DAMAGED  " + printable(f.object) + ": " + printable(f.what));
  }
  for (const vault::CheckFinding& f : r.remarks) {
    out.object({{"type", "remark"}, {"object", json_text(f.object)}, {"what", json_text(f.what)}});
    out.line("remark   " + printable(f.object) + ": " + printable(f.what));
  }
  for (const vault::DamagedPoint& p : r.points) {
    boost::json::object o{{"type", "point"},
                          {"point", p.id},
                          {"item", p.item_name.empty() ? p.item.hex() : json_text(p.item_name)},
                          {"sequence", p.sequence},
                          {"chunks_lost", p.chunks_lost},
                          {"files_affected", p.files_affected}};
    boost::json::array files;
    for (const std::string& f : p.files) files.emplace_back(json_text(f));
    o["files"] = std::move(files);
    out.object(std::move(o));
    out.result("POINT    " + p.id.substr(0, 12) + " of " + format_time(p.time_ns) + ", item " +
               (p.item_name.empty() ? p.item.hex() : printable(p.item_name)) + ": " +
               format_count(p.chunks_lost) + " chunks are lost" +
               (p.item_name.empty() ? "; give the passphrase to see which files" : ""));
    for (const std::string& f : p.files) out.result("         " + printable(f));
    if (p.files_affected > p.files.size()) {
      out.result("         ... " + format_count(p.files_affected) + " entries in all");
    }
  }
}

namespace {

// The head code of the state that is about to be checked, compared with --expect-head.
Result<std::string> look_at_head(vault::Vault& vault, const vault::Vault::TrustedKey& trusted,
                                 const GlobalOptions& options) {
  TRY(const auto roster,
      vault::load_roster(vault.store(), vault.id(), trusted.key, trusted.generation));
  TRY(const auto list, vault::list_points(vault.store(), vault.description(), roster));
  if (!options.expect_head.empty()) {
    TRYV(vault::expect_head(vault.id(), list, options.expect_head));
  }
  return vault::head_code(vault.id(), list);
}

int check(const GlobalOptions& global, const CheckArguments& a, std::stop_token stop) {
  Output out(global);
  GlobalOptions options = global;
  if (!a.location.empty()) options.vault = a.location;
  auto vault = open_vault(options);
  if (!vault.ok()) return out.fail(vault.error());
  vault::CheckOptions check_options;
  check_options.hashes = !a.quick;
  if (!a.read_data.empty()) {
    char* end = nullptr;
    check_options.read_data_percent = std::strtod(a.read_data.c_str(), &end);
    // Not a number fails the comparison too.
    if (*end != '\0' ||
        !(check_options.read_data_percent > 0 && check_options.read_data_percent <= 100)) {
      return out.fail(Error{{},
                            "--read-data: '" + a.read_data +
                                "' is no percentage above 0 and up to 100; without one write it "
                                "behind the vault"},
                      kUsage);
    }
  }
  std::optional<vault::UnlockedSlot> unlocked;
  vault::Vault::TrustedKey trusted;
  if (!a.read_data.empty() || has_passphrase(options)) {
    auto opened = unlock(**vault, options);
    if (!opened.ok()) return out.fail(opened.error());
    unlocked = std::move(*opened);
    trusted = {unlocked->secret.vault_key(), unlocked->secret.generation, true};
  } else {
    auto key = (*vault)->vault_key();
    if (!key.ok()) return out.fail(key.error());
    trusted = *key;
  }
  const auto head = look_at_head(**vault, trusted, options);
  if (!head.ok()) return out.fail(head.error());
  vault::CheckProgress progress;
  Result<vault::CheckReport> report;
  {
    const ProgressLine line(options, [&] { return progress_text(progress); });
    report = vault::check_vault((*vault)->store(), (*vault)->description(), trusted.key,
                                trusted.generation, unlocked ? &unlocked->secret : nullptr,
                                check_options, progress, std::move(stop));
  }
  warn_of_store((*vault)->store(), out);
  if (!report.ok()) return out.fail(report.error());
  print_report(*report, out);
  out.line(
      "checked  " + format_count(report->objects) + " objects, " + format_count(report->packs) +
      " packs (" + format_size(report->bytes_hashed) + " hashed" +
      (report->bytes_opened > 0 ? ", " + format_size(report->bytes_opened) + " of content opened"
                                : "") +
      "), " + format_count(report->chunks) + " chunks, " + format_count(report->points_checked) +
      " recovery points" + (unlocked ? "" : "; without a key: structure, reachability and hashes"));
  boost::json::object fields{{"clean", report->clean()},
                             {"damage", report->damage.size()},
                             {"points_damaged", report->points.size()},
                             {"points", report->points_checked},
                             {"packs", report->packs},
                             {"chunks", report->chunks},
                             {"bytes_hashed", report->bytes_hashed},
                             {"bytes_opened", report->bytes_opened},
                             {"head", *head}};
  out.line("head     " + *head);
  if (!trusted.is_pinned) {
    out.line(
        "note: this machine is not enrolled in this vault and believes its key on the vault's own "
        "word; the passphrase (--passphrase-file) would prove it");
  }
  if (report->clean()) {
    out.line("no damage found");
    return out.finish(std::move(fields));
  }
  fields["type"] = "result";
  out.object(std::move(fields));
  return out.fail(Error{{},
                        "the vault is damaged: " + std::to_string(report->damage.size()) +
                            " findings, " + std::to_string(report->points.size()) +
                            " recovery points affected, at " + (*vault)->store().location()});
}

}  // namespace

void add_check_command(Commands& commands, CLI::App& vault) {
  CLI::App* cmd = vault.add_subcommand(
      "check", "Verify a vault: structure, signatures, reachability and hashes, without a key");
  auto a = std::make_shared<CheckArguments>();
  cmd->add_option("VAULT", a->location, "The vault (or --vault)");
  cmd->add_flag("--quick", a->quick, "Do not read every stored byte, only what describes them");
  cmd->add_option("--read-data", a->read_data,
                  "Also decrypt and verify this percentage of the packs (default: all); needs the "
                  "passphrase")
      ->expected(0, 1)
      ->default_str("")
      ->type_name("[PERCENT]");
  add_vault_option(*cmd, commands.options);
  add_passphrase_option(*cmd, commands.options);
  add_expect_head_option(*cmd, commands.options);
  add_output_options(*cmd, commands.options);
  cmd->callback([&commands, a, cmd] {
    // Given without a number: everything.
    if (cmd->count("--read-data") > 0 && a->read_data.empty()) a->read_data = "100";
    commands.run = [&commands, a] { return check(commands.options, *a, commands.stop); };
  });
}

}  // namespace holdfast::cli
