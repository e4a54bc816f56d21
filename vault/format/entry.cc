#include "vault/format/entry.h"

#include <algorithm>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"

namespace holdfast::vault {

int compare_keys(std::string_view a, std::string_view b) {
  const size_t n = std::min(a.size(), b.size());
  const auto [x, y] = std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(n), b.begin());
  if (x == a.begin() + static_cast<ptrdiff_t>(n)) {
    return a.size() < b.size() ? -1 : a.size() > b.size() ? 1 : 0;
  }
  // No name contains a zero byte, so '/' may take its place.
  const auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<uint8_t>(c)); };
  return rank(*x) - rank(*y);
}

bool is_within(std::string_view key, std::string_view directory) {
  if (directory.empty()) return true;
  return key.starts_with(directory) &&
         (key.size() == directory.size() || key[directory.size()] == '/');
}

bool is_valid_key(std::string_view key) {
  if (key.empty()) return true;
  if (key.find('\0') != std::string_view::npos) return false;
  for (size_t begin = 0; begin <= key.size();) {
    size_t end = key.find('/', begin);
    if (end == std::string_view::npos) end = key.size();
    const std::string_view part = key.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

Bytes encode_xattrs(const std::vector<Xattr>& xattrs) {
  wire::Encoder out;
  out.varint(xattrs.size());
  for (const Xattr& x : xattrs) {
    out.block(x.name);
    out.block(x.value);
  }
  return out.take();
}

Result<std::vector<Xattr>> decode_xattrs(ByteView bytes) {
  wire::Decoder in(bytes, "extended attributes");
  std::vector<Xattr> out;
  const uint64_t n = in.count(in.varint(), 2);
  for (uint64_t i = 0; i < n && in.ok(); ++i) {
    Xattr x;
    x.name = in.text(255);
    if (x.name.empty() || (!out.empty() && x.name <= out.back().name)) in.fail("are out of order");
    x.value = to_bytes(in.block(kChunkBytesMax));
    out.push_back(std::move(x));
  }
  TRYV(in.finish());
  return out;
}

}  // namespace holdfast::vault
