// Objects under a signature. What an attacker may write needs no right signature to be decoded in
// part, and whoever holds a key may sign anything: the input is tried as an object, and as the body
// of one that is signed rightly. What decodes must encode to the very same bytes, or two readers
// could see two things in one signed object.
#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/format/collection.h"
#include "vault/format/description.h"
#include "vault/format/manifest.h"
#include "vault/format/proof.h"
#include "vault/format/roster.h"
#include "vault/format/session.h"
#include "vault/format/signed_object.h"

namespace holdfast::fuzz {
namespace {

const crypto::Key256& seed() {
  static const crypto::Key256 key = [] {
    crypto::Key256 k;
    for (uint8_t& b : k.view()) b = 7;
    return k;
  }();
  return key;
}
const crypto::PublicKey& signer() {
  static const crypto::PublicKey key = crypto::ed25519_public(seed());
  return key;
}

template <typename Object>
void expect_canonical(const Result<Object>& object, ByteView bytes) {
  if (!object.ok()) return;
  CHECK(equal(object->encode(seed()), bytes));
}

// The kinds in the order of selectors; a body is what stands between magic and signature.
void try_all(uint8_t kind, ByteView bytes, bool is_signed_by_us) {
  const auto check = [&](const auto& object) {
    if (is_signed_by_us) expect_canonical(object, bytes);
  };
  switch (kind) {
    case 0:
      check(vault::decode_manifest(bytes));
      break;
    case 1:
      check(vault::decode_session_begin(bytes));
      break;
    case 2:
      check(vault::decode_session_epoch(bytes));
      break;
    case 3:
      check(vault::decode_session_end(bytes));
      break;
    case 4:
      check(vault::decode_proof(bytes));
      break;
    case 5:
      (void)vault::roster_generation(bytes);
      check(vault::decode_roster(bytes, signer()));
      break;
    case 6:
      (void)vault::decode_description(bytes);
      break;
    case 7:
      (void)vault::decode_succession(bytes, signer());
      break;
    case 8:
      check(vault::decode_tombstone(bytes));
      break;
    case 9:
      check(vault::decode_condemned(bytes));
      break;
    case 10:
      check(vault::decode_waiting(bytes));
      break;
    case 11:
      check(vault::decode_closing(bytes));
      break;
    case 12:
      check(vault::decode_vouched(bytes));
      break;
    default:
      (void)vault::peek_run_header(bytes);
      (void)vault::decode_run_mark(vault::kVerdictMagic, bytes);
  }
}

constexpr const char* kPrefixes[] = {
    "object.points/",      "object.sessions/",    "object.sessions/",    "object.sessions/",
    "object.proofs/",      "object.roster/",      "object.vault",        "object.succession/",
    "object.sessions/",    "object.collections/", "object.collections/", "object.collections/",
    "object.collections/", "object.collections/"};
constexpr uint8_t kKinds = std::size(kPrefixes);

}  // namespace

void run(ByteView input) {
  if (input.empty()) return;
  const uint8_t kind = input[0] % kKinds;
  const ByteView object = input.subspan(1);
  try_all(kind, object, false);
  if (object.size() < vault::kMagicBytes + vault::kSignatureBytes) return;
  const std::string magic(reinterpret_cast<const char*>(object.data()), vault::kMagicBytes);
  const ByteView body = object.subspan(vault::kMagicBytes,
                                       object.size() - vault::kMagicBytes - vault::kSignatureBytes);
  try_all(kind, vault::sign_object(magic, body, seed()), true);
}

std::vector<Bytes> seeds(const Vectors& vectors) {
  std::vector<Bytes> out;
  for (uint8_t kind = 0; kind < kKinds; ++kind) add_seeds(vectors, kPrefixes[kind], kind, out);
  return out;
}

}  // namespace holdfast::fuzz
