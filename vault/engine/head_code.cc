#include "vault/engine/head_code.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "base/wire/encoder.h"
#include "vault/errc.h"

namespace holdfast::vault {
namespace {

constexpr std::string_view kInfo = "holdfast v1 head";
// A listing beside two commits may see the later one alone.
constexpr io::TimeNs kTogetherNs = io::TimeNs{5} * 60 * 1'000'000'000;
constexpr size_t kTogetherMax = 32;

struct Head {
  uint64_t sequence = 0;
  crypto::Digest sha256{};
};

struct State {
  std::map<ItemId, Head> items;
  Head audit;

  std::string digits(const VaultId& vault) const {
    wire::Encoder out;
    out.raw(kInfo);
    out.raw(vault.view());
    out.u64(audit.sequence);
    out.raw(audit.sha256);
    for (const auto& [item, head] : items) {
      if (head.sequence == 0) continue;
      out.raw(item.view());
      out.u64(head.sequence);
      out.raw(head.sha256);
    }
    return to_hex(crypto::sha256(out.view()));
  }
};

// A step from one state to the next: a point, or, with no item, an audit entry.
struct Step {
  io::TimeNs stored_ns = 0;
  const ItemId* item = nullptr;
  Head before;
  Head after;

  Head& of(State& state) const { return item == nullptr ? state.audit : state.items[*item]; }
  bool is_of(const Step& other) const {
    return item == nullptr ? other.item == nullptr : other.item != nullptr && *item == *other.item;
  }
};

// In the order of arrival; within an item in that of numbers.
std::vector<Step> steps_of(const PointList& list, const std::vector<AuditHead>& audit,
                           State& first) {
  std::vector<Step> steps;
  const auto add = [&](io::TimeNs stored_ns, const ItemId* item, const Head& before,
                       const Head& after) {
    // An item's points came in order, whatever the store's clock did.
    if (!steps.empty()) {
      Step probe;
      probe.item = item;
      if (steps.back().is_of(probe)) stored_ns = std::max(stored_ns, steps.back().stored_ns);
    }
    steps.push_back({stored_ns, item, before, after});
  };
  Head last;
  const ItemId* item = nullptr;
  for (const RecoveryPoint& p : list.points) {
    const Manifest& m = p.manifest;
    if (item == nullptr || *item != m.item()) {
      // What came before its first point expired; that point names it.
      last = {m.previous_sequence, m.previous_sha256};
      if (last.sequence != 0) first.items[m.item()] = last;
    }
    item = &m.item();
    const Head now{m.sequence, p.sha256};
    add(p.stored_ns, item, last, now);
    last = now;
  }
  last = {};
  for (const AuditHead& a : audit) {
    const Head now{a.sequence, a.sha256};
    add(a.stored_ns, nullptr, last, now);
    last = now;
  }
  std::stable_sort(steps.begin(), steps.end(),
                   [](const Step& a, const Step& b) { return a.stored_ns < b.stored_ns; });
  return steps;
}

Result<std::string> normalized(std::string_view code) {
  std::string out;
  for (const char c : code) {
    if (c == '-' || c == ' ') continue;
    const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (std::string_view("0123456789abcdef").find(lower) == std::string_view::npos) {
      out.clear();
      break;
    }
    out.push_back(lower);
  }
  if (out.size() >= kHeadCodeDigitsMin && out.size() <= 2 * sizeof(crypto::Digest)) return out;
  return Error{holdfast::Errc::malformed,
               "'" + std::string(code) + "' is no head code: give at least " +
                   std::to_string(kHeadCodeDigitsMin) +
                   " of the hexadecimal digits that 'holdfast points' shows as head"};
}

}  // namespace

std::string head_code(const VaultId& vault, const PointList& list,
                      const std::vector<AuditHead>& audit) {
  State state;
  for (const RecoveryPoint& p : list.points) {
    Head& head = state.items[p.manifest.item()];
    if (p.manifest.sequence > head.sequence) head = {p.manifest.sequence, p.sha256};
  }
  if (!audit.empty()) state.audit = {audit.back().sequence, audit.back().sha256};
  return state.digits(vault).substr(0, kHeadCodeDigits);
}

Status expect_head(const VaultId& vault, const PointList& list, std::string_view code,
                   const std::vector<AuditHead>& audit) {
  TRY(const std::string wanted, normalized(code));
  State state;
  const auto steps = steps_of(list, audit, state);
  const auto matches = [&] { return state.digits(vault).starts_with(wanted); };
  if (matches()) return {};
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    step.of(state) = step.after;
    if (matches()) return {};
    // The same without one that came shortly before.
    for (size_t back = 1; back <= std::min(i, kTogetherMax); ++back) {
      const Step& other = steps[i - back];
      if (step.stored_ns - other.stored_ns > kTogetherNs) break;
      Head& head = other.of(state);
      if (other.is_of(step) || head.sequence != other.after.sequence) continue;
      head = other.before;
      const bool found = matches();
      other.of(state) = other.after;
      if (found) return {};
    }
  }
  return Error{
      Errc::rolled_back,
      "the vault has not grown out of the state with head " + wanted +
          ": it is older, or another, or points that were the newest then are gone. Its "
          "head now is " +
          head_code(vault, list, audit) +
          " ('holdfast points' lists what it has; other copies of the vault may be newer)"};
}

}  // namespace holdfast::vault
