// What a collector's run leaves for sessions and readers to see. docs/formats/session.md.
//
// A run is over once collections/<run>/freed exists; before that its condemned list binds sessions.
#pragma once

#include <vector>

#include "vault/format/ids.h"

namespace holdfast::vault {

inline constexpr std::string_view kCondemnedMagic = "HFV1COND";
inline constexpr std::string_view kClosingMagic = "HFV1CLOS";
inline constexpr std::string_view kStepCondemned = "condemned";
inline constexpr std::string_view kStepClosing = "closing";
inline constexpr std::string_view kStepFreed = "freed";

// collections/<run>/condemned: packs that the run means to delete. Ends with the SHA-256 of
// everything before.
struct CondemnedList {
  VaultId vault;
  RunId run;
  std::vector<PackId> packs;
  Bytes encode() const;
};
Result<CondemnedList> decode_condemned(ByteView object);

// collections/<run>/closing: what is really freed, and which manifests of tombstoned sessions the
// second mark saw. A manifest of a tombstoned session is a recovery point only if the closing list
// of every tombstone's run names it.
struct SeenManifest {
  ItemId item;
  uint64_t sequence = 0;
  crypto::Digest sha256{};
  bool operator==(const SeenManifest&) const = default;
};
struct ClosingList {
  VaultId vault;
  RunId run;
  std::vector<PackId> packs;
  std::vector<SeenManifest> manifests;
  Bytes encode() const;
};
Result<ClosingList> decode_closing(ByteView object);

}  // namespace holdfast::vault
