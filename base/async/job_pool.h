// Work done ahead of the one who needs it. Jobs are taken latest first, because in a depth-first
// walk the job given last is needed next. Whoever needs a result calls finish(): it runs the job on
// the spot if no worker has begun it, so a pool without threads works too.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace holdfast::async {

class JobPool {
 public:
  class Job {
   public:
    explicit Job(std::function<void()> work) : work_(std::move(work)) {}
    // Returns when the work is done; by now, or by this call.
    void finish();

   private:
    friend class JobPool;
    bool begin();  // true for the one caller that has to run the work
    void run();

    std::mutex mutex_;
    std::condition_variable done_;
    std::function<void()> work_;
    enum class State { waiting, running, done } state_ = State::waiting;
  };
  using JobPtr = std::shared_ptr<Job>;

  explicit JobPool(unsigned threads);
  // Jobs that nobody has begun are dropped.
  ~JobPool();

  JobPtr submit(std::function<void()> work);

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<JobPtr> stack_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace holdfast::async
