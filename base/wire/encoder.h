// Writes the fixed and variable-length fields that our formats are made of.
// All integers are little-endian. A varint is LEB128: seven bits a byte, least significant first.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace holdfast::wire {

class Encoder {
 public:
  Encoder() = default;
  explicit Encoder(Bytes start) : bytes_(std::move(start)) {}

  void u8(uint8_t v) { bytes_.push_back(v); }
  void u16(uint16_t v) { fixed(v, 2); }
  void u32(uint32_t v) { fixed(v, 4); }
  void u64(uint64_t v) { fixed(v, 8); }
  void i64(int64_t v) { u64(static_cast<uint64_t>(v)); }
  void varint(uint64_t v) {
    while (v >= 0x80) {
      bytes_.push_back(static_cast<uint8_t>(v | 0x80));
      v >>= 7;
    }
    bytes_.push_back(static_cast<uint8_t>(v));
  }
  // Zigzag: small magnitudes of either sign stay short.
  void signed_varint(int64_t v) {
    varint((static_cast<uint64_t>(v) << 1) ^ static_cast<uint64_t>(v >> 63));
  }
  void raw(ByteView bytes) { append(bytes_, bytes); }
  void raw(std::string_view text) { append(bytes_, as_bytes(text)); }
  // A varint length, then the bytes.
  void block(ByteView bytes) {
    varint(bytes.size());
    raw(bytes);
  }
  void block(std::string_view text) { block(as_bytes(text)); }

  size_t size() const { return bytes_.size(); }
  void clear() { bytes_.clear(); }
  ByteView view() const { return bytes_; }
  const Bytes& bytes() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  void fixed(uint64_t v, int width) {
    uint8_t out[8];
    for (int i = 0; i < width; ++i) out[i] = static_cast<uint8_t>(v >> (8 * i));
    bytes_.insert(bytes_.end(), out, out + width);
  }

  Bytes bytes_;
};

}  // namespace holdfast::wire
