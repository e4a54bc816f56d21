#include "base/wire/decoder.h"

namespace holdfast::wire {

uint64_t Decoder::varint() {
  uint64_t v = 0;
  for (size_t i = 0; i < 10; ++i) {
    if (i >= rest_.size()) break;
    const uint8_t byte = rest_[i];
    if (i == 9 && byte > 1) break;
    v |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) {
      if (byte == 0 && i > 0) break;
      rest_ = rest_.subspan(i + 1);
      return v;
    }
  }
  fail("has a bad number");
  return 0;
}

uint64_t Decoder::varint_max(uint64_t max) {
  const uint64_t v = varint();
  if (v <= max) return v;
  fail("has a number out of range");
  return 0;
}

uint64_t Decoder::count(uint64_t value, size_t item_bytes_min) {
  CHECK(item_bytes_min > 0);
  if (value <= rest_.size() / item_bytes_min) return value;
  fail("announces more items than it holds");
  return 0;
}

ByteView Decoder::raw(size_t size) {
  if (rest_.size() < size) {
    fail("ends too early");
    return {};
  }
  const ByteView out = rest_.first(size);
  rest_ = rest_.subspan(size);
  return out;
}

ByteView Decoder::block(size_t size_max) {
  const uint64_t size = varint();
  if (size > size_max) {
    fail("has a field that is too long");
    return {};
  }
  return raw(static_cast<size_t>(size));
}

void Decoder::expect(std::string_view literal) {
  const ByteView got = raw(literal.size());
  if (!equal(got, as_bytes(literal))) fail("does not start as it should");
}

void Decoder::fail(std::string_view reason) {
  if (!ok_) return;
  ok_ = false;
  reason_ = reason;
  rest_ = {};
}

Status Decoder::status() const {
  if (ok_) return {};
  return Error{Errc::malformed, std::string(what_) + " " + reason_};
}

Status Decoder::finish() {
  if (ok_ && !rest_.empty()) fail("has bytes left over");
  return status();
}

}  // namespace holdfast::wire
