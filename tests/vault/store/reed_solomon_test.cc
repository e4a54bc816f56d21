// Every choice of k rows out of k + m gives all others, for sizes around those that the processor's
// instructions work in.

#include "vault/store/reed_solomon.h"

#include <numeric>

#include "tests/vault/store/striped_stores.h"

namespace holdfast::vault {
namespace {

using testing::for_each_subset;
using testing::random_bytes;

TEST(ReedSolomon, AnyKRowsGiveAllOthers) {
  for (const auto& [k, m] : {std::pair{1u, 1u}, {1u, 3u}, {2u, 1u}, {4u, 2u}, {5u, 3u}, {3u, 3u}}) {
    const ReedSolomon code(k, m);
    for (const size_t size : {size_t{1}, size_t{15}, size_t{16}, size_t{1000}, size_t{65'536}}) {
      std::vector<Bytes> rows;
      for (unsigned i = 0; i < k; ++i) rows.push_back(random_bytes(i + size, size));
      for (unsigned i = 0; i < m; ++i) rows.emplace_back(size);
      std::vector<const uint8_t*> data;
      std::vector<uint8_t*> parity;
      for (unsigned i = 0; i < k; ++i) data.push_back(rows[i].data());
      for (unsigned i = k; i < k + m; ++i) parity.push_back(rows[i].data());
      code.encode(size, data, parity);
      for_each_subset(k + m, k, [&](const std::vector<unsigned>& have) {
        std::vector<const uint8_t*> sources;
        for (const unsigned i : have) sources.push_back(rows[i].data());
        std::vector<unsigned> wanted(k + m);
        std::iota(wanted.begin(), wanted.end(), 0u);
        std::vector<Bytes> rebuilt(k + m, Bytes(size));
        std::vector<uint8_t*> out;
        for (Bytes& b : rebuilt) out.push_back(b.data());
        code.rebuild(size, have, sources, wanted, out);
        ASSERT_EQ(rebuilt, rows);
      });
    }
  }
}

}  // namespace
}  // namespace holdfast::vault
