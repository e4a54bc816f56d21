// Small objects: each decodes to what was encoded; with any byte changed or cut off it is refused,
// by the decoder or by its signature, tag or digest; and none passes for another kind.

#include <functional>

#include "tests/support/expect.h"
#include "vault/format/collection.h"
#include "vault/format/description.h"
#include "vault/format/manifest.h"
#include "vault/format/object_names.h"
#include "vault/format/point_body.h"
#include "vault/format/proof.h"
#include "vault/format/roster.h"
#include "vault/format/session.h"

namespace holdfast::vault {
namespace {

const crypto::Key256 kSeed = crypto::random_secret<32>();
const crypto::PublicKey kKey = crypto::ed25519_public(kSeed);

KeyWrap sample_wrap() {
  return {SessionId::random(),    AgentId::random(), ItemId::random(), 0,
          crypto::kHpkeKemX25519, Bytes(32, 1)};
}

struct Sample {
  std::string name;
  Bytes object;
  // Accepts the object in full: form and signature.
  std::function<bool(ByteView)> accepts;
};

std::vector<Sample> samples() {
  std::vector<Sample> out;
  Description d;
  d.vault = VaultId::random();
  d.vault_key = kKey;
  d.name = "name";
  out.push_back({"description", d.encode(kSeed), [](ByteView b) {
                   const auto x = decode_description(b);
                   return x.ok() && x->vault_key == kKey;
                 }});
  Roster roster;
  roster.vault_key = kKey;
  roster.sequence = 4;
  roster.domains.push_back({DomainId::random(), Bytes(92, 2)});
  RosterAgent agent;
  agent.id = AgentId::random();
  agent.sealed = Bytes(70, 3);
  agent.memberships.push_back({roster.domains[0].id, Bytes(60, 4)});
  roster.agents.push_back(agent);
  out.push_back(
      {"roster", roster.encode(kSeed), [](ByteView b) { return decode_roster(b, kKey).ok(); }});
  Succession succession;
  succession.generation = 1;
  succession.old_vault_key = kKey;
  const crypto::Key256 next = crypto::random_secret<32>();
  succession.vault_key = crypto::ed25519_public(next);
  out.push_back({"succession", succession.encode(kSeed, next),
                 [](ByteView b) { return decode_succession(b, kKey).ok(); }});
  const auto signed_by_agent = [](auto decode) {
    return [decode](ByteView b) { return decode(b).ok() && verify_object(b, kKey, "").ok(); };
  };
  SessionBegin begin;
  begin.wrap = sample_wrap();
  begin.adopts = {SessionId::random(), SessionId::random()};
  begin.program = "test";
  out.push_back({"begin", begin.encode(kSeed), signed_by_agent(decode_session_begin)});
  SessionEpoch epoch;
  epoch.epoch = 7;
  epoch.runs = {RunId::random()};
  out.push_back({"epoch", epoch.encode(kSeed), signed_by_agent(decode_session_epoch)});
  SessionEnd end;
  end.outcome = SessionOutcome::committed;
  end.packs = {crypto::sha256(as_bytes("p"))};
  out.push_back({"end", end.encode(kSeed), signed_by_agent(decode_session_end)});
  Manifest m;
  m.wrap = sample_wrap();
  m.sequence = 3;
  m.roots = {ChunkId::random()};
  m.adopts = {SessionId::random()};
  m.labels = {"nightly", "\xff"};
  m.heads = {{ItemId::random(), 9}};
  m.sealed_body = Bytes(100, 5);
  out.push_back({"manifest", m.encode(kSeed), signed_by_agent(decode_manifest)});
  Proof proof;
  proof.time_ns = 5;
  out.push_back({"proof", proof.encode(kSeed), signed_by_agent(decode_proof)});
  out.push_back({"tombstone", Tombstone().encode(kSeed), signed_by_agent(decode_tombstone)});
  CondemnedList condemned;
  condemned.packs = {{SessionId::random(), crypto::sha256(as_bytes("x"))}};
  out.push_back({"condemned", condemned.encode(kSeed), signed_by_agent(decode_condemned)});
  WaitingList waiting;
  waiting.sessions = {SessionId::random(), SessionId::random()};
  out.push_back({"waiting", waiting.encode(kSeed), signed_by_agent(decode_waiting)});
  ClosingList closing;
  closing.packs = condemned.packs;
  closing.manifests = {{ItemId::random(), 4, crypto::sha256(as_bytes("y"))}};
  out.push_back({"closing", closing.encode(kSeed), signed_by_agent(decode_closing)});
  VouchedList vouched;
  vouched.packs = {
      {crypto::sha256(as_bytes("z")),
       DomainId::random(),
       {{3, AgentId::random(), ItemId::random(), 7}, {1, AgentId::random(), ItemId::random(), 9}}}};
  out.push_back({"vouched", vouched.encode(kSeed), signed_by_agent(decode_vouched)});
  for (const std::string_view magic : {kRunBeginMagic, kVerdictMagic, kAbortMagic, kFreedMagic}) {
    out.push_back({std::string(magic), encode_run_mark(magic, {}, kSeed),
                   signed_by_agent([magic](ByteView b) { return decode_run_mark(magic, b); })});
  }
  return out;
}

TEST(SmallObjects, AreAcceptedAsTheyWereMade) {
  for (const Sample& s : samples()) EXPECT_TRUE(s.accepts(s.object)) << s.name;
}

TEST(SmallObjects, NoByteMayChangeOrBeMissing) {
  for (const Sample& s : samples()) {
    for (size_t i = 0; i < s.object.size(); ++i) {
      Bytes changed = s.object;
      changed[i] ^= 0x10;
      EXPECT_FALSE(s.accepts(changed)) << s.name << " byte " << i;
    }
    for (size_t n = 0; n < s.object.size(); ++n) {
      EXPECT_FALSE(s.accepts(ByteView(s.object).first(n))) << s.name << " cut to " << n;
    }
    Bytes longer = s.object;
    longer.push_back(0);
    EXPECT_FALSE(s.accepts(longer)) << s.name;
  }
}

TEST(SmallObjects, NoKindPassesForAnother) {
  const auto all = samples();
  for (const Sample& a : all) {
    for (const Sample& b : all) {
      if (a.name != b.name) {
        EXPECT_FALSE(a.accepts(b.object)) << b.name << " as " << a.name;
      }
    }
  }
}

// A signature covers the magic, so a body cannot be moved under another one even by its signer's
// own other signatures.
TEST(SmallObjects, ASignatureHoldsForOneKindOnly) {
  const auto all = samples();
  for (const Sample& a : all) {
    for (const Sample& b : all) {
      if (a.name == b.name) continue;
      Bytes retyped = a.object;
      std::copy_n(b.object.begin(), kMagicBytes, retyped.begin());
      EXPECT_FALSE(b.accepts(retyped)) << a.name << " retyped as " << b.name;
    }
  }
}

TEST(Description, NamesTheFeatureThatIsMissing) {
  Description d;
  d.vault_key = kKey;
  d.features_read = {"frobnication"};
  const auto decoded = decode_description(d.encode(kSeed));
  ASSERT_FALSE(decoded.ok());
  EXPECT_TRUE(decoded.error().code == holdfast::Errc::unsupported);
  EXPECT_NE(decoded.error().context.find("frobnication"), std::string::npos);
  EXPECT_ERROR(holdfast::Errc::unsupported, require_features({"x"}, "write to"));
}

TEST(Description, RefusesAnotherFormatVersion) {
  Description d;
  d.vault_key = kKey;
  d.format_version = 2;
  EXPECT_ERROR(holdfast::Errc::unsupported, decode_description(d.encode(kSeed)));
}

TEST(PointBody, RoundTripsAndBoundsItsProblems) {
  PointBody b;
  b.item_name = "db";
  b.paths = {"/srv", "\xfe\n"};
  b.problem_count = kPointProblemsMax + 5;
  for (size_t i = 0; i < kPointProblemsMax + 5; ++i) b.problems.push_back({"/p", "unreadable"});
  ASSIGN(const PointBody back, decode_point_body(b.encode()));
  EXPECT_EQ(back.item_name, "db");
  EXPECT_EQ(back.paths, b.paths);
  EXPECT_EQ(back.problem_count, kPointProblemsMax + 5);
  EXPECT_EQ(back.problems.size(), kPointProblemsMax);
  const Bytes encoded = b.encode();
  for (size_t n = 0; n < 200; ++n) {
    EXPECT_FALSE(decode_point_body(ByteView(encoded).first(n)).ok());
  }
}

TEST(ObjectNames, ParseBackToWhatTheyWereMadeOf) {
  const PackId pack{SessionId::random(), crypto::sha256(as_bytes("f"))};
  ASSIGN(const PackId parsed, parse_pack_name(pack_name(pack)));
  EXPECT_EQ(parsed, pack);
  const ItemId item = ItemId::random();
  ASSIGN(const PointName point, parse_point_name(point_name(item, 42)));
  EXPECT_EQ(point.item, item);
  EXPECT_EQ(point.sequence, 42u);
  EXPECT_LT(point_name(item, 9), point_name(item, 10)) << "names sort as numbers";
  const SessionId session = SessionId::random();
  ASSIGN(const auto step, parse_session_name(session_epoch_name(session, 3)));
  EXPECT_EQ(step.session, session);
  EXPECT_EQ(step.step, "epoch-0000000003");
}

TEST(ObjectNames, RefuseWhatIsNotOne) {
  const std::string id(32, 'a');
  const std::string digest(64, 'b');
  for (const std::string& bad :
       {std::string("packs/x"), "packs/" + id, "packs/" + id + "/zz", "pack/" + id + "/" + digest,
        "packs/" + id + "/" + digest + "/x", "packs/" + id + "/" + digest.substr(1)}) {
    EXPECT_FALSE(parse_pack_name(bad).ok()) << bad;
  }
  for (const std::string& bad : {"points/" + id + "/1", "points/" + id + "/00000000001",
                                 "points/" + id + "/000000000x", std::string("points/")}) {
    EXPECT_FALSE(parse_point_name(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace holdfast::vault
