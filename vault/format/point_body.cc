#include "vault/format/point_body.h"

#include <algorithm>

#include "base/wire/decoder.h"
#include "base/wire/encoder.h"

namespace holdfast::vault {
namespace {

constexpr size_t kPathMax = 4 * 1024 * 1024;
constexpr size_t kTextMax = 64 * 1024;
constexpr size_t kProblemBytesMax = 8 * 1024 * 1024;
constexpr uint8_t kBodyVersion = 1;

}  // namespace

Bytes PointBody::encode() const {
  wire::Encoder out;
  out.u8(kBodyVersion);
  out.block(item_name);
  out.block(host);
  out.varint(paths.size());
  CHECK(item_name.size() <= kTextMax && host.size() <= kTextMax);
  for (const auto& p : paths) out.block(p);
  out.i64(started_ns);
  out.i64(finished_ns);
  for (const uint64_t n : {files, directories, others, bytes, new_bytes, stored_bytes}) {
    out.varint(n);
  }
  out.block(program);
  out.block(source);
  out.varint(problem_count);
  // As many as fit: paths may be megabytes long.
  wire::Encoder listed;
  size_t kept = 0;
  while (kept < std::min(problems.size(), kPointProblemsMax) &&
         listed.size() + problems[kept].path.size() + kTextMax < kProblemBytesMax) {
    listed.block(problems[kept].path);
    listed.block(std::string_view(problems[kept].reason).substr(0, kTextMax));
    ++kept;
  }
  out.varint(kept);
  out.raw(listed.view());
  return out.take();
}

Result<PointBody> decode_point_body(ByteView bytes) {
  wire::Decoder in(bytes, "recovery point body");
  PointBody b;
  if (in.u8() != kBodyVersion) in.fail("is of an unknown version");
  b.item_name = in.text(kTextMax);
  b.host = in.text(kTextMax);
  const uint64_t paths = in.count(in.varint(), 1);
  for (uint64_t i = 0; i < paths && in.ok(); ++i) b.paths.push_back(in.text(kPathMax));
  b.started_ns = in.i64();
  b.finished_ns = in.i64();
  for (uint64_t* n :
       {&b.files, &b.directories, &b.others, &b.bytes, &b.new_bytes, &b.stored_bytes}) {
    *n = in.varint();
  }
  b.program = in.text(kTextMax);
  b.source = in.text(kTextMax);
  b.problem_count = in.varint();
  const uint64_t problems = in.count(in.varint_max(kPointProblemsMax), 2);
  for (uint64_t i = 0; i < problems && in.ok(); ++i) {
    PointProblem p;
    p.path = in.text(kPathMax);
    p.reason = in.text(kTextMax);
    b.problems.push_back(std::move(p));
  }
  TRYV(in.finish());
  return b;
}

}  // namespace holdfast::vault
