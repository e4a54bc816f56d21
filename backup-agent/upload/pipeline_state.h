// What the stages of one backup share: the session, counters, problems, and the first fatal error.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "backup-agent/upload/progress.h"
#include "vault/client/vault.h"

namespace holdfast::backup_agent {

class PipelineState {
 public:
  PipelineState(vault::Session& session, BackupProgress& progress)
      : session_(session), progress_(progress) {}

  vault::Session& session() { return session_; }
  BackupProgress& progress() { return progress_; }

  // An error of the vault or of Holdfast itself: the backup cannot go on. The first one counts.
  void fail(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = error;
    failed_ = true;
    stop_.request_stop();
  }
  bool failed() const { return failed_; }
  Status status() {
    const std::lock_guard lock(mutex_);
    if (failure_) return *failure_;
    return {};
  }
  std::stop_token stop_token() { return stop_.get_token(); }

  // Something of the source could not be taken as it was: the point will be incomplete.
  void problem(std::string key, std::string reason) {
    const std::lock_guard lock(mutex_);
    ++problem_count_;
    progress_.problems = problem_count_;
    if (problems_.size() < vault::kPointProblemsMax) {
      problems_.push_back({"/" + std::move(key), std::move(reason)});
    }
  }
  // Something the user should know that leaves the point complete.
  void warn(std::string text) {
    const std::lock_guard lock(mutex_);
    warnings_.push_back(std::move(text));
  }
  std::vector<std::string> warnings() {
    const std::lock_guard lock(mutex_);
    return warnings_;
  }
  uint64_t problem_count() {
    const std::lock_guard lock(mutex_);
    return problem_count_;
  }
  std::vector<vault::PointProblem> problems() {
    const std::lock_guard lock(mutex_);
    return problems_;
  }

 private:
  vault::Session& session_;
  BackupProgress& progress_;
  std::stop_source stop_;
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::optional<Error> failure_;
  uint64_t problem_count_ = 0;
  std::vector<vault::PointProblem> problems_;
  std::vector<std::string> warnings_;
};

}  // namespace holdfast::backup_agent
