// What a machine remembers of a vault, while several of its backups end at the same moment.

#include "vault/client/state.h"

#include <thread>

#include "tests/support/expect.h"
#include "tests/support/temp_directory.h"

namespace holdfast::vault {
namespace {

TEST(StateDirectory, SimultaneousChangesOfTheMemoryAllCount) {
  const testing::TempDirectory directory(testing::TempDirectory::fast_place());
  const VaultId vault = VaultId::random();
  constexpr int kThreads = 4;
  constexpr int kItems = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const StateDirectory state(io::posix_file_system(), directory / "state");
      for (int i = 0; i < kItems; ++i) {
        EXPECT_OK(state.change_memory(vault, [](VaultMemory& memory) {
          memory.own_heads[ItemId::random()] = {1, {}};
        }));
      }
    });
  }
  for (std::thread& t : threads) t.join();
  const StateDirectory state(io::posix_file_system(), directory / "state");
  ASSIGN(const VaultMemory memory, state.load_memory(vault));
  EXPECT_EQ(memory.own_heads.size(), static_cast<size_t>(kThreads * kItems));
}

}  // namespace
}  // namespace holdfast::vault
