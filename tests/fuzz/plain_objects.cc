// Objects, names and small structures without a signature. The digest that ends some of them keeps
// out accidents only, so it is made right.
#include "base/check.h"
#include "tests/fuzz/target.h"
#include "vault/format/digest.h"
#include "vault/format/geo.h"
#include "vault/format/object_names.h"
#include "vault/format/point_body.h"
#include "vault/format/session.h"
#include "vault/format/slot.h"
#include "vault/seal/agent_keys.h"

namespace holdfast::fuzz {
namespace {

template <typename Object>
void expect_canonical(const Result<Object>& object, ByteView bytes) {
  if (object.ok()) CHECK(equal(object->encode(), bytes));
}

void try_names(ByteView bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (const auto id = vault::parse_pack_name(text); id.ok()) CHECK(vault::pack_name(*id) == text);
  if (const auto n = vault::parse_roster_name(text); n.ok()) CHECK(vault::roster_name(*n) == text);
  if (const auto p = vault::parse_point_name(text); p.ok()) {
    CHECK(vault::point_name(p->item, p->sequence) == text);
  }
  (void)vault::parse_session_name(text);
  (void)vault::parse_collection_name(text);
  if (const auto n = vault::parse_geo_sync_name(text); n.ok()) {
    CHECK(vault::geo_sync_name(*n) == text);
  }
}

}  // namespace

void run(ByteView input) {
  if (input.empty()) return;
  const ByteView bytes = input.subspan(1);
  const auto digested = [&] {
    const size_t n = bytes.size() < 32 ? 0 : bytes.size() - 32;
    return vault::with_digest(to_bytes(bytes.first(n)));
  };
  switch (input[0] % 7) {
    case 0: {
      const Bytes object = digested();
      expect_canonical(vault::decode_slot(object), object);
      break;
    }
    case 1:
      expect_canonical(vault::decode_point_body(bytes), bytes);
      break;
    case 2:
      (void)vault::decode_agent_keys(bytes);
      break;
    case 3: {
      const Bytes object = digested();
      expect_canonical(vault::decode_geo_replica(object), object);
      break;
    }
    case 4: {
      const Bytes object = digested();
      expect_canonical(vault::decode_geo_promoted(object), object);
      break;
    }
    case 5: {
      const Bytes object = digested();
      expect_canonical(vault::decode_geo_sync(object), object);
      break;
    }
    default:
      try_names(bytes);
  }
}

std::vector<Bytes> seeds(const Vectors& vectors) {
  std::vector<Bytes> out;
  add_seeds(vectors, "object.keys/", 0, out);
  for (const char* body : {"point1.body", "point2.body"}) {
    if (const auto it = vectors.find(body); it != vectors.end()) {
      Bytes seed{1};
      seed.insert(seed.end(), it->second.begin(), it->second.end());
      out.push_back(std::move(seed));
    }
  }
  add_seeds(vectors, "keys.credential", 2, out);
  const vault::VaultId vault;
  const auto add = [&](uint8_t selector, const Bytes& object) {
    Bytes seed{selector};
    seed.insert(seed.end(), object.begin(), object.end());
    out.push_back(std::move(seed));
  };
  add(3, vault::GeoReplica{vault, 1, "/srv/vault"}.encode());
  add(4, vault::GeoPromoted{vault, 2, 3}.encode());
  add(5, vault::GeoSync{vault, 1, 2, 3, 4, 5, 6, 7}.encode());
  for (const auto& [name, value] : vectors) {
    if (!name.starts_with("object.")) continue;
    Bytes seed{6};
    seed.insert(seed.end(), name.begin() + 7, name.end());
    out.push_back(std::move(seed));
  }
  return out;
}

}  // namespace holdfast::fuzz
