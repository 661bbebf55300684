// The resampler's inner loops, included by hot.inl: weighted sums of columns, transposition, colour.

static float look_up(const float* table, int columns, float steps, float x, int n, float* out) {
  float sum[8] = {0};
  for (int t = 0; t < n; t += 8) {  // in eights, and each step for all of them: compilers make vectors of it
    int index[8];
    float part[8], low[8], high[8];
    for (int j = 0; j < 8; j++) {
      const float place = std::fabs(x + float(t + j)) * steps;
      index[j] = int(place);
      part[j] = place - float(index[j]);
      index[j] = index[j] < columns - 2 ? index[j] : columns - 2;
    }
    for (int j = 0; j < 8; j++) low[j] = table[index[j]], high[j] = table[index[j] + 1];
    for (int j = 0; j < 8; j++) {
      out[t + j] = t + j < n ? low[j] + (high[j] - low[j]) * part[j] : 0.f;
      sum[j] += out[t + j];
    }
  }
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

static void quantise(const float* __restrict w, int n, float scale, int16_t* __restrict out) {
  const float shifter = 12582912.f;  // 1.5 * 2^23: adding it rounds to a whole number, found in the sum's low bits
  int total = 0;
  for (int t = 0; t < n; t += 8)
    for (int j = 0; j < 8; j++) {
      const float rounded = w[t + j] * scale + shifter;
      int32_t raw;
      std::memcpy(&raw, &rounded, 4);
      const int value = raw - 0x4B400000;
      out[t + j] = int16_t(value);
      total += value;
    }
  out[n / 2] = int16_t(out[n / 2] + kOne - total);
}

#if defined(ET_AVX2)
static inline __m256i pair_of(const int16_t* weights) {
  int32_t v;
  std::memcpy(&v, weights, 4);
  return _mm256_set1_epi32(v);
}

static inline __m256i eight_pairs(const uint8_t* s) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i*)s)); }
static inline __m256i eight_pairs(const int16_t* s) { return _mm256_loadu_si256((const __m256i*)s); }

static inline void store_16(int16_t* out, __m256i lo, __m256i hi) {
  _mm256_storeu_si256((__m256i*)out, _mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xD8));
}
#endif

// `kBlock` elements from `source` on, one after the other in registers: 32 where there are as many, so that the loop over the
// taps is entered half as often.
template <int kBlock, int kShift, class Sample>
static inline void weigh_block(const Sample* s, int stride, const int16_t* weights, int taps, int16_t* out) {
#if defined(ET_AVX2)
  __m256i sum[kBlock / 8];
  for (int b = 0; b < kBlock / 8; b++) sum[b] = _mm256_set1_epi32(1 << (kShift - 1));
  for (int t = 0; t < taps; t += 2, s += stride) {
    const __m256i w = pair_of(weights + t);
    for (int b = 0; b < kBlock / 8; b++) sum[b] = _mm256_add_epi32(sum[b], _mm256_madd_epi16(eight_pairs(s + 16 * b), w));
  }
  for (int b = 0; b < kBlock / 8; b += 2)
    store_16(out + 8 * b, _mm256_srai_epi32(sum[b], kShift), _mm256_srai_epi32(sum[b + 1], kShift));
#else
  int32_t sum[kBlock];
  for (int j = 0; j < kBlock; j++) sum[j] = 1 << (kShift - 1);
  for (int t = 0; t < taps; t += 2, s += stride)
    for (int j = 0; j < kBlock; j++) sum[j] += weights[t] * s[2 * j] + weights[t + 1] * s[2 * j + 1];
  for (int j = 0; j < kBlock; j++) out[j] = saturate(sum[j] >> kShift);
#endif
}

// Reads up to 15 pairs past n and writes up to 15 elements past it.
template <int kShift, class Sample>
static void weigh(const Sample* source, int stride, const int16_t* weights, int taps, int n, int16_t* out) {
  int i = 0;
  for (; i + 16 < n; i += 32) weigh_block<32, kShift>(source + 2 * i, stride, weights, taps, out + i);
  if (i < n) weigh_block<16, kShift>(source + 2 * i, stride, weights, taps, out + i);
}

