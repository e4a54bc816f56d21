#include "vault/format/session.h"

namespace holdfast::vault {

Bytes SessionBegin::encode(const crypto::Key256& agent_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.raw(domain.view());
  encode_key_wrap(out, wrap);
  out.u64(base_sequence);
  out.raw(base_sha256);
  out.u64(roster_sequence);
  out.i64(started_ns);
  out.block(program);
  out.varint(adopts.size());
  for (const SessionId& s : adopts) out.raw(s.view());
  return sign_object(kSessionMagic, out.view(), agent_seed);
}

Result<SessionBegin> decode_session_begin(ByteView object) {
  TRY(const ByteView body, unverified_body(kSessionMagic, object));
  wire::Decoder in(body, "session");
  SessionBegin s;
  s.vault = read_id<VaultId>(in);
  s.domain = read_id<DomainId>(in);
  s.wrap = decode_key_wrap(in);
  s.base_sequence = in.u64();
  s.base_sha256 = in.array<32>();
  s.roster_sequence = in.u64();
  s.started_ns = in.i64();
  s.program = in.text(255);
  const uint64_t adopts = in.count(in.varint(), SessionId::kSize);
  for (uint64_t i = 0; i < adopts; ++i) s.adopts.push_back(read_id<SessionId>(in));
  TRYV(in.finish());
  return s;
}

Bytes SessionEpoch::encode(const crypto::Key256& agent_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.raw(session.view());
  out.u32(epoch);
  out.i64(time_ns);
  out.varint(runs.size());
  for (const RunId& run : runs) out.raw(run.view());
  return sign_object(kEpochMagic, out.view(), agent_seed);
}

Result<SessionEpoch> decode_session_epoch(ByteView object) {
  TRY(const ByteView body, unverified_body(kEpochMagic, object));
  wire::Decoder in(body, "session epoch");
  SessionEpoch s;
  s.vault = read_id<VaultId>(in);
  s.session = read_id<SessionId>(in);
  s.epoch = in.u32();
  s.time_ns = in.i64();
  const uint64_t runs = in.count(in.varint(), RunId::kSize);
  for (uint64_t i = 0; i < runs; ++i) s.runs.push_back(read_id<RunId>(in));
  TRYV(in.finish());
  return s;
}

Bytes SessionEnd::encode(const crypto::Key256& agent_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.raw(session.view());
  out.raw(domain.view());
  out.raw(agent.view());
  out.u8(static_cast<uint8_t>(outcome));
  out.u64(sequence);
  out.i64(time_ns);
  out.varint(packs.size());
  for (const crypto::Digest& pack : packs) out.raw(pack);
  return sign_object(kSessionEndMagic, out.view(), agent_seed);
}

Result<SessionEnd> decode_session_end(ByteView object) {
  TRY(const ByteView body, unverified_body(kSessionEndMagic, object));
  wire::Decoder in(body, "session end");
  SessionEnd s;
  s.vault = read_id<VaultId>(in);
  s.session = read_id<SessionId>(in);
  s.domain = read_id<DomainId>(in);
  s.agent = read_id<AgentId>(in);
  const uint8_t outcome = in.u8();
  if (outcome < 1 || outcome > 3) in.fail("has an unknown outcome");
  s.outcome = static_cast<SessionOutcome>(outcome);
  s.sequence = in.u64();
  s.time_ns = in.i64();
  const uint64_t packs = in.count(in.varint(), sizeof(crypto::Digest));
  for (uint64_t i = 0; i < packs && in.ok(); ++i) {
    s.packs.push_back(in.array<32>());
    if (i > 0 && s.packs[i - 1] >= s.packs[i]) in.fail("has packs out of order");
  }
  TRYV(in.finish());
  return s;
}

Bytes Tombstone::encode(const crypto::Key256& maintainer_seed) const {
  wire::Encoder out;
  out.raw(vault.view());
  out.raw(session.view());
  out.raw(run.view());
  out.raw(maintainer.view());
  out.i64(time_ns);
  return sign_object(kTombstoneMagic, out.view(), maintainer_seed);
}

Result<Tombstone> decode_tombstone(ByteView object) {
  TRY(const ByteView body, unverified_body(kTombstoneMagic, object));
  wire::Decoder in(body, "tombstone");
  Tombstone t;
  t.vault = read_id<VaultId>(in);
  t.session = read_id<SessionId>(in);
  t.run = read_id<RunId>(in);
  t.maintainer = read_id<MaintainerId>(in);
  t.time_ns = in.i64();
  TRYV(in.finish());
  return t;
}

}  // namespace holdfast::vault
