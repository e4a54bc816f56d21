#include "tools/format-vectors/maker.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {

// The first vault key grants one maintainer, the second one takes over.
void Maker::make_audit_log() {
  maintainer_ = {v_.vault, MaintainerId(counting<16>(0xf0)), fixed_key("maintainer")};
  AuditEntry grant;
  grant.vault = v_.vault;
  grant.sequence = 1;
  grant.time_ns = kCreated;
  grant.actions = {maintainer_.grant(Role::maintainer, "keeper")};
  const Bytes first = grant.encode(old_secret_.vault_seed);
  put(audit_name(1), first);
  AuditEntry generation;
  generation.vault = v_.vault;
  generation.sequence = 2;
  generation.previous_sequence = 1;
  generation.previous_sha256 = crypto::sha256(first);
  generation.time_ns = kCreated + 50 * kSecond;
  generation.signer.generation = 1;
  generation.actions = {audit::Generation{}};
  put(audit_name(2), generation.encode(v_.secret.vault_seed));
  out_.section("audit.md");
  out_.hex("maintainer.id", maintainer_.id.view());
  out_.hex("maintainer.private_key", maintainer_.signing_seed.view());
  out_.hex("maintainer.public_key", maintainer_.public_key());
}

void Maker::put_run_lists(const RunId& run, const std::vector<PackId>& packs,
                          const std::vector<SeenManifest>& manifests) {
  const crypto::Key256& seed = maintainer_.signing_seed;
  const RunHeader header{v_.vault, run, maintainer_.id, kCreated + 9000 * kSecond};
  put(collection_name(run, kStepBegin), encode_run_mark(kRunBeginMagic, header, seed));
  put(collection_name(run, kStepCondemned), CondemnedList{header, packs}.encode(seed));
  put(collection_name(run, kStepWaiting),
      WaitingList{header, {sessions_[kContinued].wrap.session}}.encode(seed));
  put(collection_name(run, kStepClosing), ClosingList{header, packs, manifests}.encode(seed));
  put(collection_name(run, kStepVerdict), encode_run_mark(kVerdictMagic, header, seed));
  put(collection_name(run, kStepFreed), encode_run_mark(kFreedMagic, header, seed));
}

// Two runs that are over: the second session wrote an epoch for the first one, and was given up by
// the second one.
void Maker::make_collections() {
  const SessionId dead(counting<16>(0xb0));
  put_run_lists(kRunBefore, {{dead, counting<32>(0x00)}}, {});
  put_run_lists(kRun, {{dead, counting<32>(0x20)}}, {{item_, 2, second_sha256_}});
  for (const SessionIndex i : {kContinued, kTooLate}) {
    const Tombstone t{v_.vault, sessions_[i].wrap.session, kRun, maintainer_.id,
                      kCreated + 9000 * kSecond};
    put(tombstone_name(t.session, t.run), t.encode(maintainer_.signing_seed));
  }
}

}  // namespace holdfast::vault
