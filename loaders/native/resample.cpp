// Planes -> an antialiased image of the crop: weights from the filter's table, then two passes of weighted sums.
#include <algorithm>
#include <cmath>

#include "hot.h"

namespace et {
namespace {

enum { kOne = 1 << 14 };  // 1.0 as a weight

// The weights of one axis of one component: output i = sum of weights[i * room + t] * sample[first[i] + t], t < taps[i].
struct Axis {
  int *first, *taps;
  int16_t* weights;
  int room;
  int low, high;  // the samples that any output needs: [low, high)
};

// Filter row and its stretch for a crop of `full` full-size pixels; see loaders/plan/filters.py.
struct Kernel {
  const float* table;
  float radius, steps;  // radius in base pixels; table entries per base pixel
  int columns;

  Kernel(const EtFilter& f, float base, float full) {
    const float stretch = std::max(1.f, base / full);
    const int row = std::min(f.rows - 1, int((stretch - 1) / f.stretch_step + .5f));
    const float last = 1 + (f.rows - 1) * f.stretch_step, more = std::max(1.f, stretch / last);
    table = f.table + size_t(row) * f.columns, columns = f.columns;
    radius = f.radius[row] * more, steps = f.steps / more;
  }
  float at(float x) const {
    const float place = std::fabs(x) * steps;
    const int i = int(place);
    if (i + 1 >= columns) return 0;
    return table[i] + (table[i + 1] - table[i]) * (place - i);
  }
};

// Q14 with a sum of exactly 1: what rounding leaves over goes to the largest weight.
void quantise(const float* w, int n, float sum, int16_t* out) {
  int total = 0, largest = 0;
  for (int t = 0; t < n; t++) {
    out[t] = int16_t(std::lrintf(w[t] / sum * kOne));
    total += out[t];
    if (out[t] > out[largest]) largest = t;
  }
  out[largest] = int16_t(out[largest] + kOne - total);
}

// Note [chroma's taps]: libjpeg doubles a sub-sampled component by a triangle filter (weights 3/4 and 1/4) before anything
// else sees it. Both steps are linear, so the triangle is folded into the taps and the plane is resampled as stored.
int fold(const float* w, int first, int n, int samples, float* folded, int& folded_first) {
  const auto clamp = [&](int k) { return std::min(std::max(k, 0), samples - 1); };
  folded_first = clamp((first >> 1) - 1);
  const int count = clamp(((first + n - 1) >> 1) + 1) - folded_first + 1;
  std::fill(folded, folded + count, 0.f);
  for (int t = 0; t < n; t++) {
    const int k = (first + t) >> 1;
    folded[clamp(k) - folded_first] += .75f * w[t];
    folded[clamp((first + t) & 1 ? k + 1 : k - 1) - folded_first] += .25f * w[t];
  }
  return count;
}

// `limit`: pixels of the whole scaled image along the axis; `samples`: of the component.
bool build_axis(const EtFilter& f, float x0, float x1, float full, int outputs, int limit, int samples, Buffer& memory,
                Axis& axis, Error& e) {
  const float base = f.base ? f.base : outputs, pitch = (x1 - x0) / outputs, unit = base / (x1 - x0);
  const Kernel kernel(f, base, full);
  const float reach = kernel.radius / unit;
  int low = std::max(0, int(std::ceil(x0 - .5f))), high = std::min(limit - 1, int(std::floor(x1 - .5f)));
  if (low > high) low = high = std::min(limit - 1, std::max(0, int((x0 + x1) / 2)));
  const int most = std::min(high - low + 1, int(2 * reach) + 2);
  axis.room = (most + 3) & ~1;
  const size_t numbers = size_t(outputs) * 2, weights = size_t(outputs) * axis.room;
  axis.first = memory.reserve_as<int>(numbers + weights / 2 + 1 + 2 * (axis.room + 4));
  if (!axis.first) return e.set(ET_IO, "out of memory for %d x %d filter taps", outputs, most);
  axis.taps = axis.first + outputs;
  axis.weights = reinterpret_cast<int16_t*>(axis.taps + outputs);
  float* w = reinterpret_cast<float*>(axis.weights + ((weights + 1) & ~size_t(1)));
  float* folded = w + axis.room + 2;
  axis.low = samples, axis.high = 0;
  for (int i = 0; i < outputs; i++) {
    const float centre = x0 + (i + .5f) * pitch;
    const int a = std::min(high, std::max(low, int(std::ceil(centre - reach - .5f))));
    const int b = std::max(a, std::min(high, int(std::floor(centre + reach - .5f))));
    int n = std::min(b - a + 1, most);
    float sum = 0;
    for (int t = 0; t < n; t++) sum += w[t] = kernel.at((a + t + .5f - centre) * unit);
    if (sum < .01f) {  // no sample near enough; cannot happen with a filter at least one sample wide
      std::fill(w, w + n, 1.f);
      sum = float(n);
    }
    int first = a;
    const float* use = w;
    if (samples != limit) n = fold(w, a, n, samples, folded, first), use = folded;
    int16_t* out = axis.weights + size_t(i) * axis.room;
    quantise(use, n, sum, out);
    axis.low = std::min(axis.low, first), axis.high = std::max(axis.high, first + n);
    if (n & 1) out[n++] = 0;  // the hot loops take taps in pairs; both sources have room for one more
    axis.first[i] = first, axis.taps[i] = n;
  }
  return true;
}

int up16(int n) { return (n + 15) & ~15; }

// One component: x first (columns are contiguous), a transposition, then y. Result in Q6, row-major, stride up16(width).
bool resample_plane(const Plane& p, const Axis& ax, const Axis& ay, const Target& t, Scratch& s, int16_t* out, Error& e) {
  if (ax.low < p.x0 || ax.high > p.x0 + p.columns || ay.low < p.y0 || ay.high > p.y0 + p.rows)
    return e.set(ET_BAD_ARGUMENT, "the filter needs samples outside the decoded region");
  const int rows = ay.high - ay.low, tall = up16(rows) + 16, wide = up16(t.width);
  int16_t* columns = s.columns.reserve_as<int16_t>(size_t(tall) * (wide + 8));
  int16_t* turned = s.turned.reserve_as<int16_t>(size_t(wide) * (tall + 2) + 16);
  if (!columns || !turned) return e.set(ET_IO, "out of memory for %d x %d pixels", t.width, rows);
  const Hot& h = hot();
  for (int i = 0; i < t.width; i++)
    h.weigh_u8(p.data + size_t(ax.first[i] - p.x0) * p.stride + (ay.low - p.y0), p.stride, ax.weights + size_t(i) * ax.room,
               ax.taps[i], rows, columns + size_t(t.flip ? t.width - 1 - i : i) * tall);
  h.transpose(columns, tall, t.width, rows, turned, wide);
  for (int i = 0; i < t.height; i++)
    h.weigh_q6(turned + size_t(ay.first[i] - ay.low) * wide, wide, ay.weights + size_t(i) * ay.room, ay.taps[i], t.width,
               out + size_t(i) * wide);
  return true;
}

}  // namespace

bool resample(const Planes& planes, const Target& t, const EtFilter& filter, Scratch& s, bool to_rgb, uint8_t* out, Error& e) {
  if (!(t.box[2] > t.box[0] && t.box[3] > t.box[1] && t.full[0] > 0 && t.full[1] > 0))
    return e.set(ET_BAD_ARGUMENT, "crop box %g %g %g %g is empty", t.box[0], t.box[1], t.box[2], t.box[3]);
  const int wide = up16(t.width);
  int16_t* pixels[3] = {nullptr, nullptr, nullptr};
  Axis axes[4];
  for (int c = 0; c < planes.count; c++) {
    const Plane& p = planes.plane[c];
    // the second chroma component shares the first one's taps, and luma's where it is not sub-sampled
    const bool as_luma = c && p.width == planes.plane[0].width && p.height == planes.plane[0].height;
    Axis* a = axes + (c == 0 || as_luma ? 0 : 2);
    if (c == 0 || (c == 1 && !as_luma)) {
      Buffer* memory = s.axes + (c == 0 ? 0 : 2);
      if (!build_axis(filter, t.box[0], t.box[2], t.full[0], t.width, planes.width, p.width, memory[0], a[0], e) ||
          !build_axis(filter, t.box[1], t.box[3], t.full[1], t.height, planes.height, p.height, memory[1], a[1], e))
        return false;
    }
    pixels[c] = s.pixels[c].reserve_as<int16_t>(size_t(wide) * t.height + 16);
    if (!pixels[c]) return e.set(ET_IO, "out of memory for %d x %d pixels", t.width, t.height);
    if (!resample_plane(p, a[0], a[1], t, s, pixels[c], e)) return false;
  }
  const size_t area = size_t(t.width) * t.height;
  for (int y = 0; y < t.height; y++) {
    const size_t from = size_t(y) * wide, to = size_t(y) * t.width;
    if (to_rgb && planes.count == 3 && planes.color == Color::kYcc)
      hot().ycc_to_rgb(pixels[0] + from, pixels[1] + from, pixels[2] + from, t.width, out + to, out + area + to,
                       out + 2 * area + to);
    else
      for (int c = 0; c < planes.count; c++) hot().to_u8(pixels[c] + from, t.width, out + c * area + to);
  }
  if (to_rgb && planes.count == 1)
    for (int c = 1; c < 3; c++) std::memcpy(out + c * area, out, area);
  return true;
}

}  // namespace et
