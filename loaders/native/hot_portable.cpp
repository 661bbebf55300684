// The hot loops for the compiler's baseline instruction set, and the choice between builds.
#include "hot.h"

#include <algorithm>
#include <cmath>

#define ET_BUILD portable
#define ET_BUILD_NAME "portable"
#include "hot.inl"

namespace et {

static const Hot* best() {
#ifdef ET_HAVE_V3
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) return &v3::kHot;
#endif
  return &portable::kHot;
}

static const Hot* chosen = best();

const Hot& hot() { return *chosen; }

}  // namespace et

const char* et_isa() { return et::hot().name; }

int32_t et_force_isa(const char* name) {
  et::chosen = std::strcmp(name, "portable") == 0 ? &et::portable::kHot : et::best();
  return std::strcmp(et::chosen->name, name) == 0;
}
