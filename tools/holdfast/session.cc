#include "tools/holdfast/session.h"

#include "vault/engine/head_code.h"
#include "vault/errc.h"
#include "vault/store/redundancy.h"

namespace holdfast::cli {

Result<ReadSession> ReadSession::open(const GlobalOptions& options, Output& out) {
  ReadSession s;
  TRY(s.vault, open_vault(options));
  // What is restored is whole in spite of it: no reason for another exit code.
  if (vault::Redundancy* redundancy = s.vault->store().redundancy()) {
    for (const std::string& text : redundancy->take_warnings()) out.line("note: " + text);
  }
  TRY(const vault::UnlockedSlot unlocked, unlock(*s.vault, options));
  TRY(s.reader, s.vault->open_reader(unlocked.secret));
  TRY(s.points, s.reader->points());
  if (!options.expect_head.empty()) {
    TRYV(vault::expect_head(s.vault->id(), s.points, options.expect_head));
  }
  for (const vault::PointDefect& d : s.points.defects) out.warn(d.name + ": " + d.reason);
  return s;
}

Result<ReadSession::Chosen> ReadSession::choose(std::string_view text) {
  Chosen chosen;
  TRY(chosen.spec, parse_point_spec(text));
  TRY(chosen.point, select_point(points, chosen.spec));
  TRY(chosen.domain, reader->domain(chosen.point->manifest.domain));
  if (chosen.point->manifest.roots.empty()) {
    return Error{vault::Errc::damaged, "recovery point " + chosen.point->id() + " without a map"};
  }
  chosen.root = chosen.point->manifest.roots[0];
  return chosen;
}

}  // namespace holdfast::cli
