// Runs a fuzz target without libFuzzer: over its seeds, over files, and over `--mutations N` random
// changes of them (the same ones each time; --seed S for others). Or writes the seeds as a corpus.
//
//   fuzz_TARGET --vectors docs/formats/vectors.txt [--mutations N] [--seed S]
//   [FILE_OR_DIRECTORY...] fuzz_TARGET --vectors docs/formats/vectors.txt --write-seeds DIRECTORY
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "tests/fuzz/target.h"

namespace {

using holdfast::Bytes;

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

holdfast::fuzz::Vectors read_vectors(const std::string& path) {
  holdfast::fuzz::Vectors vectors;
  std::ifstream in(path);
  std::string name, kind, value;
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(' ');
    if (line.empty() || line[0] == '#' || first == std::string::npos) continue;
    const size_t second = line.find(' ', first + 1);
    if (second == std::string::npos || line.substr(first + 1, second - first - 1) != "hex")
      continue;
    Bytes bytes;
    for (size_t i = second + 1; i + 1 < line.size(); i += 2) {
      bytes.push_back(static_cast<uint8_t>(std::strtoul(line.substr(i, 2).c_str(), nullptr, 16)));
    }
    vectors[line.substr(0, first)] = std::move(bytes);
  }
  return vectors;
}

// As libFuzzer's own mutations: bits, bytes, small and extreme numbers, cuts, copies, splices.
Bytes mutate(std::mt19937_64& random, Bytes input, const Bytes& other) {
  const int changes = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < changes; ++i) {
    const size_t at = input.empty() ? 0 : random() % input.size();
    switch (input.empty() ? 5 : random() % 7) {
      case 0:
        input[at] ^= static_cast<uint8_t>(1u << random() % 8);
        break;
      case 1:
        input[at] = static_cast<uint8_t>(random());
        break;
      case 2: {
        constexpr uint8_t kValues[] = {0, 1, 0x7f, 0x80, 0xff};
        const uint8_t value = kValues[random() % 5];
        for (size_t k = at; k < std::min(input.size(), at + (1u << random() % 4)); ++k) {
          input[k] = value;
        }
        break;
      }
      case 3:
        input.resize(at);
        break;
      case 4: {
        const size_t length = std::min<size_t>(1 + random() % 32, input.size() - at);
        input.erase(input.begin() + static_cast<ptrdiff_t>(at),
                    input.begin() + static_cast<ptrdiff_t>(at + length));
        break;
      }
      case 5: {
        const Bytes extra(1 + random() % 32, static_cast<uint8_t>(random()));
        input.insert(input.begin() + static_cast<ptrdiff_t>(at), extra.begin(), extra.end());
        break;
      }
      default:
        if (!other.empty()) {
          const size_t from = random() % other.size();
          const size_t length = std::min<size_t>(1 + random() % 64, other.size() - from);
          input.insert(input.begin() + static_cast<ptrdiff_t>(at),
                       other.begin() + static_cast<ptrdiff_t>(from),
                       other.begin() + static_cast<ptrdiff_t>(from + length));
        }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::string vectors, write_seeds;
  uint64_t mutations = 0, seed = 1;
  std::vector<Bytes> inputs;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::string(argv[++i]) : std::string(); };
    if (arg == "--vectors") {
      vectors = value();
    } else if (arg == "--write-seeds") {
      write_seeds = value();
    } else if (arg == "--mutations") {
      mutations = std::strtoull(value().c_str(), nullptr, 10);
    } else if (arg == "--seed") {
      seed = std::strtoull(value().c_str(), nullptr, 10);
    } else if (std::filesystem::is_directory(arg)) {
      for (const auto& file : std::filesystem::directory_iterator(arg)) {
        inputs.push_back(read_file(file));
      }
    } else if (std::filesystem::exists(arg)) {
      inputs.push_back(read_file(arg));
    }
  }
  const std::vector<Bytes> seeds = holdfast::fuzz::seeds(read_vectors(vectors));
  if (seeds.empty()) {
    std::fprintf(stderr, "no seeds: give --vectors docs/formats/vectors.txt\n");
    return 1;
  }
  if (!write_seeds.empty()) {
    std::filesystem::create_directories(write_seeds);
    for (size_t i = 0; i < seeds.size(); ++i) {
      std::ofstream out(write_seeds + "/seed-" + std::to_string(i), std::ios::binary);
      out.write(reinterpret_cast<const char*>(seeds[i].data()),
                static_cast<std::streamsize>(seeds[i].size()));
    }
    return 0;
  }
  inputs.insert(inputs.end(), seeds.begin(), seeds.end());
  for (const Bytes& input : inputs) holdfast::fuzz::run(input);
  std::mt19937_64 random(seed);
  for (uint64_t n = 0; n < mutations; ++n) {
    holdfast::fuzz::run(
        mutate(random, inputs[random() % inputs.size()], inputs[random() % inputs.size()]));
  }
  std::printf("%zu inputs and %llu mutations\n", inputs.size(),
              static_cast<unsigned long long>(mutations));
  return 0;
}
