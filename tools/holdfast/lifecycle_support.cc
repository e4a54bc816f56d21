#include "tools/holdfast/lifecycle_support.h"

#include "base/units.h"
#include "vault/errc.h"

namespace holdfast::cli {

Result<LifecycleSession> LifecycleSession::open(const GlobalOptions& options, Key key) {
  LifecycleSession s;
  TRY(s.vault, open_vault(options));
  if (key == Key::required || (key == Key::if_given && has_passphrase(options))) {
    TRY(s.unlocked, unlock(*s.vault, options));
    TRY(s.reader, s.vault->open_reader(s.unlocked->secret));
    TRY(const vault::PointList list, s.reader->points());
    for (const vault::RecoveryPoint& p : list.points) {
      if (p.body) s.names[p.manifest.item()] = p.body->item_name;
    }
  }
  TRY(vault::Lifecycle lifecycle, vault::Lifecycle::open(*s.vault));
  s.lifecycle.emplace(std::move(lifecycle));
  const auto keys = s.vault->state().load_credential(s.vault->id());
  if (keys.ok() && keys->has_value()) {
    s.names.try_emplace((*keys)->item_id(machine_name()), machine_name());
  }
  return s;
}

std::string LifecycleSession::item_name(const vault::ItemId& item) const {
  const auto it = names.find(item);
  return it == names.end() ? item.hex() : it->second;
}

Result<vault::ItemId> LifecycleSession::item(const std::string& text) const {
  if (auto id = vault::ItemId::parse(text); id.ok()) return id;
  std::vector<vault::ItemId> found;
  for (const auto& [id, name] : names) {
    if (name == text) found.push_back(id);
  }
  if (found.empty()) {
    // An item of this machine, by the name that it gave.
    const auto keys = vault->state().load_credential(vault->id());
    if (keys.ok() && keys->has_value()) {
      const vault::ItemId own = (*keys)->item_id(text);
      for (const vault::RecoveryPoint& p : lifecycle->points().points) {
        if (p.manifest.item() == own) return own;
      }
    }
    return Error{Errc::malformed, "there is no item '" + text +
                                      "' that this machine can tell; give its id ('holdfast "
                                      "points' shows them) or the passphrase"};
  }
  if (found.size() > 1) {
    return Error{Errc::malformed, "several items are called '" + text + "'; give the id, " +
                                      found[0].hex() + " or " + found[1].hex()};
  }
  return found[0];
}

int report(Output& out, const Result<vault::Lifecycle::Changed>& changed, const std::string& done) {
  if (!changed.ok()) return out.fail(changed.error());
  if (changed->needs_approval) {
    out.warn(
        "this vault demands a second person's approval; nothing has changed yet: an approver "
        "runs 'holdfast vault approve " +
        std::to_string(changed->entry) + "' within 14 days");
    return out.finish({{"request", changed->entry}, {"entry", changed->entry}});
  }
  out.line(done);
  return out.finish({{"entry", changed->entry}});
}

int change(Output& out, LifecycleSession& session, std::vector<vault::Action> actions,
           const std::string& done) {
  return report(out, session.lifecycle->change(session.unlocked->secret, std::move(actions)), done);
}

namespace {

struct Unit {
  char letter;
  uint64_t seconds;
};
constexpr Unit kUnits[] = {{'y', 365 * 86'400}, {'w', 7 * 86'400}, {'d', 86'400},
                           {'h', 3600},         {'m', 60},         {'s', 1}};

}  // namespace

Result<uint64_t> parse_span(std::string_view text) {
  uint64_t n = 0;
  size_t digits = 0;
  while (digits < text.size() && digits < 9 && text[digits] >= '0' && text[digits] <= '9') {
    n = n * 10 + static_cast<uint64_t>(text[digits++] - '0');
  }
  std::string_view unit = text.substr(digits);
  if (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  constexpr uint64_t kMax = uint64_t{200} * 365 * 86'400;
  for (const Unit& u : kUnits) {
    if (digits == 0 || unit.size() != 1 || unit.front() != u.letter) continue;
    if (n > kMax / u.seconds) break;
    return n * u.seconds;
  }
  return Error{Errc::malformed, "'" + std::string(text) +
                                    "' is no span of time; write 12h, 30d, 8w or 2y (m is a "
                                    "minute), at most 200y"};
}

std::string format_span(uint64_t seconds) {
  for (const Unit& u : kUnits) {
    if (seconds != 0 && seconds % u.seconds == 0) {
      return std::to_string(seconds / u.seconds) + u.letter;
    }
  }
  return "0s";
}

}  // namespace holdfast::cli
