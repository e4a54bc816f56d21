// A vault for tests: made without key slots, because scrypt's half second per opening is for
// people.
#pragma once

#include <memory>

#include "tests/support/expect.h"
#include "vault/client/vault.h"
#include "vault/engine/check.h"
#include "vault/store/memory_store.h"

namespace holdfast::testing {

struct TestVault {
  vault::VaultSecret secret = vault::VaultSecret::create();
  vault::Description description;
  vault::AgentKeys keys;  // of the one agent
  vault::ItemId item;
  std::shared_ptr<const vault::Roster> signed_roster;
  vault::MaintainerKeys maintainer;  // granted by entry 1 of the audit log

  // Puts description, roster and the grant into `store`.
  explicit TestVault(vault::Store& store);

  vault::MaintainerKeys add_maintainer(vault::Store& store) const;
  // In a dedup domain of its own, or in that of another agent.
  vault::AgentKeys add_agent(vault::Store& store, const std::string& name,
                             const vault::DomainKeys* domain = nullptr);
};

// Random bytes from a seed.
Bytes random_bytes(uint64_t seed, size_t size);

// Stores files (name -> content) as one recovery point through a session, as the agent would:
// chunks of at most 256 KiB, a path map, a commit.
struct TestFile {
  std::string key;
  Bytes content;
};
// What Vault::begin_session does, without a state directory.
Result<std::unique_ptr<vault::Session>> begin_session(vault::Store& store, const TestVault& vault,
                                                      vault::SessionRequest request,
                                                      vault::SessionOptions options = {});
// The same as another agent of the vault, with the roster that is in force.
Result<std::unique_ptr<vault::Session>> begin_session_as(vault::Store& store,
                                                         const TestVault& vault,
                                                         const vault::AgentKeys& keys,
                                                         vault::SessionRequest request);
struct WrittenPoint {
  vault::CommittedPoint point;
  vault::ChunkId root;
};
Result<WrittenPoint> write_point(vault::Store& store, const TestVault& vault,
                                 const std::vector<TestFile>& files,
                                 vault::SessionRequest request = {},
                                 vault::SessionOptions options = {});
// The same in a session that was begun already.
Result<WrittenPoint> write_files(vault::Session& session, const std::vector<TestFile>& files);
Result<vault::ChunkId> store_files(vault::Session& session, const std::vector<TestFile>& files);

// Reads every file of every point back and compares. Errors: whatever is wrong, in words.
Status expect_files(vault::Store& store, const TestVault& vault, const vault::ChunkId& root,
                    const vault::DomainId& domain, const std::vector<TestFile>& files);

// The report of a full check with the secret.
Result<vault::CheckReport> full_check(vault::Store& store, const TestVault& vault);

}  // namespace holdfast::testing
