// Planes -> an antialiased image of the crop: weights from the filter's table, then two passes of weighted sums.
#include <algorithm>
#include <cmath>

#include "hot.h"

namespace et {
namespace {

// The weights of one axis of one component: output i = sum of weights[i * room + t] * sample[first[i] + t], t < taps[i].
struct Axis {
  int *first, *taps;
  int16_t* weights;
  int room;
  int low, high;  // the samples that any output needs: [low, high)
};

// The filter's row for a crop of `full` full-size pixels, in pixels of the level; see loaders/plan/filters.py.
struct Kernel {
  const float* table;
  int columns;
  float radius, steps;  // pixels, table entries a pixel

  Kernel(const EtFilter& f, float base, float box, float full) {
    const float stretch = std::max(1.f, base / full), unit = base / box;
    const int row = std::min(f.rows - 1, int((stretch - 1) / f.stretch_step + .5f));
    const float last = 1 + (f.rows - 1) * f.stretch_step, more = std::max(1.f, stretch / last);
    table = f.table + size_t(row) * f.columns, columns = f.columns;
    radius = f.radius[row] * more / unit, steps = f.steps / more * unit;
  }
};

// Note [chroma's taps]: libjpeg doubles a sub-sampled component by a triangle filter (weights 3/4 and 1/4) before anything
// else sees it. Both steps are linear, so the triangle is folded into the taps and the plane is resampled as stored.
int fold(const float* w, int first, int n, int samples, float* folded, int& folded_first) {
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

bool reserve_axis(Axis& axis, int outputs, int most, int samples, Buffer& memory, Error& e) {
  axis.room = (most + 16) & ~7;  // a tap before, one behind, and quantise writes in eights
  axis.first = memory.reserve_as<int>(size_t(outputs) * 2 + size_t(outputs) * axis.room / 2 + 1);
  if (!axis.first) return e.set(ET_IO, "out of memory for %d x %d filter taps", outputs, most);
  axis.taps = axis.first + outputs;
  axis.weights = reinterpret_cast<int16_t*>(axis.taps + outputs);
  axis.low = samples, axis.high = 0;
  return true;
}

// The hot loops take samples in pairs that begin at even places: a tap of weight 0 is put before or behind where needed.
void put(Axis& axis, int i, int first, const float* w, int n, float scale) {
  int16_t* out = axis.weights + size_t(i) * axis.room;
  const int before = first & 1;
  out[0] = 0;
  hot().quantise(w, n, scale, out + before);
  first -= before, n += before;
  axis.low = std::min(axis.low, first), axis.high = std::max(axis.high, first + n);
  if (n & 1) out[n++] = 0;
  axis.first[i] = first, axis.taps[i] = n;
}

// The taps of `outputs` pixels out of [x0, x1), for a component with a sample a pixel, `axes[0]`, and for one with half as
// many, `axes[1]`, where `halved` (its samples) is not 0. `limit`: pixels of the whole scaled image along the axis.
bool build_axes(const EtFilter& f, float x0, float x1, float full, int outputs, int limit, int halved, Scratch& s,
                Buffer* memory, Axis* axes, Error& e) {
  const float pitch = (x1 - x0) / outputs;
  const Kernel kernel(f, f.base ? f.base : outputs, x1 - x0, full);
  int low = std::max(0, int(std::ceil(x0 - .5f))), high = std::min(limit - 1, int(std::floor(x1 - .5f)));
  if (low > high) low = high = std::min(limit - 1, std::max(0, int((x0 + x1) / 2)));
  const int most = int(std::min<float>(high - low + 1, 2 * kernel.radius + 2));
  float* w = s.weights.reserve_as<float>(2 * (most + 24));
  if (!w) return e.set(ET_IO, "out of memory for %d filter taps", most);
  float* folded = w + most + 24;
  if (!reserve_axis(axes[0], outputs, most, limit, memory[0], e)) return false;
  if (halved && !reserve_axis(axes[1], outputs, most / 2 + 4, halved, memory[1], e)) return false;
  for (int i = 0; i < outputs; i++) {
    const float centre = x0 + (i + .5f) * pitch;
    const int a = std::min(high, std::max(low, int(std::ceil(centre - kernel.radius - .5f))));
    const int b = std::max(a, std::min(high, int(std::floor(centre + kernel.radius - .5f))));
    const int n = std::min(b - a + 1, most);
    float sum = hot().look_up(kernel.table, kernel.columns, kernel.steps, a + .5f - centre, n, w);
    if (sum < .01f) {  // no sample near enough; cannot happen with a filter at least one sample wide
      std::fill(w, w + n, 1.f);
      sum = float(n);
    }
    put(axes[0], i, a, w, n, kOne / sum);
    if (halved) {
      int first = 0;
      const int count = fold(w, a, n, halved, folded, first);
      put(axes[1], i, first, folded, count, kOne / sum);
    }
  }
  return true;
}

int up16(int n) { return (n + 15) & ~15; }

// One component: x first, eight columns at a time, which are turned while they are in the cache, then y. Result in Q6,
// row-major, stride up16(width).
bool resample_plane(const Plane& p, const Axis& ax, const Axis& ay, const Target& t, Scratch& s, int16_t* out, Error& e) {
  if (ax.low < p.x0 || ax.high > p.x0 + p.columns || ay.low < p.y0 || ay.high > p.y0 + p.rows)
    return e.set(ET_BAD_ARGUMENT, "the filter needs samples outside the decoded region");
  const int rows = ay.high - ay.low, tall = up16(rows) + 16, wide = up16(t.width);
  int16_t* columns = s.columns.reserve_as<int16_t>(size_t(tall) * 8);
  int16_t* turned = s.turned.reserve_as<int16_t>(size_t(wide) * (tall + 2) + 16);
  if (!columns || !turned) return e.set(ET_IO, "out of memory for %d x %d pixels", t.width, rows);
  const Hot& h = hot();
  for (int x = 0; x < t.width; x += 8) {
    const int n = std::min(8, t.width - x);
    for (int j = 0; j < n; j++) {
      const int i = t.flip ? t.width - 1 - x - j : x + j;
      h.weigh_u8(p.at(ax.first[i], ay.low), 2 * p.stride, ax.weights + size_t(i) * ax.room, ax.taps[i], rows,
                 columns + size_t(j) * tall);
    }
    h.transpose(columns, tall, rows, turned + 2 * x, 2 * wide);
  }
  for (int i = 0; i < t.height; i++)
    h.weigh_q6(turned + size_t(ay.first[i] - ay.low) * wide, 2 * wide, ay.weights + size_t(i) * ay.room, ay.taps[i], t.width,
               out + size_t(i) * wide);
  return true;
}

}  // namespace

bool resample(const Planes& planes, const Target& t, const EtFilter& filter, Scratch& s, bool to_rgb, uint8_t* out, Error& e) {
  if (!(t.box[2] > t.box[0] && t.box[3] > t.box[1] && t.full[0] > 0 && t.full[1] > 0))
    return e.set(ET_BAD_ARGUMENT, "crop box %g %g %g %g is empty", t.box[0], t.box[1], t.box[2], t.box[3]);
  const int wide = up16(t.width);
  int16_t* pixels[3] = {nullptr, nullptr, nullptr};
  // taps along x and y: of luma, and of both chroma components where those are sub-sampled
  Axis x[2], y[2];
  const Plane& chroma = planes.plane[planes.count - 1];
  const int half_x = chroma.width != planes.width ? chroma.width : 0, half_y = chroma.height != planes.height ? chroma.height : 0;
  if (!build_axes(filter, t.box[0], t.box[2], t.full[0], t.width, planes.width, half_x, s, s.axes, x, e) ||
      !build_axes(filter, t.box[1], t.box[3], t.full[1], t.height, planes.height, half_y, s, s.axes + 2, y, e))
    return false;
  for (int c = 0; c < planes.count; c++) {
    pixels[c] = s.pixels[c].reserve_as<int16_t>(size_t(wide) * t.height + 16);
    if (!pixels[c]) return e.set(ET_IO, "out of memory for %d x %d pixels", t.width, t.height);
    if (!resample_plane(planes.plane[c], x[c && half_x], y[c && half_y], t, s, pixels[c], e)) return false;
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
