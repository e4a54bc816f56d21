#include "vault/seal/segment_sealer.h"

#include "tests/support/expect.h"
#include "tests/support/test_vault.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

struct SealerTest : ::testing::Test {
  MemoryStore store;
  testing::TestVault vault{store};
  KeyWrap wrap;
  SessionContext context{vault.keys.vault, vault.keys.domain.id, vault.item, SessionId::random()};
  SessionKey key = SessionKey::create(vault.keys, context, wrap).value();
  SegmentSealer sealer;

  std::vector<ChunkRef> refs{{ChunkId::random(), ChunkKind::data, {}},
                             {ChunkId::random(), ChunkKind::data, {}},
                             {ChunkId::random(), ChunkKind::data, {}}};
  std::vector<uint32_t> lengths{1000, 0, 50'000};
  Bytes chunks = Bytes(51'000, 'a');
};

TEST_F(SealerTest, OpensToWhatWasSealedWithTheRecoveredKey) {
  ASSIGN(const SealedSegment sealed, sealer.seal(key, 7, refs, lengths, chunks, {1}));
  EXPECT_EQ(sealed.codec, Codec::zstd);
  EXPECT_LT(sealed.stored.size(), 2000u);
  ASSIGN(const SessionKey again,
         SessionKey::recover(vault.secret, vault.keys.vault, vault.keys.domain.id, wrap,
                             vault.keys.agent_secret));
  ASSIGN(const auto opened,
         sealer.open(again, 7, sealed.codec, refs_hash(refs), 3, sealed.stored.view()));
  EXPECT_EQ(opened.lengths, lengths);
  EXPECT_TRUE(equal(opened.chunks.view(), chunks));
}

TEST_F(SealerTest, StoresWhatDoesNotShrinkAsItIs) {
  const Bytes noise = testing::random_bytes(1, 51'000);
  for (const int level : {0, 1, 9}) {
    ASSIGN(const SealedSegment sealed, sealer.seal(key, 1, refs, lengths, noise, {level}));
    EXPECT_EQ(sealed.codec, Codec::raw);
    ASSIGN(const auto opened,
           sealer.open(key, 1, Codec::raw, refs_hash(refs), 3, sealed.stored.view()));
    EXPECT_TRUE(equal(opened.chunks.view(), noise));
  }
}

TEST_F(SealerTest, NothingOfWhatIsBoundMayDiffer) {
  ASSIGN(const SealedSegment sealed, sealer.seal(key, 7, refs, lengths, chunks, {1}));
  const auto digest = refs_hash(refs);
  const ByteView stored = sealed.stored.view();
  EXPECT_ERROR(Errc::damaged, sealer.open(key, 8, sealed.codec, digest, 3, stored));
  EXPECT_ERROR(Errc::damaged, sealer.open(key, 7, Codec::raw, digest, 3, stored));
  EXPECT_ERROR(Errc::damaged, sealer.open(key, 7, sealed.codec, digest, 2, stored));
  std::vector<ChunkRef> swapped = refs;
  std::swap(swapped[0], swapped[2]);
  EXPECT_ERROR(Errc::damaged, sealer.open(key, 7, sealed.codec, refs_hash(swapped), 3, stored));
  KeyWrap other_wrap;
  SessionContext other = context;
  other.session = SessionId::random();
  ASSIGN(const SessionKey other_key, SessionKey::create(vault.keys, other, other_wrap));
  EXPECT_ERROR(Errc::damaged, sealer.open(other_key, 7, sealed.codec, digest, 3, stored));
  for (size_t i = 0; i < stored.size(); i += 7) {
    Bytes changed = to_bytes(stored);
    changed[i] ^= 1;
    EXPECT_ERROR(Errc::damaged, sealer.open(key, 7, sealed.codec, digest, 3, changed));
  }
}

// Whoever knows only the recovery public key (it is public) cannot make a session of an agent.
TEST_F(SealerTest, ASessionWithoutTheAgentSecretOpensNothing) {
  AgentKeys forger = vault.keys;
  forger.agent_secret = crypto::random_secret<32>();
  KeyWrap forged_wrap;
  ASSIGN(const SessionKey forged, SessionKey::create(forger, context, forged_wrap));
  ASSIGN(const SealedSegment sealed, sealer.seal(forged, 0, refs, lengths, chunks, {1}));
  ASSIGN(const SessionKey derived,
         SessionKey::recover(vault.secret, vault.keys.vault, vault.keys.domain.id, forged_wrap,
                             vault.keys.agent_secret));
  EXPECT_ERROR(Errc::damaged,
               sealer.open(derived, 0, sealed.codec, refs_hash(refs), 3, sealed.stored.view()));
}

// A machine resumed twice from one snapshot repeats counters; keys must differ where content does.
TEST_F(SealerTest, ARepeatedCounterRepeatsNoKey) {
  std::vector<ChunkRef> other = refs;
  other[0].id = ChunkId::random();
  EXPECT_FALSE(key.segment_key(3, refs_hash(refs), Codec::zstd) ==
               key.segment_key(3, refs_hash(other), Codec::zstd));
  EXPECT_FALSE(key.segment_key(3, refs_hash(refs), Codec::zstd) ==
               key.segment_key(3, refs_hash(refs), Codec::raw));
  EXPECT_FALSE(key.segment_key(3, refs_hash(refs), Codec::zstd) ==
               key.segment_key(4, refs_hash(refs), Codec::zstd));
}

TEST_F(SealerTest, RefusesAnUnknownKemAndGeneration) {
  KeyWrap odd = wrap;
  odd.kem_id = 0x647a;
  odd.enc = Bytes(1120, 1);
  EXPECT_ERROR(holdfast::Errc::unsupported,
               SessionKey::recover(vault.secret, vault.keys.vault, vault.keys.domain.id, odd,
                                   vault.keys.agent_secret));
  odd = wrap;
  odd.generation = 9;
  EXPECT_ERROR(Errc::key_not_trusted,
               SessionKey::recover(vault.secret, vault.keys.vault, vault.keys.domain.id, odd,
                                   vault.keys.agent_secret));
  odd = wrap;
  odd.enc.resize(31);
  EXPECT_ERROR(Errc::damaged,
               SessionKey::recover(vault.secret, vault.keys.vault, vault.keys.domain.id, odd,
                                   vault.keys.agent_secret));
}

TEST_F(SealerTest, BodiesAreBoundToTheirManifest) {
  Manifest m;
  m.vault = vault.keys.vault;
  m.domain = vault.keys.domain.id;
  m.wrap = wrap;
  m.sequence = 4;
  m.sealed_body = key.seal_body(m, as_bytes("body"));
  ASSIGN(const Bytes body, key.open_body(m));
  EXPECT_EQ(as_text(body), "body");
  Manifest moved = m;
  moved.sequence = 5;
  EXPECT_FALSE(key.open_body(moved).ok());
  moved = m;
  moved.wrap.item = ItemId::random();
  EXPECT_FALSE(key.open_body(moved).ok());
}

TEST(AgentKeys, RoundTripAndNoticeDamage) {
  MemoryStore store;
  const testing::TestVault vault(store);
  const Bytes encoded = vault.keys.encode();
  ASSIGN(const AgentKeys back, decode_agent_keys(encoded));
  EXPECT_EQ(back.agent, vault.keys.agent);
  EXPECT_TRUE(back.agent_secret == vault.keys.agent_secret);
  EXPECT_EQ(back.item_id("x"), vault.keys.item_id("x"));
  EXPECT_NE(back.item_id("x"), vault.keys.item_id("y"));
  for (size_t i = 0; i < encoded.size(); ++i) {
    Bytes changed = encoded;
    changed[i] ^= 1;
    EXPECT_FALSE(decode_agent_keys(changed).ok());
  }
}

}  // namespace
}  // namespace holdfast::vault
