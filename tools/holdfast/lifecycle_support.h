// What the commands on the life of recovery points share: a vault opened with its lifecycle, items
// by name, and how changes are reported.
#pragma once

#include "tools/holdfast/command.h"
#include "tools/holdfast/output.h"
#include "vault/client/lifecycle.h"

namespace holdfast::cli {

struct LifecycleSession {
  std::unique_ptr<vault::Vault> vault;
  std::optional<vault::UnlockedSlot> unlocked;
  std::unique_ptr<vault::VaultReader> reader;  // if unlocked
  std::optional<vault::Lifecycle> lifecycle;
  std::map<vault::ItemId, std::string> names;  // of items, as far as they are known

  enum class Key { none, if_given, required };
  // With Key::required the passphrase is asked for.
  static Result<LifecycleSession> open(const GlobalOptions& options, Key key);

  std::string item_name(const vault::ItemId& item) const;
  // An item by name or id. Errors: Errc::malformed if there is none, or there are several.
  Result<vault::ItemId> item(const std::string& text) const;
};

// Makes the change with the vault key, and prints what came of it. Gives the exit code.
int change(Output& out, LifecycleSession& session, std::vector<vault::Action> actions,
           const std::string& done);
int report(Output& out, const Result<vault::Lifecycle::Changed>& changed, const std::string& done);

// "90 s", "12 h", "30 d", "8 w", "2 y"; without the space too. Errors: Errc::malformed.
Result<uint64_t> parse_span(std::string_view text);
std::string format_span(uint64_t seconds);

}  // namespace holdfast::cli
