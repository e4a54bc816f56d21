#include "base/async/job_pool.h"

namespace holdfast::async {

bool JobPool::Job::begin() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::waiting) return false;
  state_ = State::running;
  return true;
}

void JobPool::Job::run() {
  work_();
  work_ = nullptr;  // what it captured may be large
  const std::lock_guard lock(mutex_);
  state_ = State::done;
  done_.notify_all();
}

void JobPool::Job::finish() {
  if (begin()) {
    run();
    return;
  }
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return state_ == State::done; });
}

JobPool::JobPool(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

JobPool::~JobPool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stack_.clear();
  }
  filled_.notify_all();
  for (std::thread& t : threads_) t.join();
}

JobPool::JobPtr JobPool::submit(std::function<void()> work) {
  auto job = std::make_shared<Job>(std::move(work));
  if (threads_.empty()) return job;
  {
    const std::lock_guard lock(mutex_);
    stack_.push_back(job);
  }
  filled_.notify_one();
  return job;
}

void JobPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    filled_.wait(lock, [&] { return stopping_ || !stack_.empty(); });
    if (stopping_) return;
    JobPtr job = std::move(stack_.back());
    stack_.pop_back();
    lock.unlock();
    if (job->begin()) job->run();
    job.reset();
    lock.lock();
  }
}

}  // namespace holdfast::async
