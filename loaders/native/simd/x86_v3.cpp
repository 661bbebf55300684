// The inner loops for x86-64-v3 (AVX2, BMI2: Haswell 2013, Zen 2017 and later). Empty elsewhere.
#include "simd/loops.h"

#ifdef ET_X86_BUILDS
#include <algorithm>
#include <cmath>

#include <immintrin.h>  // before the pragma: its inline functions carry targets of their own

#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt")
#define ET_AVX2 1  // g++ does not define __AVX2__ for a target pragma
#define ET_BUILD v3
#define ET_BUILD_NAME "x86-64-v3"
#include "simd/build.h"
#pragma GCC pop_options
#endif
