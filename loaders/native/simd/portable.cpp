// The inner loops for the compiler's baseline instruction set, and the choice between builds.
#include "simd/loops.h"

#include <algorithm>
#include <cmath>

#define ET_BUILD portable
#define ET_BUILD_NAME "portable"
#include "simd/build.h"

namespace et {
namespace {

// The builds that this processor can run, the fastest first.
struct Builds {
  const Loops* of[3];
  int count = 0;

  Builds() {
#ifdef ET_X86_BUILDS
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    const bool vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
    if (v3 && vnni) of[count++] = &vnni::kLoops;
    if (v3) of[count++] = &v3::kLoops;
#endif
    of[count++] = &portable::kLoops;
  }
};

const Builds builds;

}  // namespace

const Loops* chosen = builds.of[0];

}  // namespace et

const char* et_build(int32_t i) { return i >= 0 && i < et::builds.count ? et::builds.of[i]->name : nullptr; }