// Two rows beside each other are one 32-bit unit of a column, and stay together.
static void transpose(const int16_t* in, int in_stride, int columns, int rows, int16_t* out, int out_stride) {
  for (int x = 0; x < columns; x += 8)
    for (int y = 0; y < rows; y += 16) {
      v8 a[8];
      for (int i = 0; i < 8; i++) std::memcpy(&a[i], in + (x + i) * in_stride + y, 32);
      transpose8(a);
      for (int i = 0; i < 8; i++) std::memcpy(out + (y / 2 + i) * out_stride + 2 * x, &a[i], 32);
    }
}

// JFIF's full-range BT.601: coefficients in Q14, samples in Q6, one rounding at the end.
enum { kRed = 22970, kGreenB = -5638, kGreenR = -11700, kBlue = 29032, kMiddle = 128 * 64, kHalf = 1 << 19 };

#if defined(ET_AVX2)
struct Weights2 {
  __m256i pair;
  Weights2(int a, int b) : pair(_mm256_set1_epi32(int32_t(uint32_t(b) << 16 | uint16_t(a)))) {}
};

// 16 values of (a * first weight + b * second weight + bias) >> 20, as int16 in order.
static inline __m256i blend(__m256i a, __m256i b, Weights2 w, __m256i add_lo, __m256i add_hi) {
  const __m256i lo = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w.pair), add_lo);
  const __m256i hi = _mm256_add_epi32(_mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w.pair), add_hi);
  return _mm256_packs_epi32(_mm256_srai_epi32(lo, 20), _mm256_srai_epi32(hi, 20));
}

static inline void store_u8(uint8_t* out, __m256i v) {
  const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(v, v), 0xD8);
  _mm_storeu_si128((__m128i*)out, _mm256_castsi256_si128(bytes));
}
#endif

static void ycc_to_rgb(const int16_t* __restrict y, const int16_t* __restrict cb, const int16_t* __restrict cr, int n,
                       uint8_t* __restrict r, uint8_t* __restrict g, uint8_t* __restrict b) {
  int i = 0;
#if defined(ET_AVX2)
  const Weights2 red(16384, kRed), green(16384, kGreenB), rest(kGreenR, 0), blue(16384, kBlue);
  const __m256i red_add = _mm256_set1_epi32(kHalf - kMiddle * kRed), blue_add = _mm256_set1_epi32(kHalf - kMiddle * kBlue);
  const __m256i green_add = _mm256_set1_epi32(kHalf - kMiddle * (kGreenB + kGreenR)), zero = _mm256_setzero_si256();
  for (; i + 16 <= n; i += 16) {
    const __m256i luma = _mm256_loadu_si256((const __m256i*)(y + i)), u = _mm256_loadu_si256((const __m256i*)(cb + i));
    const __m256i v = _mm256_loadu_si256((const __m256i*)(cr + i));
    store_u8(r + i, blend(luma, v, red, red_add, red_add));
    store_u8(b + i, blend(luma, u, blue, blue_add, blue_add));
    const __m256i lo = _mm256_madd_epi16(_mm256_unpacklo_epi16(v, zero), rest.pair);
    const __m256i hi = _mm256_madd_epi16(_mm256_unpackhi_epi16(v, zero), rest.pair);
    store_u8(g + i, blend(luma, u, green, _mm256_add_epi32(lo, green_add), _mm256_add_epi32(hi, green_add)));
  }
#endif
  for (; i < n; i++) {
    const int luma = y[i] * 16384 + kHalf, u = cb[i] - kMiddle, v = cr[i] - kMiddle;
    r[i] = clamp_u8((luma + kRed * v) >> 20);
    g[i] = clamp_u8((luma + kGreenB * u + kGreenR * v) >> 20);
    b[i] = clamp_u8((luma + kBlue * u) >> 20);
  }
}

static void to_u8(const int16_t* __restrict in, int n, uint8_t* __restrict out) {
  for (int i = 0; i < n; i++) out[i] = clamp_u8((in[i] + 32) >> 6);
}
