// An explicit model of sessions and collection, small enough to look at every state.
//
// What it is of: docs/formats/session.md. A state is what the store holds, in the abstract, and of
// each actor where it is in its program and what it remembers. A step is one call to the store,
// with whatever the actor thinks before its next one. Any actor may be the next one to step, so
// every interleaving is there; one that is never chosen again has crashed, one that is chosen much
// later has stalled. There is no clock: "its heartbeat expired", "dead for seven days" and "this
// run is dead" are choices that a collector may make at any moment.
//
// Who is there: up to two writers, each with a session, and a second one after a tombstone or after
// it was killed and begun again; up to three collectors, each with one run of its own, that may
// also end each other's; one that purges the initial point. What there is: two chunks; a pack P0
// with both, which committed sessions vouch for; a second old copy P1 of chunk 0; a pack for each
// session and chunk; a pack of repacked chunks for each run; the initial point m0 and a manifest
// for each session.
//
// What must hold in every state: each point that was reported and not purged is a point for
// readers, and has a good copy of each of its chunks in the store.
//
// `Rule` lists deviations: mistakes that the model must find. The explorer is in explorer.h.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace holdfast::model {

inline constexpr int kWriters = 2;
inline constexpr int kSessions = 4;  // session s is of writer s / 2; the second one continues it
inline constexpr int kRuns = 3;
inline constexpr int kChunks = 2;
inline constexpr int kManifests = 1 + kSessions;  // m0, then one for each session
inline constexpr int kPacks = 2 + kSessions * kChunks + kRuns;
inline constexpr int kNone = -1;

constexpr int pack_of(int session, int chunk) {
  return 2 + session * kChunks + chunk;
}
constexpr int repacked_by(int run) {
  return 2 + kSessions * kChunks + run;
}
constexpr unsigned bit(int n) {
  return 1u << n;
}
constexpr bool has(unsigned mask, int n) {
  return (mask >> n & 1) != 0;
}

// Ways to do it wrong. Each loses a point, and the model has to find out how.
enum class Rule : uint8_t {
  as_specified,
  // Writers.
  condemned_read_before_begin,
  no_look_for_tombstone,
  condemned_not_minded,  // relies on packs that the list names
  base_checked_before_begin,
  base_presence_is_enough,     // does not look whether the base was purged
  base_of_undecided_session,   // the base's closing lists are not asked
  base_lost_is_ignored,        // goes on after a tombstone although the base is gone
  continues_without_presence,  // goes on after a tombstone without looking for its packs
  continues_without_copying,   // ... or without copying what is condemned
  relies_without_presence,     // a voucher is enough, the pack is not looked for
  epoch_without_copies,
  epoch_names_unread_runs,  // the epoch names what is there when it is put
  // Collectors.
  no_second_mark,
  wait_for_older_only,  // "mark, condemn, wait for older sessions, delete"
  any_epoch_ends_the_wait,
  sessions_listed_before_condemned,
  second_mark_before_tombstones,
  sessions_listed_first_and_never_again,
  sessions_listed_first_again_if_ended,  // not if it got a tombstone from another run
  sessions_listed_first_and_bases_once,  // before the points, and for the first mark only
  bases_not_marked,                      // those of open sessions
  packs_of_open_sessions_condemned,
  undecided_manifests_not_marked,  // of tombstoned sessions without a closing list
  closing_names_nothing,
  no_look_for_abort,
  freed_before_deletion,
  dead_run_freed_without_verdict,  // the one who ends a run does not look for a verdict
  dead_run_ended_by_two,
  given_up_sessions_tidied,  // with their tombstones
  // Copies and repacked packs.
  newest_copy_wins,
  copy_condemned_by_others_counts,
  condemned_read_after_packs,  // the second mark's look at other runs comes too late
  source_condemned_before_voucher,
  // Purging.
  base_removed_under_session,
  // Readers.
  undecided_is_no_point,
  // Not mistakes: the model shows that they lose nothing.
  harmless_voucher_before_pack,
  harmless_deletion_marker,  // verdict, look for an abort, put that it deletes; any number may end
                             // it
  harmless_any_tombstone_ends_the_wait,
  harmless_sessions_listed_first,
  harmless_second_mark_without_bases,
  harmless_epoch_before_copies,  // but a backup may fail
};

struct Config {
  std::string name;
  Rule rule = Rule::as_specified;
  int writers = 1;
  int collectors = 1;
  int runs = kRuns;                         // only so many of the collectors begin one
  unsigned needs[kWriters] = {1, 1};        // chunks, as a mask
  int base[kWriters] = {kNone, kNone};      // manifest that the writer builds on
  unsigned base_chunks[kWriters] = {0, 0};  // what it takes from there without looking
  int advances = 0;                         // of each session
  bool restarts = false;                    // writers may be killed, and begin again
  bool initial_point = false;               // m0 is a point; it needs both chunks, or:
  unsigned initial_needs = 3;
  bool purges = false;  // somebody purges m0 at some time
  bool ends_dead_runs = true;
  bool drops_copies = false;  // the copies rule; otherwise every copy of a needed chunk is kept
  bool repacks = false;       // P0, if it is partly dead
  bool garbage = false;       // P1 is there, with chunk 1
  bool second_copy = false;   // P1 is there
  bool second_copy_is_bogus = false;
  bool second_copy_is_newer = false;  // than m0
};

