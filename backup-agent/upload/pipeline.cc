#include "backup-agent/upload/pipeline.h"

#include <algorithm>

namespace holdfast::backup_agent {
namespace {

constexpr size_t kWindowBlocks = 128;
constexpr size_t kReadUnits = 64;
constexpr size_t kBuffersPerThread = 3;
// Less than this of a churn class shares a segment with others.
constexpr size_t kClassBytesMin = 128 * 1024;

unsigned processors() {
  return std::max(1u, std::thread::hardware_concurrency());
}

PipelineOptions with_defaults(PipelineOptions options) {
  if (options.chunkers == 0) options.chunkers = processors();
  options.readers = std::max(1u, options.readers);
  return options;
}

}  // namespace

Pipeline::Pipeline(vault::Session& session, CacheSet& cache, CacheWriter* writer,
                   BackupProgress& progress, PipelineOptions options)
    : state_(session, progress),
      options_(with_defaults(options)),
      cache_(cache),
      nodes_(session, &cache),
      window_(kWindowBlocks),
      buffers_((options_.readers + options_.chunkers) * kBuffersPerThread),
      reads_(kReadUnits),
      batches_((options_.readers + options_.chunkers) * kBuffersPerThread),
      sequencer_(state_, nodes_, window_, writer) {
  session.domain().gear_table(gear_);
  if (options_.read_bytes_per_second != 0) {
    limiter_ = std::make_unique<io::RateLimiter>(options_.read_bytes_per_second);
  }
}

Pipeline::~Pipeline() = default;

void Pipeline::start() {
  for (unsigned i = 0; i < options_.chunkers; ++i) {
    chunkers_.push_back(std::make_unique<Chunker>(state_, buffers_, batches_));
    chunker_threads_.emplace_back([chunker = chunkers_.back().get()] { chunker->run(); });
  }
  for (unsigned i = 0; i < options_.readers; ++i) {
    reader_threads_.emplace_back([this] {
      FileReader reader({state_, nodes_, cache_, buffers_, batches_, gear_, limiter_.get()});
      while (auto unit = reads_.pop()) reader.read(*unit);
    });
  }
  sequencer_thread_ = std::thread([this] { sequencer_.run(); });
}

void Pipeline::cancel_waits() {
  window_.cancel();
  buffers_.cancel();
  reads_.cancel();
  if (limiter_) limiter_->stop();
  state_.session().stop_waiting();
}

Result<PipelineResult> Pipeline::run(Scanner& scanner, PlannerOptions planner_options,
                                     std::stop_token stop) {
  const std::stop_callback on_failure(state_.stop_token(), [this] { cancel_waits(); });
  const std::stop_callback on_stop(stop, [this] { state_.fail(Error{Errc::interrupted, ""}); });
  start();
  Planner planner({state_, cache_, nodes_, window_, reads_, sequencer_}, planner_options);
  Status scanned = scanner.scan(planner, state_.stop_token());
  if (scanned.ok()) scanned = planner.finish();
  state_.progress().scan_finished = true;
  cache_.finish();
  auto result = end(std::move(scanned));
  if (result.ok()) result->left_out = planner.left_out_entries();
  return result;
}

Result<PipelineResult> Pipeline::run_stream(const vault::PathEntry& entry, int fd,
                                            std::stop_token stop) {
  const std::stop_callback on_failure(state_.stop_token(), [this] { cancel_waits(); });
  const std::stop_callback on_stop(stop, [this] { state_.fail(Error{Errc::interrupted, ""}); });
  start();
  auto block = std::make_shared<EntryBlock>();
  block->entries.push_back({entry.key, entry.entry, {}, false, 0, 0, std::nullopt});
  ScannedEntry source;
  source.key = entry.key;
  auto job = std::make_shared<FileJob>(block, 0, std::move(source), window_, nodes_, state_,
                                       sequencer_, kLongLived);
  window_.push(std::move(block));
  FileReader reader({state_, nodes_, cache_, buffers_, batches_, gear_, limiter_.get()});
  Status read;
  if (!reader.read_stream(job, fd)) {
    // A stream cut short is no point at all: there is nothing to come back to.
    read = state_.status();
    if (read.ok()) read = Error{std::make_error_code(std::errc::io_error), "standard input"};
  }
  job.reset();
  return end(std::move(read));
}

Result<PipelineResult> Pipeline::end(Status first_stage) {
  if (!first_stage.ok()) state_.fail(first_stage.error());
  reads_.close();
  for (std::thread& t : reader_threads_) t.join();
  batches_.close();
  for (std::thread& t : chunker_threads_) t.join();
  window_.close();
  sequencer_thread_.join();
  if (state_.failed()) {
    // The session may still keep what was stored, for the next backup to go on from.
    sequencer_.flush_cache();
    (void)store_rest();
    return state_.status().error();
  }
  PipelineResult result;
  if (sequencer_.totals().entries == 0) {
    return Error{std::make_error_code(std::errc::no_such_file_or_directory),
                 "nothing could be read"};
  }
  TRY(result.root, sequencer_.finish());
  TRYV(store_rest());
  result.totals = sequencer_.totals();
  result.problem_count = state_.problem_count();
  result.problems = state_.problems();
  result.warnings = state_.warnings();
  return result;
}

// The open segments: those of all threads become one, or few.
Status Pipeline::store_rest() {
  if (chunkers_.empty()) return nodes_.flush();
  for (size_t c = 0; c < kChurnClasses; ++c) {
    for (size_t i = 1; i < chunkers_.size(); ++i) {
      TRYV(chunkers_[i]->writer(c).move_to(chunkers_[0]->writer(c)));
    }
  }
  // Classes are worth a segment each only where there is enough for it.
  vault::SegmentWriter& last = chunkers_[0]->writer(kLongLived);
  for (size_t c = 0; c < kLongLived; ++c) {
    vault::SegmentWriter& writer = chunkers_[0]->writer(c);
    if (writer.open_bytes() < kClassBytesMin) {
      TRYV(writer.move_to(last));
    } else {
      TRYV(writer.flush());
    }
  }
  TRYV(last.flush());
  return nodes_.flush();
}

}  // namespace holdfast::backup_agent
