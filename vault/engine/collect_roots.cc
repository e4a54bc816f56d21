#include "vault/engine/collect_roots.h"

#include <algorithm>
#include <tuple>

#include "vault/errc.h"
#include "vault/format/description.h"
#include "vault/format/object_names.h"

namespace holdfast::vault {
namespace {

constexpr int kSurveysMax = 10;

struct Dated {
  io::TimeNs stored_ns = 0;
  MarkRoot root;
};

Dated dated(const Manifest& m, io::TimeNs stored_ns) {
  return {stored_ns, {m.domain, m.item(), m.sequence, m.roots, point_name(m.item(), m.sequence)}};
}

class Gatherer {
 public:
  Gatherer(const SurveyContext& context, const Description& description,
           std::map<SessionId, SurveyedSession>& sessions, const std::optional<RunId>& run)
      : c_(context), description_(description), sessions_(sessions), run_(run) {}

  Result<CollectRoots> gather() {
    for (int attempt = 0; attempt < kSurveysMax; ++attempt) {
      out_ = {};
      found_.clear();
      TRYV(take_points());
      TRY(const bool complete, take_bases());
      if (complete) {
        sort();
        return std::move(out_);
      }
      // A session was over between the two looks: its own point may be there now.
      TRY(sessions_, survey_sessions(c_));
    }
    return Error{std::make_error_code(std::errc::resource_unavailable_try_again),
                 "sessions come and go too fast; try again"};
  }

 private:
  Status take_points() {
    TRY(const auto list, list_points(c_.store, description_, c_.roster));
    for (const RecoveryPoint& p : list.points) {
      take(p.manifest, p.stored_ns);
      if (was_given_up(p.manifest)) {
        out_.tombstoned.push_back({p.manifest.item(), p.manifest.sequence, p.sha256});
      }
    }
    out_.points = list.points.size();
    std::set<std::string> looked_at;
    for (const PointDefect& d : list.defects) {
      if (!looked_at.insert(d.name).second) continue;
      TRY(const bool kept, take_doubtful(d.name));
      if (!kept) out_.defects.push_back(d.name + ": " + d.reason);
    }
    for (const PointDefect& d : list.remarks) TRYV(take_if_given_up(d.name));
    return {};
  }

  void take(const Manifest& m, io::TimeNs stored_ns) {
    found_.push_back(dated(m, stored_ns));
    out_.named.insert(m.session());
    out_.named.insert(m.adopts.begin(), m.adopts.end());
  }

  struct Loaded {
    Manifest manifest;
    crypto::Digest sha256{};
    io::TimeNs stored_ns = 0;
  };
  // Nothing if there is no such object, or none that decodes as what its name says.
  Result<std::optional<Loaded>> load(const std::string& name) {
    const auto object = c_.store.get(name, kObjectBytesMax);
    if (!object.ok()) {
      if (is_verdict(object.error())) return std::optional<Loaded>();
      return object.error();
    }
    auto manifest = decode_manifest(*object);
    if (!manifest.ok() || manifest->vault != c_.vault ||
        point_name(manifest->item(), manifest->sequence) != name) {
      return std::optional<Loaded>();
    }
    const auto info = c_.store.head(name);
    if (!info.ok() && !is_absent(info.error())) return info.error();
    return std::optional(
        Loaded{std::move(*manifest), crypto::sha256(*object), info.ok() ? info->stored_ns : 0});
  }

  // What decodes but is not to be believed, perhaps only now: its chunks stay.
  Result<bool> take_doubtful(const std::string& name) {
    TRY(const auto loaded, load(name));
    if (!loaded) return false;
    found_.push_back(dated(loaded->manifest, loaded->stored_ns));
    return true;
  }

  // By this run.
  bool was_given_up(const Manifest& m) const {
    const auto s = sessions_.find(m.session());
    return run_ && s != sessions_.end() && s->second.tombstones.contains(*run_);
  }

  Status take_if_given_up(const std::string& name) {
    if (!run_) return {};
    TRY(const auto loaded, load(name));
    if (!loaded) return {};
    const Manifest& m = loaded->manifest;
    if (!was_given_up(m)) return {};
    take(m, loaded->stored_ns);
    out_.tombstoned.push_back({m.item(), m.sequence, loaded->sha256});
    return {};
  }

  // False if the base of an open session went away, which happens only when the session ended, or
  // another run gave it up.
  Result<bool> take_bases() {
    for (const auto& [id, s] : sessions_) {
      if (!s.is_open() || !s.begin || s.begin->base_sequence == 0) continue;
      const std::string name = point_name(s.begin->wrap.item, s.begin->base_sequence);
      TRY(const auto base, load(name));
      if (base) {
        if (base->sha256 == s.begin->base_sha256) take(base->manifest, base->stored_ns);
        continue;
      }
      const auto begun = c_.store.head(session_begin_name(id));
      const auto ended = c_.store.head(session_end_name(id));
      if (ended.ok() || (!begun.ok() && is_absent(begun.error()))) return false;
      if (!begun.ok()) return begun.error();
      if (!is_absent(ended.error())) return ended.error();
      TRY(const bool given_up, has_tombstone(id));
      if (given_up) return false;
      // Still open, without its base: it was gone when the session looked, and is not built on.
    }
    return true;
  }

  // One that a maintainer signed: an agent must not be able to keep us from ever coming to an end.
  Result<bool> has_tombstone(const SessionId& session) {
    TRY(const auto runs, tombstones_of(c_.store, session));
    for (const RunId& run : runs) {
      TRY(const bool is_one, is_tombstone(c_.store, c_.vault, session, run, c_.maintainers));
      if (is_one) return true;
    }
    return false;
  }

  void sort() {
    std::sort(found_.begin(), found_.end(), [](const Dated& a, const Dated& b) {
      return std::tie(a.stored_ns, a.root.item, a.root.sequence) <
             std::tie(b.stored_ns, b.root.item, b.root.sequence);
    });
    for (Dated& d : found_) out_.roots.push_back(std::move(d.root));
  }

  const SurveyContext& c_;
  const Description& description_;
  std::map<SessionId, SurveyedSession>& sessions_;
  const std::optional<RunId>& run_;
  CollectRoots out_;
  std::vector<Dated> found_;
};

}  // namespace

Result<CollectRoots> gather_roots(const SurveyContext& context, const Description& description,
                                  std::map<SessionId, SurveyedSession>& sessions,
                                  const std::optional<RunId>& run) {
  return Gatherer(context, description, sessions, run).gather();
}

}  // namespace holdfast::vault
