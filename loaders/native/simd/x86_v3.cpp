// The inner loops for x86-64-v3 (AVX2, BMI2: Haswell 2013, Zen 2017 and later). Empty elsewhere.
#include "simd/loops.h"

#ifdef ET_X86_BUILDS
#include <algorithm>
#include <cmath>

#include <immintrin.h>  // before the pragma: its inline functions carry targets of their own

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt")
#endif
#define ET_AVX2 1  // the compilers do not define __AVX2__ for a target pragma
#define ET_BUILD v3
#define ET_BUILD_NAME "x86-64-v3"
#include "simd/build.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
