#include "tests/support/expect.h"
#include "vault/errc.h"
#include "vault/seal/vault_secret.h"

namespace holdfast::vault {
namespace {

bool same_secret(const VaultSecret& a, const VaultSecret& b) {
  return a.generation == b.generation && a.vault_seed == b.vault_seed &&
         a.roster_key == b.roster_key && a.recovery_keys.size() == b.recovery_keys.size() &&
         a.recovery_keys.back().private_key == b.recovery_keys.back().private_key;
}

TEST(Slot, PassphraseOpensAndNothingElseDoes) {
  const VaultSecret secret = VaultSecret::create();
  ASSIGN(const Slot slot,
         make_passphrase_slot(VaultId::random(), secret, "correct horse", "label", 5));
  EXPECT_GE(slot.cost.log2_n, 17);
  ASSIGN(const Slot stored, decode_slot(slot.encode()));
  ASSIGN(const VaultSecret opened, open_slot(stored, "correct horse"));
  EXPECT_TRUE(same_secret(opened, secret));
  EXPECT_ERROR(Errc::wrong_passphrase, open_slot(stored, "correct horse "));
  EXPECT_ERROR(Errc::wrong_passphrase, open_slot(stored, ""));
}

TEST(Slot, RecoveryCodeForgivesHowItIsTyped) {
  const VaultSecret secret = VaultSecret::create();
  std::string code;
  const Slot slot = make_recovery_code_slot(VaultId::random(), secret, "paper", 5, code);
  EXPECT_EQ(code.size(), 39u) << "eight groups of four: " << code;
  EXPECT_TRUE(looks_like_recovery_code(code));
  std::string typed;
  for (char c : code) {
    if (c == '-') {
      typed += "  ";
    } else if (c == '0') {
      typed += 'o';
    } else if (c == '1') {
      typed += 'L';
    } else {
      typed += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  ASSIGN(const VaultSecret opened, open_slot(slot, typed));
  EXPECT_TRUE(same_secret(opened, secret));
  std::string wrong = code;
  wrong[0] = wrong[0] == 'A' ? 'B' : 'A';
  EXPECT_ERROR(Errc::wrong_passphrase, open_slot(slot, wrong));
  EXPECT_ERROR(Errc::wrong_passphrase, open_slot(slot, "not a code at all"));
}

// Every byte, so also label, cost and generation, is covered by the tag or by the decoder.
TEST(Slot, NoByteMayChange) {
  const VaultSecret secret = VaultSecret::create();
  std::string code;
  const Slot slot = make_recovery_code_slot(VaultId::random(), secret, "paper", 5, code);
  const Bytes encoded = slot.encode();
  for (size_t i = 0; i < encoded.size(); ++i) {
    Bytes changed = encoded;
    changed[i] ^= 0x20;
    const auto decoded = decode_slot(changed);
    if (!decoded.ok() || decoded->kind != SlotKind::recovery_code) continue;
    EXPECT_FALSE(open_slot(*decoded, code).ok()) << i;
  }
}

TEST(Slot, RefusesACheaperScrypt) {
  const VaultSecret secret = VaultSecret::create();
  ASSIGN(Slot slot, make_passphrase_slot(VaultId::random(), secret, "passphrase", "", 5));
  slot.cost.log2_n = 16;
  EXPECT_ERROR(holdfast::Errc::malformed, decode_slot(slot.encode()));
}

TEST(VaultSecret, SuccessorKeepsOldRecoveryKeysAndChangesTheRest) {
  const VaultSecret first = VaultSecret::create();
  const VaultSecret second = first.successor();
  EXPECT_EQ(second.generation, 1u);
  ASSERT_NE(second.recovery_private(0), nullptr);
  EXPECT_TRUE(*second.recovery_private(0) == first.recovery_keys[0].private_key);
  EXPECT_FALSE(second.recovery_keys[1].private_key == first.recovery_keys[0].private_key);
  EXPECT_FALSE(second.roster_key == first.roster_key);
  EXPECT_NE(second.vault_key(), first.vault_key());
  EXPECT_EQ(first.recovery_private(1), nullptr);
}

}  // namespace
}  // namespace holdfast::vault
