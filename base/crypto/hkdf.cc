#include "base/crypto/hkdf.h"

#include <algorithm>

namespace holdfast::crypto {

Key256 hkdf_extract(ByteView salt, ByteView input_key) {
  return Key256(HmacSha256(salt).mac(input_key));
}

void hkdf_expand(const HmacSha256& prk, ByteView info, MutableByteView out) {
  CHECK(out.size() <= 255 * sizeof(Digest));
  Digest block{};
  size_t have = 0;
  for (uint8_t counter = 1; have < out.size(); ++counter) {
    const ByteView previous = counter == 1 ? ByteView{} : ByteView(block);
    block = prk.mac({previous, info, ByteView(&counter, 1)});
    const size_t take = std::min(block.size(), out.size() - have);
    std::memcpy(out.data() + have, block.data(), take);
    have += take;
  }
  OPENSSL_cleanse(block.data(), block.size());
}

Key256 hkdf_expand_key(const HmacSha256& prk, std::initializer_list<ByteView> info) {
  Bytes joined;
  for (ByteView part : info) append(joined, part);
  Key256 out;
  hkdf_expand(prk, joined, out.view());
  return out;
}

}  // namespace holdfast::crypto
