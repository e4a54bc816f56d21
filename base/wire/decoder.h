// Reads what Encoder wrote, from bytes that nobody vouches for.
//
// A decoder never reads past its end and never trusts a count: the first field that does not fit
// makes it fail, every later read gives zeros or an empty view, and finish() reports the failure.
// So a format is decoded as a straight line of reads with one test at the end; loops over counts
// must still bound the count first (count() does) so that a bad one costs no memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace holdfast::wire {

class Decoder {
 public:
  // `what` names the object in errors; it must outlive the decoder.
  Decoder(ByteView bytes, std::string_view what) : rest_(bytes), what_(what) {}

  uint8_t u8() { return static_cast<uint8_t>(fixed(1)); }
  uint16_t u16() { return static_cast<uint16_t>(fixed(2)); }
  uint32_t u32() { return static_cast<uint32_t>(fixed(4)); }
  uint64_t u64() { return fixed(8); }
  int64_t i64() { return static_cast<int64_t>(fixed(8)); }
  // Fails on more than ten bytes, on overflow of 64 bits, and on a padded (non-shortest) form, so
  // that every value has one encoding.
  uint64_t varint();
  int64_t signed_varint() {
    const uint64_t v = varint();
    return static_cast<int64_t>(v >> 1) ^ -static_cast<int64_t>(v & 1);
  }
  // A varint that must not exceed `max`.
  uint64_t varint_max(uint64_t max);
  // A count of items of at least `item_bytes_min` bytes each: fails unless so many can follow.
  uint64_t count(uint64_t value, size_t item_bytes_min);

  ByteView raw(size_t size);
  template <size_t N>
  ByteArray<N> array() {
    ByteArray<N> out{};
    if (ByteView v = raw(N); v.size() == N) std::memcpy(out.data(), v.data(), N);
    return out;
  }
  // A varint length of at most `size_max`, then the bytes.
  ByteView block(size_t size_max);
  std::string text(size_t size_max) { return std::string(as_text(block(size_max))); }

  // Fails unless exactly these bytes come next.
  void expect(std::string_view literal);
  void fail(std::string_view reason);

  bool ok() const { return ok_; }
  size_t remaining() const { return rest_.size(); }
  ByteView rest() const { return rest_; }

  // The error so far, or that bytes are left over. Errors: Errc::malformed.
  Status finish();
  // The error so far; left-over bytes are allowed. Errors: Errc::malformed.
  Status status() const;

 private:
  uint64_t fixed(size_t width) {
    if (rest_.size() < width) {
      fail("ends too early");
      return 0;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < width; ++i) v |= static_cast<uint64_t>(rest_[i]) << (8 * i);
    rest_ = rest_.subspan(width);
    return v;
  }

  ByteView rest_;
  std::string_view what_;
  bool ok_ = true;
  std::string reason_;
};

}  // namespace holdfast::wire
