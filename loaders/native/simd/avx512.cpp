// The inner loops for AVX-512 with dot products (Ice Lake 2019, Zen 4 2022 and later). Empty elsewhere.
#include "simd/loops.h"

#ifdef ET_X86_BUILDS
#include <algorithm>
#include <cmath>

#include <immintrin.h>  // before the pragma, as in x86_v3.cpp

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,lzcnt,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif
#define ET_AVX2 1
#define ET_VNNI 1
#define ET_BUILD vnni
#define ET_BUILD_NAME "avx512-vnni"
#include "simd/build.h"
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
