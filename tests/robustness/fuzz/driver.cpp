// A small coverage-guided driver for compilers without libFuzzer: keeps an input that reaches code no other one did.
//
//   fuzz SECONDS SEED FILE...      FILEs are the first inputs; what crashes is written to crash-SEED before it is run
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;
enum { kMap = 1 << 16 };
uint8_t reached[kMap], known[kMap];
thread_local uintptr_t before;

}  // namespace

// Called by g++'s -fsanitize-coverage=trace-pc at every edge of the instrumented code, which this file is not part of.
extern "C" __attribute__((no_sanitize("address", "undefined"))) void __sanitizer_cov_trace_pc() {
  const auto here = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  uint8_t& count = reached[(here ^ before >> 1) & (kMap - 1)];
  if (count < 255) count++;
  before = here;
}

namespace {

// Whether the last run reached an edge, or a number of times (in powers of four), that is new.
bool is_new() {
  bool found = false;
  for (int i = 0; i < kMap; i++) {
    if (!reached[i]) continue;
    const uint8_t bucket = uint8_t(reached[i] < 2 ? 1 : reached[i] < 8 ? 2 : reached[i] < 64 ? 4 : 8);
    found = found || (bucket & ~known[i]);
    known[i] |= bucket;
  }
  return found;
}

void mutate(Input& input, const std::vector<Input>& corpus, std::mt19937_64& draw) {
  const auto below = [&](size_t n) { return n ? size_t(draw() % n) : 0; };
  for (size_t k = 1 + below(4); k > 0; k--) {
    if (input.size() < 20) input.resize(20);
    const size_t at = below(3) ? below(input.size()) : below(std::min<size_t>(input.size(), 700));  // headers more often
    switch (below(7)) {
      case 0: input[at] ^= uint8_t(1 << below(8)); break;
      case 1: input[at] = uint8_t(draw()); break;
      case 2: input[at] = uint8_t(below(2) ? 0xFF : 0); break;
      case 3: input.erase(input.begin() + long(at), input.begin() + long(std::min(input.size(), at + 1 + below(60)))); break;
      case 4: input.insert(input.begin() + long(at), 1 + below(30), uint8_t(draw())); break;
      case 5:
        input[at] = 0xFF;
        if (at + 1 < input.size()) input[at + 1] = uint8_t(0xC0 + below(48));
        break;
      default: {  // the end of another one
        const Input& other = corpus[below(corpus.size())];
        const size_t from = below(other.size());
        input.resize(at);
        input.insert(input.end(), other.begin() + long(from), other.end());
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 10;
  const std::string seed = argc > 2 ? argv[2] : "0", crash = "crash-" + seed;
  std::mt19937_64 draw(std::strtoull(seed.c_str(), nullptr, 10));
  std::vector<Input> corpus;
  for (int i = 3; i < argc; i++) {
    std::ifstream file(argv[i], std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    if (corpus.back().empty()) corpus.pop_back();
  }
  if (corpus.empty()) corpus.emplace_back(64, uint8_t(0));
  const size_t given = corpus.size();
  const auto start = std::chrono::steady_clock::now();
  long runs = 0;
  for (;; runs++) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    if (size_t(runs) >= given && spent.count() > seconds) break;
    Input input = corpus[size_t(runs) < given ? size_t(runs) : draw() % corpus.size()];
    if (size_t(runs) >= given) mutate(input, corpus, draw);
    std::ofstream(crash, std::ios::binary).write(reinterpret_cast<const char*>(input.data()), long(input.size()));
    std::memset(reached, 0, sizeof reached), before = 0;
    LLVMFuzzerTestOneInput(input.data(), input.size());
    if (is_new() && size_t(runs) >= given) corpus.push_back(input);
  }
  std::remove(crash.c_str());
  int edges = 0;
  for (const uint8_t k : known) edges += k != 0;
  std::printf("%ld runs, %d edges, %zu inputs kept of %zu given\n", runs, edges, corpus.size() - given, given);
}
