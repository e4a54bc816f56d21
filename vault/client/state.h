// What a machine keeps about the vaults it works with: its credential and what it remembers of
// each. Below the state directory (see state_directory()), mode 0600:
//
//   vaults/<vault>/credential   AgentKeys, write-only
//   vaults/<vault>/memory       newest sequences seen: to notice a vault put back to an older state
//   vaults/<vault>/memory-lock  held while the memory changes
//   vaults/<vault>/maintainer   MaintainerKeys, on machines that run maintenance
//   vaults/<vault>/approver     the same, on machines of those who approve
//   vaults/<vault>/clock        ClockMark: how the vault's time goes on here
//   vaults/<vault>/location     where the vault was last reached, text; a line for each directory
//   vaults/<vault>/scrub        when each object was last found whole (vault/engine/scrub_memory.h)
#pragma once

#include <functional>
#include <map>
#include <optional>

#include "base/io/file_system.h"
#include "vault/engine/session.h"
#include "vault/format/maintainer_keys.h"
#include "vault/lifecycle/clock.h"
#include "vault/seal/agent_keys.h"

namespace holdfast::vault {

// What the machine remembers of a vault. Losing it loses only the ability to notice a rollback.
struct VaultMemory {
  uint64_t roster_sequence = 0;
  std::map<ItemId, uint64_t> heads;       // newest sequence of every item ever seen
  std::map<ItemId, BasePoint> own_heads;  // newest point that this machine wrote, with its hash
};

class StateDirectory {
 public:
  StateDirectory(io::FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  io::FileSystem& file_system() const { return fs_; }

  // Nothing if there is none. Errors: Errc::malformed for a damaged file; the system's.
  Result<std::optional<AgentKeys>> load_credential(const VaultId& vault) const;
  Status save_credential(const AgentKeys& keys) const;
  Status remove_credential(const VaultId& vault) const;

  // The key of this machine in that role. Nothing if there is none. Errors: Errc::malformed for a
  // damaged file; the system's.
  Result<std::optional<MaintainerKeys>> load_granted(const VaultId& vault, Role role) const;
  Status save_granted(const MaintainerKeys& keys, Role role) const;
  Result<std::optional<MaintainerKeys>> load_maintainer(const VaultId& vault) const {
    return load_granted(vault, Role::maintainer);
  }
  Status save_maintainer(const MaintainerKeys& keys) const {
    return save_granted(keys, Role::maintainer);
  }

  // Nothing if there is none or it is damaged.
  Result<std::optional<ClockMark>> load_clock(const VaultId& vault) const;
  Status save_clock(const ClockMark& mark) const;

  // Empty if there is none or it is damaged.
  Result<VaultMemory> load_memory(const VaultId& vault) const;
  // Loads it, lets `change` change it, and saves it, while no other process does the same.
  Status change_memory(const VaultId& vault, const std::function<void(VaultMemory&)>& change) const;

  // Every place from which the vault can be opened, the one that was used first.
  Status save_locations(const VaultId& vault, const std::vector<std::string>& locations) const;
  // Empty if nothing is known.
  std::vector<std::string> load_locations(const VaultId& vault) const;
  // The other directories of the vault that was last known to lie at `location` too.
  std::vector<std::string> other_locations(const std::string& location) const;

  std::string scrub_path(const VaultId& vault) const;

 private:
  std::string vault_path(const VaultId& vault) const;
  Status save(const VaultId& vault, std::string_view name, ByteView bytes) const;
  Result<std::optional<Bytes>> load(const VaultId& vault, std::string_view name) const;

  io::FileSystem& fs_;
  std::string path_;
};

// HOLDFAST_STATE_DIR; else /var/lib/holdfast for root, $XDG_STATE_HOME/holdfast or
// ~/.local/state/holdfast for others.
std::string default_state_directory();
// HOLDFAST_CACHE_DIR; else /var/cache/holdfast for root, $XDG_CACHE_HOME/holdfast or
// ~/.cache/holdfast for others.
std::string default_cache_directory();

}  // namespace holdfast::vault
