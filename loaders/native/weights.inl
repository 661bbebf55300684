// The resampler's weights, included by hot.inl: from a filter's table to whole numbers for each output of an axis.

// low[j] = table[index[j]], high[j] = table[index[j] + 1].
static inline void look_up_pairs(const float* table, const v8& index, f8& low, f8& high) {
#if defined(ET_AVX2)
  alignas(32) int32_t at[8];  // eight loads of two beat two gathers of eight
  _mm256_store_si256((__m256i*)at, (__m256i)index);
  const auto load = [&](int j) { return _mm_loadl_epi64((const __m128i*)(table + at[j])); };
  const auto load_both = [&](int j) { return _mm_castsi128_ps(_mm_unpacklo_epi64(load(j), load(j + 1))); };
  const __m256 a = _mm256_set_m128(load_both(4), load_both(0)), b = _mm256_set_m128(load_both(6), load_both(2));
  low = (f8)_mm256_shuffle_ps(a, b, 0x88), high = (f8)_mm256_shuffle_ps(a, b, 0xDD);
#else
  for (int j = 0; j < 8; j++) low[j] = table[index[j]], high[j] = table[index[j] + 1];
#endif
}

// out[t] = the filter at distance |x + t|, for t < n, and 0 up to the next multiple of 8; returns their sum, added up in the same
// order on every machine.
static inline float look_up(const AxisPlan& plan, float x, int n, float* out) {
  const f8 count = {0, 1, 2, 3, 4, 5, 6, 7};
  const v8 sign = v8{} + INT32_MIN, last = v8{} + (plan.columns - 2), order = {0, 1, 2, 3, 4, 5, 6, 7};
  f8 sum = {};
  for (int t = 0; t < n; t += 8) {
    const f8 place = (f8)((v8)(x + (float(t) + count)) & ~sign) * plan.steps;
    v8 index = __builtin_convertvector(place, v8);
    const f8 part = place - __builtin_convertvector(index, f8);
    index = index < last ? index : last;
    f8 low, high;
    look_up_pairs(plan.table, index, low, high);
    const f8 value = (f8)((v8)(low + (high - low) * part) & (order < n - t));
    *(f8_at*)(out + t) = value;
    sum += value;
  }
  return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

// out[t] = round(w[t] * scale), and what rounding leaves of kOne to the middle one. Reads and writes up to a multiple of 8.
static inline void quantise(const float* __restrict w, int n, float scale, int16_t* __restrict out) {
  const float shifter = 12582912.f;  // 1.5 * 2^23: adding it rounds to a whole number, found in the sum's low bits
  v8 total = {};
  for (int t = 0; t < n; t += 8) {
    const v8 value = (v8)(*(const f8_at*)(w + t) * scale + shifter) - 0x4B400000;
    *(h8_at*)(out + t) = __builtin_convertvector(value, h8);
    total += value;
  }
  int sum = 0;
  for (int j = 0; j < 8; j++) sum += total[j];
  out[n / 2] = int16_t(out[n / 2] + kOne - sum);
}

// Note [chroma's taps]: libjpeg doubles a sub-sampled component by a triangle filter (weights 3/4 and 1/4) before anything
// else sees it. Both steps are linear, so the triangle is folded into the taps and the plane is resampled as stored.
static inline int fold(const float* w, int first, int n, int samples, float* folded, int& folded_first) {
  const auto clamp = [&](int k) { return std::min(std::max(k, 0), samples - 1); };
  folded_first = clamp((first >> 1) - 1);
  const int count = clamp(((first + n - 1) >> 1) + 1) - folded_first + 1;
  std::fill(folded, folded + count + 7, 0.f);
  for (int t = 0; t < n; t++) {
    const int k = (first + t) >> 1;
    folded[clamp(k) - folded_first] += .75f * w[t];
    folded[clamp((first + t) & 1 ? k + 1 : k - 1) - folded_first] += .25f * w[t];
  }
  return count;
}

// The hot loops take samples in pairs that begin at even places: a tap of weight 0 is put before or behind where needed.
static inline void put(Axis& axis, int i, int first, const float* w, int n, float scale) {
  int16_t* out = axis.weights + size_t(i) * axis.room;
  const int before = first & 1;
  out[0] = 0;
  quantise(w, n, scale, out + before);
  first -= before, n += before;
  axis.low = std::min(axis.low, first), axis.high = std::max(axis.high, first + n);
  out[n] = 0, n += n & 1;
  axis.first[i] = first, axis.taps[i] = n;
}

static void weights(const AxisPlan& plan, Axis& axis, Axis* halved) {
  float *const w = plan.memory, *const folded = w + plan.most + 24;
  for (int i = 0; i < plan.outputs; i++) {
    const float centre = plan.start + (i + .5f) * plan.pitch;
    const int a = std::min(plan.high, std::max(plan.low, int(std::ceil(centre - plan.radius - .5f))));
    const int b = std::max(a, std::min(plan.high, int(std::floor(centre + plan.radius - .5f))));
    const int n = std::min(b - a + 1, plan.most);
    float sum = look_up(plan, a + .5f - centre, n, w);
    if (sum < .01f) {  // no sample near enough; cannot happen with a filter at least one sample wide
      std::fill(w, w + n, 1.f);
      sum = float(n);
    }
    put(axis, i, a, w, n, kOne / sum);
    if (halved) {
      int first = 0;
      const int count = fold(w, a, n, plan.halved, folded, first);
      put(*halved, i, first, folded, count, kOne / sum);
    }
  }
}
