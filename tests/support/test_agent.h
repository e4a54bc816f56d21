// An agent for tests: backs trees up into a vault in a store, and restores them.
#pragma once

#include "backup-agent/restore/restore.h"
#include "backup-agent/upload/backup.h"
#include "tests/support/temp_directory.h"
#include "tests/support/test_vault.h"
#include "tests/support/tree.h"

namespace holdfast::testing {

// The newest point of a vault, and what it takes to read it.
struct OpenPoint {
  std::unique_ptr<vault::VaultReader> reader;
  vault::RecoveryPoint point;
  vault::DomainReader* domain = nullptr;
  std::vector<vault::PointDefect> defects;                    // of the vault
  Result<vault::Entry> entry(const std::string& path) const;  // absolute path of the source
};

// Source and target below one temporary directory, state and caches below another; the vault in a
// store of the caller's.
class TestAgent {
 public:
  // Source and target below `where`.
  TestAgent(vault::Store& store, const TestVault& vault,
            const std::filesystem::path& where = std::filesystem::temp_directory_path());

  // Of the tree source(), deterministic as far as threads allow.
  backup_agent::BackupOptions options() const;
  // Through `store` if given, which may be a faulty one over the agent's own.
  Result<backup_agent::BackupResult> backup(vault::Store* store = nullptr);
  Result<backup_agent::BackupResult> backup(const backup_agent::BackupOptions& options,
                                            vault::Store* store = nullptr,
                                            std::stop_token stop = {});
  // Bytes of source files read by the last backup.
  uint64_t bytes_read() const { return progress_->bytes_read; }
  const backup_agent::BackupProgress& progress() const { return *progress_; }

  // Point number `sequence`; 0: the newest.
  Result<OpenPoint> open_point(uint64_t sequence = 0, vault::Store* store = nullptr) const;
  // Restores the source tree into `options.target` (target(), if empty).
  Result<backup_agent::RestoreReport> restore(backup_agent::RestoreOptions options = {},
                                              uint64_t sequence = 0,
                                              vault::Store* store = nullptr) const;
  Result<backup_agent::RestoreReport> verify(backup_agent::RestoreOptions options = {},
                                             uint64_t sequence = 0) const;

  std::string source() const { return directory_ / "source"; }
  std::string source(const std::string& name) const { return source() + "/" + name; }
  std::string target() const { return directory_ / "target"; }
  std::string target(const std::string& name) const { return target() + "/" + name; }
  std::string cache() const { return memory_ / "cache"; }
  std::string state() const { return memory_ / "state"; }
  std::string path(const std::string& name) const { return directory_ / name; }
  std::string key(const std::string& name = "") const;  // of something in the source

  // What a machine keeps between backups, put aside and back.
  void save_memory(const std::string& name) const;
  void load_memory(const std::string& name) const;

  vault::Store& store() const { return store_; }
  const TestVault& vault() const { return vault_; }

 private:
  vault::Store& store_;
  const TestVault& vault_;
  TempDirectory directory_;
  TempDirectory memory_{TempDirectory::fast_place()};
  std::unique_ptr<backup_agent::BackupProgress> progress_ =
      std::make_unique<backup_agent::BackupProgress>();
};

// A vault in memory and an agent.
struct AgentTest : ::testing::Test {
  vault::MemoryStore store;
  TestVault vault{store};
  TestAgent agent;

  AgentTest() : AgentTest(std::filesystem::temp_directory_path()) {}
  // For tests of the agent's logic that make very many files.
  explicit AgentTest(const std::filesystem::path& where);

  // Backs the source up, restores it, and expects the same tree with nothing to complain about.
  void expect_round_trip();
  // A full check finds nothing.
  void expect_clean();
};

// Ids of all data chunks in all packs of a store, each as often as it is stored.
std::map<vault::ChunkId, int> stored_chunks(vault::Store& store, const vault::VaultId& vault);

}  // namespace holdfast::testing
