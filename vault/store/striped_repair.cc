// The half of StripedStore that looks after lost parts: Redundancy.

#include <algorithm>

#include "vault/errc.h"
#include "vault/store/removal_record.h"
#include "vault/store/striped_store.h"

namespace holdfast::vault {
namespace {

constexpr size_t kRecordBytesMax = 4096;

}  // namespace

std::vector<PlaceStatus> StripedStore::places() const {
  std::vector<PlaceStatus> out;
  for (unsigned i = 0; i < disks_.size(); ++i) {
    const Disk& d = disks_[i];
    PlaceStatus place{i, d.path, disks_.is_present(i), d.filling, d.moved, d.why_missing};
    if (!place.present && place.why.empty()) place.why = "it is gone";
    out.push_back(std::move(place));
  }
  return out;
}

Result<std::vector<std::string>> StripedStore::part_names() {
  TRY(const auto files, list_files(""));
  std::vector<std::string> out;
  out.reserve(files.size());
  for (const auto& [name, disks] : files) out.push_back(name);
  return out;
}

StripedStore::PartCheck StripedStore::check_part(StripedObject& object, const Examination& ex,
                                                 unsigned disk, unsigned shard, const Pace& pace,
                                                 PartsReport& report, Status& status) {
  PartCheck check;
  check.disk = disk;
  check.shard = shard;
  const Examination::Part& part = ex.parts[disk];
  const std::string what =
      (object.is_copies() ? "copy" : "shard " + std::to_string(shard)) + " in " + disks_[disk].path;
  if (!part.disk_present || !disks_.is_present(disk)) {
    ++report.parts_elsewhere;
    return check;
  }
  const bool header_good = part.state == Examination::State::good;
  const bool is_there =
      header_good || part.state == Examination::State::damaged || !part.why.empty();
  if (!is_there) {
    ++report.parts_missing;
    report.faults.push_back(what + " is missing");
    check.lost = true;
    return check;
  }
  auto verdict = parts_.verify_part(object, disk, shard, pace, report.bytes_read);
  if (!verdict.ok()) {
    const Error& error = verdict.error();
    if (error.code == holdfast::Errc::interrupted) {
      status = error;
      return check;
    }
    check.lost = true;
    (is_verdict(error) ? report.faults : report.unread).push_back(what + ": " + error.message());
    return check;
  }
  check.good = std::move(verdict->good);
  const auto bad = std::count(check.good.begin(), check.good.end(), false);
  if (bad > 0) {
    const auto first = std::find(check.good.begin(), check.good.end(), false) - check.good.begin();
    report.faults.push_back(
        what + ": " + std::to_string(bad) + " of " + std::to_string(check.good.size()) +
        " blocks do not have their hash, the first is " + std::to_string(first));
  } else if (!header_good) {
    const bool damaged = part.state == Examination::State::damaged;
    (damaged ? report.faults : report.unread).push_back(what + ": " + part.why);
  } else if (!verdict->file_fault.empty()) {
    report.faults.push_back(what + ": " + verdict->file_fault);
  }
  check.whole = bad == 0 && header_good && verdict->file_fault.empty();
  check.lost = !check.whole;
  return check;
}

Result<PartsReport> StripedStore::look(const std::string& name, const Pace& pace, Examination& ex,
                                       std::vector<PartCheck>& checks) {
  PartsReport report;
  ex = parts_.examine(name, ObjectParts::Depth::all);
  if (ex.object == nullptr) {
    report.readable = false;
    if (is_absent(*ex.error)) {
      report.is_object = false;
    } else if (is_verdict(*ex.error)) {
      report.faults.push_back(ex.error->message());
    } else {
      report.unread.push_back(ex.error->message());
    }
    return report;
  }
  StripedObject& object = *ex.object;
  Status status;
  const auto check = [&](unsigned disk, unsigned shard) {
    checks.push_back(check_part(object, ex, disk, shard, pace, report, status));
    report.parts_good += checks.back().whole ? 1 : 0;
  };
  const auto is_of_other_object = [&](unsigned disk) {
    const Examination::Part& part = ex.parts[disk];
    return part.state == Examination::State::good &&
           std::find(object.disks.begin(), object.disks.end(), disk) == object.disks.end();
  };
  if (object.is_copies()) {
    report.parts_wanted = parts_.copies_wanted();
    std::vector<unsigned> free;
    for (unsigned step = 0; step < disks_.size() && status.ok(); ++step) {
      const unsigned disk = parts_.disk_of(name, step);
      const Examination::Part& part = ex.parts[disk];
      if (is_of_other_object(disk)) continue;
      const bool is_there = part.state == Examination::State::good ||
                            part.state == Examination::State::damaged || !part.why.empty();
      if (is_there) {
        check(disk, 0);
      } else if (part.disk_present) {
        free.push_back(disk);
      }
    }
    for (const unsigned disk : free) {
      if (checks.size() >= report.parts_wanted) break;
      check(disk, 0);
    }
    if (checks.size() < report.parts_wanted) {
      report.parts_elsewhere += report.parts_wanted - static_cast<unsigned>(checks.size());
    }
    report.parts_good = std::min(report.parts_good, report.parts_wanted);
  } else {
    report.parts_wanted = disks_.size();
    for (unsigned i = 0; i < disks_.size() && status.ok(); ++i) {
      const unsigned disk = parts_.disk_of(name, i);
      if (!is_of_other_object(disk)) check(disk, i);
    }
  }
  TRYV(status);
  if (ex.others) {
    for (unsigned d = 0; d < disks_.size(); ++d) {
      if (is_of_other_object(d) &&
          std::find(ex.removed.begin(), ex.removed.end(), ex.parts[d].object) == ex.removed.end()) {
        report.faults.push_back("in " + disks_[d].path +
                                " another object has its name: of a put "
                                "that was cut off; it is left alone");
      }
    }
  }
  const unsigned needed = object.is_copies() ? 1 : parts_.data_shards();
  for (uint64_t b = 0; b < object.header.blocks() && report.readable; ++b) {
    const auto have = std::count_if(checks.begin(), checks.end(), [&](const PartCheck& c) {
      return b < c.good.size() && c.good[b];
    });
    report.readable = have >= static_cast<ptrdiff_t>(needed);
  }
  return report;
}

Result<PartsReport> StripedStore::verify_parts(const std::string& name, const Pace& pace) {
  Examination ex;
  std::vector<PartCheck> checks;
  return look(name, pace, ex, checks);
}

Status StripedStore::rebuild_part(StripedObject& object, const PartCheck& check, const Pace& pace) {
  ShardHeader header = object.header;
  header.index = static_cast<uint8_t>(check.shard);
  header.stored_ns = object.stored_ns;
  Buffer data(header.shard_bytes());
  Bytes table;
  if (pace && !pace(data.size() * (object.is_copies() ? 1 : parts_.data_shards()))) {
    return Error{holdfast::Errc::interrupted, ""};
  }
  TRYV(parts_.read_shard(object, check.shard, 0, data.view()));
  for (uint64_t b = 0; b < header.blocks(); ++b) {
    const ByteView block = data.view().subspan(b * kStripeBlockBytes, header.block_bytes(b));
    append(table, crypto::sha256(block));
  }
  // What was computed is held against what the object's headers say, or it is not written.
  if (crypto::sha256(table) != header.tables[object.is_copies() ? 0 : check.shard]) {
    return Error{Errc::damaged, "object " + object.name + ": what was rebuilt is not right"};
  }
  const Bytes encoded = header.encode();
  const ByteView file[] = {encoded, table, data.view()};
  Status put = put_part(check.disk, object.name, file, false);
  if (!put.ok()) return std::move(put).error().in("directory " + disks_[check.disk].path);
  return {};
}

Result<PartsReport> StripedStore::repair_parts(const std::string& name, bool dry_run,
                                               const Pace& pace) {
  Examination ex;
  std::vector<PartCheck> checks;
  TRY(PartsReport report, look(name, pace, ex, checks));
  if (ex.object == nullptr || !report.readable) return report;
  std::vector<unsigned> rebuilt_on;
  for (const PartCheck& check : checks) {
    if (!check.lost) continue;
    if (!dry_run) {
      const Status rebuilt = rebuild_part(*ex.object, check, pace);
      if (!rebuilt.ok() && rebuilt.error().code == holdfast::Errc::interrupted) {
        return rebuilt.error();
      }
      if (!rebuilt.ok()) {
        report.faults.push_back("cannot rebuild it: " + rebuilt.error().message());
        continue;
      }
    }
    ++report.parts_rebuilt;
    rebuilt_on.push_back(check.disk);
  }
  forget(name);
  if (!dry_run && !rebuilt_on.empty()) TRYV(undo_if_removed(*ex.object, rebuilt_on));
  return report;
}

// The object may have been removed while its parts were made again. Then only these are left, and
// go too; see remove().
Status StripedStore::undo_if_removed(const StripedObject& object,
                                     const std::vector<unsigned>& rebuilt_on) {
  const Examination ex = parts_.examine(object.name, ObjectParts::Depth::all);
  const crypto::Digest id = object.header.object_id();
  for (unsigned d = 0; d < disks_.size(); ++d) {
    const bool ours = std::find(rebuilt_on.begin(), rebuilt_on.end(), d) != rebuilt_on.end();
    const Examination::Part& part = ex.parts[d];
    const bool here = part.state == Examination::State::good && part.object == id;
    const bool unclear = !part.disk_present || !part.why.empty();
    if (!ours && (here || unclear)) return {};
  }
  // Where every part had to be made again there is no other to be seen.
  if (rebuilt_on.size() >= object.disks.size() && !object.disks.empty() &&
      std::all_of(object.disks.begin(), object.disks.end(), [&](unsigned d) {
        return std::find(rebuilt_on.begin(), rebuilt_on.end(), d) != rebuilt_on.end();
      })) {
    return {};
  }
  for (const unsigned d : rebuilt_on) TRYV(disks_[d].store->remove(object.name));
  return {};
}

Result<PlaceStatus> StripedStore::replace_missing(const std::string& path) {
  std::optional<unsigned> number;
  for (unsigned i = 0; i < disks_.size(); ++i) {
    if (disks_[i].store != nullptr) {
      if (disks_[i].path == path) return errno_error(EEXIST, path + " is one of the directories");
      continue;
    }
    if (!number || disks_[i].path == path) number = i;
  }
  if (!number) {
    return errno_error(EINVAL, "no directory of the vault at " + location_ + " is missing");
  }
  TRYV(disks_.replace(*number, path));
  return places()[*number];
}

// --- What was removed while directories were missing ---

Status StripedStore::record_removal(const std::string& name, const crypto::Digest& object) {
  const RemovalRecord record{disks_.layout().set, object, fs_.now_ns(), name};
  const Bytes bytes = record.encode();
  unsigned put = 0;
  std::optional<Error> failed;
  for (unsigned d = 0; d < disks_.size(); ++d) {
    const ByteView part = bytes;
    if (!disks_.is_present(d)) continue;
    const Status done = put_part(d, ObjectParts::removal_name(name, object), {&part, 1}, false);
    if (done.ok()) {
      ++put;
    } else {
      failed = done.error();
    }
  }
  // So many that one is left after any loss that the vault survives, as far as there are.
  const unsigned wanted = std::min(parts_.copies_wanted(), parts_.data_shards());
  if (put >= wanted) return {};
  if (failed) return std::move(*failed).in("object " + name + " cannot be recorded as removed");
  return Error{
      std::make_error_code(std::errc::no_such_device),
      "object " + name + " cannot be recorded as removed: too many directories are missing"};
}

Status StripedStore::apply_removals() {
  std::set<std::string> done;
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (!disks_.is_present(d)) return {};  // it may have what was removed
  }
  for (unsigned d = 0; d < disks_.size(); ++d) {
    TRY(const auto records, disks_[d].store->list(std::string(kRemovedPrefix)));
    for (const ObjectInfo& info : records) {
      if (!done.insert(info.name).second) continue;
      TRY(const Bytes bytes, disks_[d].store->get(info.name, kRecordBytesMax));
      const auto record = decode_removal_record(bytes);
      if (!record.ok() || record->set != disks_.layout().set ||
          ObjectParts::removal_name(record->name, record->object) != info.name) {
        done.erase(info.name);  // another directory may have it whole
        continue;
      }
      const Examination ex = parts_.examine(record->name, ObjectParts::Depth::all);
      for (unsigned other = 0; other < disks_.size(); ++other) {
        const Examination::Part& part = ex.parts[other];
        if (part.state == Examination::State::unknown && !part.why.empty()) {
          return Error{std::make_error_code(std::errc::io_error), part.why};
        }
        if (part.state == Examination::State::good && part.object == record->object) {
          TRYV(disks_[other].store->remove(record->name));
        }
      }
    }
  }
  for (const std::string& name : done) {
    for (unsigned d = 0; d < disks_.size(); ++d) TRYV(disks_[d].store->remove(name));
  }
  return {};
}

Status StripedStore::finish_repair() {
  TRYV(apply_removals());
  return disks_.settle();
}

// --- Reserved space: each directory has its share ---

Status StripedStore::set_reserve(std::optional<uint64_t> bytes) {
  if (bytes) bytes = (*bytes + parts_.data_shards() - 1) / parts_.data_shards();
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (disks_.is_present(d)) TRYV(disks_[d].store->set_reserve(bytes));
  }
  return {};
}

Result<uint64_t> StripedStore::release_reserve() {
  uint64_t freed = 0;
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (!disks_.is_present(d)) continue;
    TRY(const uint64_t here, disks_[d].store->release_reserve());
    freed += here;
  }
  return freed;
}

Status StripedStore::restore_reserve() {
  for (unsigned d = 0; d < disks_.size(); ++d) {
    if (disks_.is_present(d)) TRYV(disks_[d].store->restore_reserve());
  }
  return {};
}

}  // namespace holdfast::vault
