#include "tools/format-vectors/maker.h"
#include "vault/format/collection.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

PointBody body_of(int64_t started_ns, uint64_t bytes, uint64_t new_bytes) {
  PointBody b;
  b.item_name = "documents";
  b.host = "host1.example";
  b.paths = {"/etc", "/home"};
  b.started_ns = started_ns;
  b.finished_ns = started_ns + 3 * kSecond;
  b.files = 9;
  b.directories = 3;
  b.others = 5;
  b.bytes = bytes;
  b.new_bytes = new_bytes;
  b.stored_bytes = new_bytes + 4000;
  b.program = "format_vectors";
  b.source = "files";
  return b;
}

}  // namespace

void Maker::put_session(const MadeSession& s, uint64_t base, const crypto::Digest& base_sha256,
                        std::vector<SessionId> adopts, int64_t started_ns) {
  SessionBegin begin;
  begin.vault = v_.vault;
  begin.domain = v_.domain.id;
  begin.wrap = s.wrap;
  begin.base_sequence = base;
  begin.base_sha256 = base_sha256;
  begin.adopts = std::move(adopts);
  begin.roster_sequence = base == 0 ? 1 : 2;
  begin.started_ns = started_ns;
  begin.program = "format_vectors";
  put(session_begin_name(s.wrap.session), begin.encode(v_.agent.signing_seed));
}

// Taken over: the heir's word, under the name of the session that it adopted.
void Maker::put_end(const MadeSession& s, SessionOutcome outcome, uint64_t sequence,
                    int64_t time_ns) {
  SessionEnd end;
  end.vault = v_.vault;
  end.session = s.wrap.session;
  end.domain = v_.domain.id;
  end.agent = v_.agent.agent;
  end.outcome = outcome;
  end.sequence = sequence;
  end.time_ns = time_ns;
  const auto& packs = packs_[s.wrap.session];
  end.packs.assign(packs.begin(), packs.end());
  const Bytes object = end.encode(v_.agent.signing_seed);
  CHECK(must(decode_session_end(object)).packs == end.packs);
  put(outcome == SessionOutcome::taken_over ? session_heir_name(end.session)
                                            : session_end_name(end.session),
      object);
}

crypto::Digest Maker::put_point(Manifest m, const MadeSession& s, const PointBody& body,
                                const std::string& page) {
  m.vault = v_.vault;
  m.domain = v_.domain.id;
  m.wrap = s.wrap;
  m.entries = 17;
  const Bytes plain = body.encode();
  const crypto::Key256 key = crypto::hkdf_expand_key(crypto::HmacSha256(s.exported.view()),
                                                     {as_bytes("holdfast v1 point body")});
  m.sealed_body = seal_with_nonce(key, static_cast<uint8_t>(0x60 + 0x10 * m.sequence),
                                  m.body_associated(), plain);
  CHECK(equal(must(s.key->open_body(m)), plain));
  const Bytes object = m.encode(v_.agent.signing_seed);
  CHECK(must(decode_manifest(object)).sealed_body == m.sealed_body);
  out_.hex(page + ".body", plain);
  out_.hex(page + ".body_key", key.view());
  out_.hex(page + ".body_associated", m.body_associated());
  out_.hex(page + ".id", crypto::sha256(object));
  put(point_name(item_, m.sequence), object);
  return crypto::sha256(object);
}

// It stored a pack and then was stopped; the second point uses the pack.
void Maker::make_adopted_session(int64_t time_ns) {
  put_session(sessions_[kAdopted], 1, first_sha256_, {}, time_ns);
  put_end(sessions_[kAdopted], SessionOutcome::given_up, 0, time_ns + 2 * kSecond);
}

void Maker::make_points(const MadeMap& first_map, const MadeMap& second_map) {
  const int64_t t = kCreated + 60 * kSecond;
  put_session(sessions_[kFirst], 0, {}, {}, t);
  Manifest first;
  first.sequence = 1;
  first.time_ns = t;
  first.roots = {first_map.root()};
  first.labels = {"weekly"};
  uint64_t new_bytes = 0;
  for (const MadeChunk* c : {&chunk_hosts_, &chunk_note_, &chunk_letters_, &chunk_promise_}) {
    new_bytes += c->bytes.size();
  }
  first_sha256_ =
      put_point(first, sessions_[kFirst], body_of(t, first_map.bytes, new_bytes), "point1");
  put_end(sessions_[kFirst], SessionOutcome::committed, 1, t + 4 * kSecond);
  make_adopted_session(t + 50 * kSecond);

  // Given up by a collector that saw the manifest in time: it counts. The tombstone came after this
  // session had looked for one, so it put an end nevertheless.
  const MadeSession& s = sessions_[kContinued];
  const SessionId adopted = sessions_[kAdopted].wrap.session;
  put_session(s, 1, first_sha256_, {adopted}, t + 100 * kSecond);
  SessionEpoch epoch;
  epoch.vault = v_.vault;
  epoch.session = s.wrap.session;
  epoch.epoch = 1;
  epoch.time_ns = t + 3700 * kSecond;
  epoch.runs = {kRunBefore};
  put(session_epoch_name(epoch.session, 1), epoch.encode(v_.agent.signing_seed));
  Manifest second;
  second.sequence = 2;
  second.base_sequence = second.previous_sequence = 1;
  second.base_sha256 = second.previous_sha256 = first_sha256_;
  second.time_ns = t + 100 * kSecond;
  second.incomplete = true;
  second.roots = {second_map.root()};
  second.adopts = {adopted};
  second.labels = {"before upgrade", ""};
  second.heads = {{item_, 1}};
  PointBody body = body_of(second.time_ns, second_map.bytes, chunk_new_note_.bytes.size());
  body.problem_count = 2;
  body.problems = {{"/home/secret", "Permission denied"},
                   {"/home/\xff", "changed while it was read"}};
  second_sha256_ = put_point(second, s, body, "point2");
  put_end(s, SessionOutcome::committed, 2, t + 9000 * kSecond);
  put_end(sessions_[kAdopted], SessionOutcome::taken_over, 2, t + 9001 * kSecond);

  // Given up as well, and not seen in time: no recovery point.
  put_session(sessions_[kTooLate], 2, second_sha256_, {}, t + 200 * kSecond);
  Manifest third;
  third.sequence = 3;
  third.base_sequence = third.previous_sequence = 2;
  third.base_sha256 = third.previous_sha256 = second_sha256_;
  third.time_ns = t + 200 * kSecond;
  third.roots = {first_map.root()};
  (void)put_point(third, sessions_[kTooLate], body_of(third.time_ns, first_map.bytes, 0), "point3");
}

}  // namespace holdfast::vault