struct Run {
  uint16_t condemned;
  uint16_t closing;
  uint8_t named;  // manifests, by the closing list
  uint8_t has;    // of the objects below; and whose the abort is, counted from 1
  enum : uint8_t {
    kCondemned = 1,
    kClosing = 2,
    kVerdict = 4,
    kDeleting = 8,  // only with harmless_deletion_marker
    kFreed = 16,
    kAbortShift = 5,
  };
  bool did(unsigned what) const { return (has & what) != 0; }
  bool binds() const { return did(kCondemned) && !did(kFreed); }
  int aborted_by() const { return (has >> kAbortShift) - 1; }
};

struct Writer {
  uint8_t pc;
  uint8_t second;  // in its second session
  uint8_t flags;
  uint8_t runs;             // that the epoch will name
  uint8_t advances;         // still to do
  uint8_t source[kChunks];  // 0 unknown, 1 the base, 2 + p: pack p
  uint8_t chunk;            // at work on
  uint16_t condemned;       // as read
  uint16_t own;             // packs that it knows to have put
};

struct Collector {
  uint8_t pc;
  uint8_t seen;      // manifests
  uint8_t counting;  // and bases
  uint8_t open;      // sessions
  uint8_t waiting;   // for these
  uint8_t ending;    // whose run, plus one
  uint16_t others;   // packs condemned by other runs
  uint16_t packs;    // to delete, or about to be condemned
};

// Everything. Compared and hashed as bytes, so what is dead is zero.
struct State {
  Run run[kRuns];
  uint16_t packs, vouched;
  uint16_t before[kManifests];  // packs that were vouched for when the manifest was put
  uint16_t epochs, tombstones;  // run bits of each session, three bits a session
  uint16_t content;             // of repacked packs, two bits a run
  uint8_t order[kManifests];
  uint8_t manifests, purged, reported;
  uint8_t begun, ended;  // sessions; for one rule, `begun` also has those that advanced
  uint8_t purger;
  uint8_t points;  // put so far: the last one's order
  Writer writer[kWriters];
  Collector collector[kRuns];

  State() { std::memset(static_cast<void*>(this), 0, sizeof *this); }
  bool operator==(const State& o) const { return std::memcmp(this, &o, sizeof o) == 0; }
  unsigned epochs_of(int session) const { return epochs >> (3 * session) & 7; }
  unsigned tombstones_of(int session) const { return tombstones >> (3 * session) & 7; }
};

// What a step did, for traces, and to see that everything that should be possible is.
enum class Did : uint8_t {
  begin,
  read_condemned,
  check_base_present,
  check_base_purged,
  check_base_counts,
  rely,
  store,
  advance,
  copy_read,
  copy_put,
  epoch,
  manifest,
  report,
  tombstone_seen,
  end,
  fail,
  killed,
  carry_on,
  mark_points,
  mark_sessions,
  mark_condemned,
  mark_packs,
  repack_read,
  repack_put,
  vouch,
  condemn,
  list_sessions,
  poll,
  tombstone,
  closing,
  verdict,
  no_abort,
  abort_seen,
  remove,
  freed,
  abort_other,
  complete_other,
  free_other,
  leave_other,
  remove_for_other,
  freed_other,
  tidy,
  purge,
  purge_waits,
  remove_manifest,
  kCount,
};

struct Step {
  char actor;  // 'w', 'c', 'p'
  uint8_t number;
  Did did;
  int8_t what;
};

struct Next {
  State state;
  Step step;
};

class Model {
 public:
  explicit Model(Config config) : config_(std::move(config)) {}
  const Config& config() const { return config_; }

  State initial() const;
  void successors(const State& s, std::vector<Next>& out) const;
  // What is wrong in this state; null: nothing.
  const char* violation(const State& s) const;
  // The step in words, with what the actor decided in it.
  std::string describe(const State& before, const Step& step, const State& after) const;

 private:
  bool is(Rule rule) const { return config_.rule == rule; }
  unsigned content(const State& s, int pack) const;
  unsigned needs_of(int manifest) const;
  // Whether a manifest counts. `own`: a run whose closing list is still to come.
  enum class Counts { yes, no, undecided };
  Counts counts(const State& s, int manifest, int own = kNone) const;
  // Packs in condemned lists that bind, but for the list of one run; and these runs.
  unsigned condemned(const State& s, int but = kNone) const;
  unsigned binding_runs(const State& s) const;

  void step_writer(const State& s, int w, std::vector<Next>& out) const;
  void begin_session(const State& s, int w, std::vector<Next>& out) const;
  void check_base(const State& s, int w, std::vector<Next>& out) const;
  void base_is(State& n, int w, bool valid) const;
  void work(const State& s, int w, std::vector<Next>& out) const;
  void look_up(const State& s, int w, int chunk, bool may_store, std::vector<Next>& out) const;
  void put_pack(State& n, int w, int chunk) const;
  void next_to_copy(State& n, int w) const;
  void commit(const State& s, int w, std::vector<Next>& out) const;
  void carry_on(const State& s, int w, std::vector<Next>& out) const;
  void next_to_carry_on(State& n, int w, int chunk) const;

  void step_collector(const State& s, int r, std::vector<Next>& out) const;
  void end_another(const State& s, int r, std::vector<Next>& out) const;
  void tidy(const State& s, int r, std::vector<Next>& out) const;
  void mark(const State& s, int r, std::vector<Next>& out) const;
  void candidates(State& n, int r) const;
  void repack(const State& s, int r, std::vector<Next>& out) const;
  void wait(const State& s, int r, std::vector<Next>& out) const;
  void close(const State& s, int r, std::vector<Next>& out) const;
  void remove_packs(const State& s, int r, std::vector<Next>& out) const;
  unsigned needed(const State& s, int r, unsigned listed) const;
  unsigned left_alone(const State& s, int r) const;

  void step_purger(const State& s, std::vector<Next>& out) const;

  const Config config_;
};

}  // namespace holdfast::model
