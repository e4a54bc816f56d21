#include <atomic>
#include <thread>
#include <vector>

#include "base/async/bounded_queue.h"
#include "base/async/job_pool.h"
#include "base/async/parallel.h"
#include "tests/support/expect.h"

namespace holdfast::async {
namespace {

TEST(BoundedQueue, HandsEveryItemToOneReader) {
  BoundedQueue<int> queue(3);
  std::atomic<int> sum{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      while (const auto item = queue.pop()) sum += *item;
    });
  }
  int expected = 0;
  for (int i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(queue.push(i));
    expected += i;
  }
  queue.close();
  for (auto& t : readers) t.join();
  EXPECT_EQ(sum, expected);
  EXPECT_FALSE(queue.push(1));
}

TEST(BoundedQueue, CancelFreesAWriterThatWaits) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.push(1));
  std::thread writer([&] { EXPECT_FALSE(queue.push(2)); });
  queue.cancel();
  writer.join();
  EXPECT_FALSE(queue.pop().has_value());
}

TEST(JobPool, RunsEachJobOnceWhoeverAsks) {
  for (const unsigned threads : {0u, 1u, 3u}) {
    JobPool pool(threads);
    std::atomic<int> runs{0};
    std::vector<JobPool::JobPtr> jobs;
    for (int i = 0; i < 200; ++i) jobs.push_back(pool.submit([&] { ++runs; }));
    for (const auto& job : jobs) job->finish();
    EXPECT_EQ(runs, 200);
  }
}

TEST(ParallelFor, VisitsEveryIndexOnce) {
  std::vector<std::atomic<int>> seen(1000);
  parallel_for(4, seen.size(), [&](size_t i) { ++seen[i]; });
  for (const auto& n : seen) EXPECT_EQ(n, 1);
}

}  // namespace
}  // namespace holdfast::async
