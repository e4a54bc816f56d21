#include "vault/client/state.h"

#include <algorithm>
#include <cstdlib>
#include <unistd.h>

#include "base/io/file_lock.h"
#include "base/wire/decoder.h"
#include "base/wire/encoder.h"
#include "vault/format/key_wrap.h"

namespace holdfast::vault {
namespace {

constexpr size_t kStateFileMax = 64 * 1024 * 1024;
constexpr std::string_view kMemoryMagic = "HFV1MEMO";

Bytes encode_memory(const VaultMemory& memory) {
  wire::Encoder out;
  out.raw(kMemoryMagic);
  out.u64(memory.roster_sequence);
  out.varint(memory.heads.size());
  for (const auto& [item, sequence] : memory.heads) {
    out.raw(item.view());
    out.u64(sequence);
  }
  out.varint(memory.own_heads.size());
  for (const auto& [item, head] : memory.own_heads) {
    out.raw(item.view());
    out.u64(head.sequence);
    out.raw(head.sha256);
  }
  const crypto::Digest digest = crypto::sha256(out.view());
  out.raw(digest);
  return out.take();
}

Result<VaultMemory> decode_memory(ByteView bytes) {
  const Error bad{holdfast::Errc::malformed, "memory of the vault is damaged"};
  if (bytes.size() < 32) return bad;
  const ByteView body = bytes.first(bytes.size() - 32);
  if (!equal(crypto::sha256(body), bytes.last(32))) return bad;
  wire::Decoder in(body, "memory of the vault");
  VaultMemory memory;
  in.expect(kMemoryMagic);
  memory.roster_sequence = in.u64();
  const uint64_t heads = in.count(in.varint(), 24);
  for (uint64_t i = 0; i < heads; ++i) {
    const auto item = read_id<ItemId>(in);
    memory.heads[item] = in.u64();
  }
  const uint64_t own = in.count(in.varint(), 56);
  for (uint64_t i = 0; i < own; ++i) {
    const auto item = read_id<ItemId>(in);
    BasePoint& head = memory.own_heads[item];
    head.sequence = in.u64();
    head.sha256 = in.array<32>();
  }
  TRYV(in.finish());
  return memory;
}

std::string_view file_of(Role role) {
  return role == Role::maintainer ? "maintainer" : "approver";
}

std::string directory_from(const char* variable, const char* for_root, const char* xdg,
                           const char* below_home) {
  if (const char* set = std::getenv(variable); set != nullptr && *set != '\0') return set;
  if (::geteuid() == 0) return for_root;
  if (const char* base = std::getenv(xdg); base != nullptr && *base == '/') {
    return std::string(base) + "/holdfast";
  }
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + below_home;
}

}  // namespace

std::string default_state_directory() {
  return directory_from("HOLDFAST_STATE_DIR", "/var/lib/holdfast", "XDG_STATE_HOME",
                        "/.local/state/holdfast");
}

std::string default_cache_directory() {
  return directory_from("HOLDFAST_CACHE_DIR", "/var/cache/holdfast", "XDG_CACHE_HOME",
                        "/.cache/holdfast");
}

std::string StateDirectory::vault_path(const VaultId& vault) const {
  return io::join_path(path_, "vaults/" + vault.hex());
}

Status StateDirectory::save(const VaultId& vault, std::string_view name, ByteView bytes) const {
  TRYV(io::make_directories(fs_, vault_path(vault)));
  return io::write_file(fs_, io::join_path(vault_path(vault), name), bytes);
}

Result<std::optional<Bytes>> StateDirectory::load(const VaultId& vault,
                                                  std::string_view name) const {
  auto bytes = io::read_file(fs_, io::join_path(vault_path(vault), name), kStateFileMax);
  if (bytes.ok()) return std::optional(std::move(*bytes));
  if (bytes.error().code == std::errc::no_such_file_or_directory) return std::optional<Bytes>();
  return std::move(bytes).error();
}

Result<std::optional<AgentKeys>> StateDirectory::load_credential(const VaultId& vault) const {
  TRY(auto bytes, load(vault, "credential"));
  if (!bytes) return std::optional<AgentKeys>();
  auto keys = decode_agent_keys(*bytes);
  crypto::wipe(*bytes);
  if (!keys.ok()) {
    return Error{keys.error().code,
                 io::join_path(vault_path(vault), "credential") +
                     " is damaged (make this machine a new agent with 'holdfast vault enrol')"};
  }
  return std::optional(std::move(*keys));
}

Status StateDirectory::save_credential(const AgentKeys& keys) const {
  Bytes bytes = keys.encode();
  Status saved = save(keys.vault, "credential", bytes);
  crypto::wipe(bytes);
  return saved;
}

Status StateDirectory::remove_credential(const VaultId& vault) const {
  Status removed = fs_.remove(io::join_path(vault_path(vault), "credential"));
  if (!removed.ok() && removed.error().code == std::errc::no_such_file_or_directory) return {};
  return removed;
}

Result<std::optional<MaintainerKeys>> StateDirectory::load_granted(const VaultId& vault,
                                                                   Role role) const {
  const std::string_view name = file_of(role);
  TRY(auto bytes, load(vault, name));
  if (!bytes) return std::optional<MaintainerKeys>();
  auto keys = decode_maintainer_keys(*bytes);
  crypto::wipe(*bytes);
  if (!keys.ok() || keys->vault != vault) {
    return Error{holdfast::Errc::malformed,
                 io::join_path(vault_path(vault), name) +
                     " is damaged (make a new key with 'holdfast vault enrol --" +
                     std::string(name) + "')"};
  }
  return std::optional(std::move(*keys));
}

Status StateDirectory::save_granted(const MaintainerKeys& keys, Role role) const {
  Bytes bytes = keys.encode();
  Status saved = save(keys.vault, file_of(role), bytes);
  crypto::wipe(bytes);
  return saved;
}

Result<std::optional<ClockMark>> StateDirectory::load_clock(const VaultId& vault) const {
  TRY(const auto bytes, load(vault, "clock"));
  if (!bytes) return std::optional<ClockMark>();
  auto mark = decode_clock_mark(*bytes);
  if (!mark.ok() || mark->vault != vault) return std::optional<ClockMark>();
  return std::optional(*mark);
}

Status StateDirectory::save_clock(const ClockMark& mark) const {
  return save(mark.vault, "clock", mark.encode());
}

Result<VaultMemory> StateDirectory::load_memory(const VaultId& vault) const {
  TRY(auto bytes, load(vault, "memory"));
  if (!bytes) return VaultMemory{};
  auto memory = decode_memory(*bytes);
  return memory.ok() ? std::move(*memory) : VaultMemory{};
}

Status StateDirectory::change_memory(const VaultId& vault,
                                     const std::function<void(VaultMemory&)>& change) const {
  TRYV(io::make_directories(fs_, vault_path(vault)));
  // Where a file system has no locks (some network ones), an entry may get lost: that is no reason
  // to remember nothing.
  const auto lock =
      io::lock_file(io::join_path(vault_path(vault), "memory-lock"), io::IfLocked::wait);
  TRY(VaultMemory memory, load_memory(vault));
  change(memory);
  return save(vault, "memory", encode_memory(memory));
}

Status StateDirectory::save_locations(const VaultId& vault,
                                      const std::vector<std::string>& locations) const {
  std::string text;
  for (const std::string& location : locations) text += (text.empty() ? "" : "\n") + location;
  return save(vault, "location", as_bytes(text));
}

std::vector<std::string> StateDirectory::load_locations(const VaultId& vault) const {
  std::vector<std::string> out;
  const auto bytes = load(vault, "location");
  if (!bytes.ok() || !*bytes) return out;
  std::string_view rest = as_text(**bytes);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (end > 0) out.emplace_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

std::vector<std::string> StateDirectory::other_locations(const std::string& location) const {
  const auto vaults = fs_.list(io::join_path(path_, "vaults"));
  if (!vaults.ok()) return {};
  for (const io::DirectoryEntry& e : *vaults) {
    const auto id = VaultId::parse(e.name);
    if (!id.ok()) continue;
    std::vector<std::string> locations = load_locations(*id);
    if (std::erase(locations, location) > 0 && !locations.empty()) return locations;
  }
  return {};
}

std::string StateDirectory::scrub_path(const VaultId& vault) const {
  return io::join_path(vault_path(vault), "scrub");
}

}  // namespace holdfast::vault
