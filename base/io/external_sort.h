// Sorts more records than memory holds: sorted runs in temporary files, merged when read.
//
//   ExternalSorter<Record> sorter(directory, memory_bytes);
//   TRYV(sorter.add(record)); ...
//   TRY(SortedRecords<Record> sorted, sorter.finish());
//   while (...) { TRY(const bool more, sorted.next(record)); if (!more) break; }
//
// Record is trivially copyable and has operator<; equal records stand next to one another. What
// fits the memory never touches the disk. One thread at a time.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/io/spill_file.h"

namespace holdfast::io {

// A sorted sequence, read from the front as often as one likes.
template <class Record>
class SortedRecords {
 public:
  // False behind the last record. Errors: the system's.
  Result<bool> next(Record& out) {
    if (files_.empty()) {
      if (at_ == memory_.size()) return false;
      out = memory_[at_++];
      return true;
    }
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), after);
    Source* source = heap_.back();
    out = source->head();
    ++source->at;
    TRY(const bool more, fill(*source));
    if (more) {
      std::push_heap(heap_.begin(), heap_.end(), after);
    } else {
      heap_.pop_back();
    }
    return true;
  }

  // Starts again at the first record.
  Status rewind() {
    at_ = 0;
    heap_.clear();
    for (const auto& source : files_) {
      source->offset = 0;
      source->at = 0;
      source->buffer.clear();
      TRY(const bool some, fill(*source));
      if (some) heap_.push_back(source.get());
    }
    std::make_heap(heap_.begin(), heap_.end(), after);
    return {};
  }

 private:
  template <class R>
  friend class ExternalSorter;

  static constexpr size_t kReadRecords = std::max<size_t>(1, 256 * 1024 / sizeof(Record));
  struct Source {
    SpillFile file;
    uint64_t offset = 0;
    std::vector<Record> buffer;
    size_t at = 0;
    const Record& head() const { return buffer[at]; }
  };
  static bool after(const Source* a, const Source* b) { return b->head() < a->head(); }

  static Result<bool> fill(Source& s) {
    if (s.at < s.buffer.size()) return true;
    s.buffer.resize(kReadRecords);
    const MutableByteView bytes(reinterpret_cast<uint8_t*>(s.buffer.data()),
                                s.buffer.size() * sizeof(Record));
    TRY(const size_t n, s.file.read(s.offset, bytes));
    CHECK(n % sizeof(Record) == 0);
    s.offset += n;
    s.buffer.resize(n / sizeof(Record));
    s.at = 0;
    return !s.buffer.empty();
  }

  std::vector<Record> memory_;  // everything, if nothing was spilled
  size_t at_ = 0;
  std::vector<std::unique_ptr<Source>> files_;
  std::vector<Source*> heap_;
};

template <class Record>
class ExternalSorter {
  static_assert(std::is_trivially_copyable_v<Record>);

 public:
  // Uses at most about `memory_bytes`, and `directory` for what is more.
  ExternalSorter(std::string directory, size_t memory_bytes)
      : directory_(std::move(directory)),
        records_max_(std::max<size_t>(1024, memory_bytes / sizeof(Record))) {}

  Status add(const Record& record) {
    if (records_.size() == records_max_) TRYV(spill());
    records_.push_back(record);
    ++count_;
    return {};
  }
  uint64_t count() const { return count_; }

  // The sorter is empty afterwards.
  Result<SortedRecords<Record>> finish() {
    SortedRecords<Record> out;
    if (files_.empty()) {
      std::sort(records_.begin(), records_.end());
      out.memory_ = std::move(records_);
    } else {
      TRYV(spill());
      for (SpillFile& file : files_) {
        auto source = std::make_unique<typename SortedRecords<Record>::Source>();
        source->file = std::move(file);
        out.files_.push_back(std::move(source));
      }
    }
    records_ = {};
    files_.clear();
    count_ = 0;
    TRYV(out.rewind());
    return out;
  }

 private:
  Status spill() {
    if (records_.empty()) return {};
    std::sort(records_.begin(), records_.end());
    TRY(SpillFile file, SpillFile::create(directory_));
    TRYV(file.append(ByteView(reinterpret_cast<const uint8_t*>(records_.data()),
                              records_.size() * sizeof(Record))));
    files_.push_back(std::move(file));
    records_.clear();
    return {};
  }

  const std::string directory_;
  const size_t records_max_;
  std::vector<Record> records_;
  std::vector<SpillFile> files_;
  uint64_t count_ = 0;
};

}  // namespace holdfast::io
