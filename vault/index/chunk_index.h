// All that is known of where a dedup domain's chunks are: the domain's index runs in the store, and
// runs made on the spot from packs that no run covers.
//
// Load or extend it from one thread; find() may then be called by any number.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "vault/index/run.h"
#include "vault/store/store.h"

namespace holdfast::vault {

struct ChunkCandidate {
  IndexedPack pack;
  uint16_t segment = 0;
  uint16_t chunk = 0;
};

// A run that was left out, and why.
struct UnusableRun {
  std::string name;
  Error error;
};

class ChunkIndex {
 public:
  // What a run is that cannot be read at the moment, though nothing says that it is bad.
  enum class Unreadable { error, unusable };

  ChunkIndex(const VaultId& vault, const DomainId& domain) : vault_(vault), domain_(domain) {}

  // Lists and opens the domain's runs. A run that cannot be used is left out and named in
  // `unusable`; its packs then count as not covered. Errors: the store's.
  Status load(Store& store, std::vector<UnusableRun>& unusable,
              Unreadable unreadable = Unreadable::error);
  // Adds one run of the store by name.
  Status add_object(Store& store, const std::string& name);
  // Adds a run that is held in memory.
  Status add_run(Bytes bytes);

  // Candidates, those of the newest runs first. Unconfirmed: see IndexRun.
  std::vector<ChunkCandidate> find(const ChunkId& id) const;

  bool covers(const PackId& pack) const;
  uint64_t entry_count() const;
  size_t run_count() const { return runs_.size(); }
  uint64_t stored_bytes() const { return stored_bytes_; }
  const VaultId& vault() const { return vault_; }
  const DomainId& domain() const { return domain_; }

 private:
  struct Loaded {
    std::unique_ptr<ObjectView> view;
    Bytes memory;
    IndexRun run;
  };
  Status add(std::unique_ptr<Loaded> loaded, ByteView bytes);

  VaultId vault_;
  DomainId domain_;
  std::vector<std::unique_ptr<Loaded>> runs_;  // oldest first
  uint64_t stored_bytes_ = 0;
};

}  // namespace holdfast::vault
