// What every store promises (vault/store/store.h), on every implementation, the fault-injecting one
// included.

#include <thread>

#include "tests/support/expect.h"
#include "tests/support/faulty_store.h"
#include "tests/support/sim_disk.h"
#include "tests/support/temp_directory.h"
#include "vault/store/local_store.h"
#include "vault/store/memory_store.h"
#include "vault/store/striped_store.h"

namespace holdfast::vault {
namespace {

struct InMemory {
  MemoryStore store;
  Store& get() { return store; }
};
struct LocalOnDisk {
  testing::TempDirectory directory;
  std::unique_ptr<LocalStore> store =
      LocalStore::create(io::posix_file_system(), directory / "vault").value();
  Store& get() { return *store; }
};
struct LocalOnSimulatedDisk {
  testing::SimDisk disk;
  std::unique_ptr<LocalStore> store = LocalStore::create(disk, "/vault").value();
  Store& get() { return *store; }
};
struct StripedOnDisk {
  testing::TempDirectory directory;
  std::unique_ptr<StripedStore> store =
      StripedStore::create(io::posix_file_system(), 2, 1,
                           {directory / "a", directory / "b", directory / "c"})
          .value();
  Store& get() { return *store; }
};
// Large enough to be stripes, and one directory short.
struct StripedDegraded {
  testing::SimDisk disk;
  std::unique_ptr<StripedStore> store;
  StripedDegraded() {
    CHECK(StripedStore::create(disk, 3, 2, {"/0", "/1", "/2", "/3", "/4"}).ok());
    CHECK(disk.remove("/1/stripe").ok());
    store = StripedStore::open(disk, "/0", {.parallel = false, .hints = {}}).value();
  }
  Store& get() { return *store; }
};
struct Faulty {
  MemoryStore behind;
  testing::FaultyStore store{behind};
  Store& get() { return store; }
};

template <class Where>
class StoreContract : public ::testing::Test {
 protected:
  Where where_;
  Store& store_ = where_.get();
};
using Stores = ::testing::Types<InMemory, LocalOnDisk, LocalOnSimulatedDisk, StripedOnDisk,
                                StripedDegraded, Faulty>;
TYPED_TEST_SUITE(StoreContract, Stores);

TYPED_TEST(StoreContract, GivesBackWhatWasPut) {
  Store& s = this->store_;
  ASSERT_OK(s.put("packs/a/b", as_bytes("content")));
  ASSIGN(const Bytes got, s.get("packs/a/b", 100));
  EXPECT_EQ(as_text(got), "content");
  ASSIGN(const ObjectInfo info, s.head("packs/a/b"));
  EXPECT_EQ(info.size_bytes, 7u);
  EXPECT_GT(info.stored_ns, 0);
  ASSIGN(const auto view, s.view("packs/a/b"));
  EXPECT_EQ(as_text(view->bytes()), "content");
}

TYPED_TEST(StoreContract, PutsPartsInARow) {
  const ByteView parts[] = {as_bytes("one"), {}, as_bytes("two")};
  ASSERT_OK(this->store_.put("x/y", parts));
  ASSIGN(const Bytes got, this->store_.get("x/y", 100));
  EXPECT_EQ(as_text(got), "onetwo");
}

TYPED_TEST(StoreContract, KeepsEmptyObjects) {
  ASSERT_OK(this->store_.put("x/empty", ByteView{}));
  ASSIGN(const Bytes got, this->store_.get("x/empty", 0));
  EXPECT_TRUE(got.empty());
  ASSIGN(const auto view, this->store_.view("x/empty"));
  EXPECT_TRUE(view->bytes().empty());
}

TYPED_TEST(StoreContract, ReadsRangesExactlyOrFails) {
  Store& s = this->store_;
  ASSERT_OK(s.put("o", as_bytes("0123456789")));
  Bytes out(4);
  ASSERT_OK(s.get_range("o", 3, out));
  EXPECT_EQ(as_text(out), "3456");
  EXPECT_ERROR(holdfast::Errc::malformed, s.get_range("o", 8, out));
  EXPECT_ERROR(holdfast::Errc::malformed, s.get_range("o", 100, out));
  EXPECT_ERROR(holdfast::Errc::limit_exceeded, s.get("o", 9));
}

TYPED_TEST(StoreContract, AbsenceIsOneError) {
  Store& s = this->store_;
  Bytes out(1);
  EXPECT_ERROR(std::errc::no_such_file_or_directory, s.get("a/b", 10));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, s.head("a/b"));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, s.get_range("a/b", 0, out));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, s.view("a/b"));
  EXPECT_OK(s.remove("a/b"));
  // A prefix of names is no object.
  ASSERT_OK(s.put("a/b/c", as_bytes("x")));
  EXPECT_ERROR(std::errc::no_such_file_or_directory, s.head("a/b"));
}

TYPED_TEST(StoreContract, ListsByPrefixInOrder) {
  Store& s = this->store_;
  for (const char* name : {"p/b", "p/a/2", "p/a/1", "q/z", "p2/x"})
    ASSERT_OK(s.put(name, as_bytes(name)));
  const auto names = [&](const std::string& prefix) {
    std::vector<std::string> out;
    auto listed = s.list(prefix);
    EXPECT_OK(listed);
    for (const ObjectInfo& o : *listed) {
      out.push_back(o.name);
      EXPECT_EQ(o.size_bytes, o.name.size());
    }
    return out;
  };
  EXPECT_EQ(names("p/"), (std::vector<std::string>{"p/a/1", "p/a/2", "p/b"}));
  EXPECT_EQ(names("p/a/"), (std::vector<std::string>{"p/a/1", "p/a/2"}));
  EXPECT_TRUE(names("none/").empty());
  EXPECT_EQ(names("").size(), 5u);
  ASSERT_OK(s.remove("p/a/1"));
  EXPECT_EQ(names("p/a/"), (std::vector<std::string>{"p/a/2"}));
}

TYPED_TEST(StoreContract, PutIfAbsentRefusesWhatIsThere) {
  Store& s = this->store_;
  ASSERT_OK(s.put_if_absent("n/1", as_bytes("first")));
  EXPECT_ERROR(std::errc::file_exists, s.put_if_absent("n/1", as_bytes("second")));
  ASSIGN(const Bytes got, s.get("n/1", 100));
  EXPECT_EQ(as_text(got), "first");
}

TYPED_TEST(StoreContract, OneOfManySimultaneousPutsWins) {
  Store& s = this->store_;
  for (int round = 0; round < 10; ++round) {
    const std::string name = "race/" + std::to_string(round);
    std::atomic<int> won{0};
    std::vector<std::thread> writers;
    for (int i = 0; i < 4; ++i) {
      writers.emplace_back([&, i] {
        if (s.put_if_absent(name, as_bytes(std::to_string(i))).ok()) ++won;
      });
    }
    for (auto& t : writers) t.join();
    EXPECT_EQ(won, 1);
  }
}

TYPED_TEST(StoreContract, ReadersNeverSeeAPart) {
  Store& s = this->store_;
  const Bytes content(300'000, 'x');
  std::atomic<bool> stop{false};
  std::thread reader([&] {
    while (!stop) {
      const auto listed = s.list("");
      if (!listed.ok()) continue;
      for (const ObjectInfo& o : *listed) EXPECT_EQ(o.size_bytes, content.size());
    }
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(s.put((i % 2 == 0 ? "w/" : "packs/w/") + std::to_string(i), content));
  }
  stop = true;
  reader.join();
}

}  // namespace
}  // namespace holdfast::vault
