// Verifies a vault: every object's form, signatures, hashes and links; that every recovery point's
// chunks are there; and, with the vault secret, that content decrypts to what its ids say, and
// which files a damage affects. Changes nothing. A transient error of the store ends the check; it
// never counts as damage.
#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "vault/engine/reader.h"

namespace holdfast::vault {

struct CheckOptions {
  // Hash every stored byte of every pack; otherwise only footers and edges.
  bool hashes = true;
  // With the secret: the share of packs to open, 0 to 100.
  double read_data_percent = 0;
  unsigned workers = 0;  // 0: one per processor
  // At most so many affected files are named per point.
  size_t files_named_max = 1000;
};

struct CheckProgress {
  std::atomic<uint64_t> packs_total{0};
  std::atomic<uint64_t> packs{0};
  std::atomic<uint64_t> bytes{0};
  std::atomic<uint64_t> points_total{0};
  std::atomic<uint64_t> points{0};
};

struct CheckFinding {
  std::string object;
  std::string what;
};

struct DamagedPoint {
  std::string id;
  ItemId item;
  uint64_t sequence = 0;
  std::string item_name;  // with the secret
  int64_t time_ns = 0;
  uint64_t chunks_lost = 0;        // chunks without a good copy that this point needs
  uint64_t files_affected = 0;     // with the secret
  std::vector<std::string> files;  // the first of them; "a .. b" for ranges that a lost page hides
};

struct CheckReport {
  std::vector<CheckFinding> damage;   // something is wrong
  std::vector<CheckFinding> remarks;  // harmless: what the next collection or backup will tidy up
  std::vector<DamagedPoint> points;   // that cannot be restored completely
  uint64_t objects = 0;
  uint64_t packs = 0;
  uint64_t segments = 0;
  uint64_t chunks = 0;
  uint64_t points_checked = 0;
  uint64_t bytes_hashed = 0;
  uint64_t bytes_opened = 0;  // plaintext

  bool clean() const { return damage.empty() && points.empty(); }
};

// `secret` may be null. Errors: the store's; Errc::interrupted.
Result<CheckReport> check_vault(Store& store, const Description& description,
                                const crypto::PublicKey& vault_key, uint32_t generation,
                                const VaultSecret* secret, const CheckOptions& options,
                                CheckProgress& progress, std::stop_token stop);

}  // namespace holdfast::vault
