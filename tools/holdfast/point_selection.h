// Recovery points as users name them: an id, a unique prefix of one, or latest[:ITEM]; followed,
// where a part of it is meant, by ":/PATH".
#pragma once

#include <string>
#include <string_view>

#include "vault/client/vault.h"

namespace holdfast::cli {

struct PointSpec {
  std::string point;  // id, prefix or "latest"
  std::string item;   // of latest:ITEM
  std::string key;    // path without leading and trailing slashes; empty: everything
};

// Errors: Errc::malformed.
Result<PointSpec> parse_point_spec(std::string_view text);

// Errors: vault::Errc::no_such_point; vault::Errc::ambiguous, naming the candidates.
Result<const vault::RecoveryPoint*> select_point(const vault::PointList& list,
                                                 const PointSpec& spec);

// The name of a point's item, as far as it is known: from the sealed body, or the id.
std::string item_name(const vault::RecoveryPoint& point);

}  // namespace holdfast::cli
