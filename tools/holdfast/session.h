// A vault opened for reading, with a point chosen: what the commands that look into points begin
// with.
#pragma once

#include "tools/holdfast/command.h"
#include "tools/holdfast/output.h"
#include "tools/holdfast/point_selection.h"

namespace holdfast::cli {

struct ReadSession {
  std::unique_ptr<vault::Vault> vault;
  std::unique_ptr<vault::VaultReader> reader;
  vault::PointList points;

  // Opens the vault with the passphrase and lists its points. Damaged manifests become warnings.
  static Result<ReadSession> open(const GlobalOptions& options, Output& out);

  struct Chosen {
    const vault::RecoveryPoint* point = nullptr;
    PointSpec spec;
    vault::DomainReader* domain = nullptr;
    vault::ChunkId root;
  };
  Result<Chosen> choose(std::string_view text);
};

}  // namespace holdfast::cli
