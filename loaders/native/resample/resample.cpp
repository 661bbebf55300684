// Planes -> an antialiased image of the crop: weights from the filter's table, then two passes of weighted sums.
#include <algorithm>
#include <cmath>
#include <tuple>

#include "simd/loops.h"

namespace et {
namespace {

bool reserve_axis(Axis& axis, int outputs, int most, int samples, Buffer& memory, Error& e) {
  axis.room = (most + 16) & ~7;  // a tap before, one behind, and weights are written in eights
  axis.first = memory.reserve_as<int>(size_t(outputs) * 2 + size_t(outputs) * axis.room / 2 + 1);
  if (!axis.first) return e.set(ET_IO, "out of memory for %d x %d filter taps", outputs, most);
  axis.taps = axis.first + outputs;
  axis.weights = reinterpret_cast<int16_t*>(axis.taps + outputs);
  axis.low = samples, axis.high = 0;
  return true;
}

// The taps of `outputs` pixels out of [x0, x1), of a crop of `full` full-size pixels, for a component with a sample a pixel,
// `axes[0]`, and for one with half as many, `axes[1]`, where `halved` (its samples) is not 0. Taps are pixels whose centre is at
// most `margin` outside the crop. `limit`: pixels of the whole scaled image along the axis.
bool build_axes(const EtFilter& f, float x0, float x1, float full, float margin, int outputs, int limit, int halved, Scratch& s,
                Buffer* memory, Axis* axes, Error& e) {
  AxisPlan plan{};
  plan.start = x0, plan.pitch = (x1 - x0) / outputs, plan.outputs = outputs, plan.halved = halved;
  // the filter's row, in samples of this level; see loaders/plan/filters.py
  const float base = f.base ? f.base : outputs, stretch = std::max(1.f, base / full), unit = base / (x1 - x0);
  const int row = std::min(f.rows - 1, int((stretch - 1) / f.stretch_step + .5f));
  const float last = 1 + (f.rows - 1) * f.stretch_step, more = std::max(1.f, stretch / last);
  plan.table = f.table + size_t(row) * f.columns, plan.columns = f.columns;
  plan.radius = f.radius[row] * more / unit, plan.steps = f.steps / more * unit;
  plan.low = std::max(0, int(std::ceil(x0 - margin - .5f)));
  plan.high = std::min(limit - 1, int(std::floor(x1 + margin - .5f)));
  if (plan.low > plan.high) plan.low = plan.high = std::min(limit - 1, std::max(0, int((x0 + x1) / 2)));
  plan.most = int(std::min<float>(plan.high - plan.low + 1, 2 * plan.radius + 2));
  plan.memory = s.weights.reserve_as<float>(2 * (plan.most + 24));
  if (!plan.memory) return e.set(ET_IO, "out of memory for %d filter taps", plan.most);
  if (!reserve_axis(axes[0], outputs, plan.most, limit, memory[0], e)) return false;
  if (halved && !reserve_axis(axes[1], outputs, plan.most / 2 + 4, halved, memory[1], e)) return false;
  loops().weights(plan, axes[0], halved ? &axes[1] : nullptr);
  return true;
}

// The components that lie together with `p`: x first, eight columns at a time, which are turned while they are in the cache,
// then y. Result in Q6, a row of one component after the same row of the one before, each up16(width) long.
bool resample_planes(const Plane& p, const Axis& ax, const Axis& ay, const Target& t, Scratch& s, int16_t* out, Error& e) {
  if (ax.low < p.x0 || ax.high > p.x0 + p.columns || ay.low < p.y0 || ay.high > p.y0 + p.rows)
    return e.set(ET_BAD_ARGUMENT, "the filter needs samples outside the decoded region");
  const int rows = ay.high - ay.low, all = (p.together - 1) * p.rows + rows, tall = up16(all) + 16;
  const int one = up16(t.width), wide = p.together * one;
  int16_t* columns = s.columns.reserve_as<int16_t>(size_t(tall) * 8);
  int16_t* turned = s.turned.reserve_as<int16_t>(size_t(wide) * (up16(rows) + 18) + 16);
  if (!columns || !turned) return e.set(ET_IO, "out of memory for %d x %d pixels", t.width, rows);
  const Loops& h = loops();
  for (int x = 0; x < t.width; x += 8) {
    for (int j = 0; j < std::min(8, t.width - x); j++) {
      const int i = t.flip ? t.width - 1 - x - j : x + j;
      h.weigh_u8(p.at(ax.first[i], ay.low), 2 * p.stride, ax.weights + size_t(i) * ax.room, ax.taps[i], all,
                 columns + size_t(j) * tall);
    }
    for (int k = 0; k < p.together; k++)
      h.transpose(columns + size_t(k) * p.rows, tall, rows, turned + 2 * (k * one + x), 2 * wide);
  }
  for (int i = 0; i < t.height; i++)
    h.weigh_q6(turned + size_t(ay.first[i] - ay.low) * wide, 2 * wide, ay.weights + size_t(i) * ay.room, ay.taps[i], wide,
               out + size_t(i) * wide);
  return true;
}

// The outputs [low, high) whose centres are inside an image of `limit` pixels.
struct Inside {
  int low, high;
  Inside(float x0, float x1, int outputs, int limit) {
    const float pitch = (x1 - x0) / outputs;
    const auto place = [&](float x) { return int(std::min(float(outputs), std::max(0.f, std::ceil((x - x0) / pitch - .5f)))); };
    low = place(0), high = place(float(limit));
  }
};

void fill_outside(const Planes& planes, const Target& t, uint8_t* out) {
  Inside x(t.box[0], t.box[2], t.width, planes.width);
  const Inside y(t.box[1], t.box[3], t.height, planes.height);
  if (x.low == 0 && y.low == 0 && x.high == t.width && y.high == t.height) return;
  if (t.flip) std::tie(x.low, x.high) = std::make_pair(t.width - x.high, t.width - x.low);
  for (int c = 0; c < 3; c++)
    for (int i = 0; i < t.height; i++, out += t.width) {
      const bool held = y.low <= i && i < y.high;
      std::fill(out, out + (held ? x.low : t.width), t.fill[c]);
      std::fill(out + (held ? x.high : t.width), out + t.width, t.fill[c]);
    }
}

}  // namespace

Target target_of(const EtSample& sample, int side, int scale) {
  Target t{side, side, {}, {sample.full[0], sample.full[1]}, sample.flip != 0, float(sample.margin) / scale, {}};
  for (int i = 0; i < 4; i++) t.box[i] = sample.box[i] / scale;
  std::copy(sample.fill, sample.fill + 3, t.fill);
  return t;
}

bool region_of(const Target& t, int width, int height, Box& region) {
  region = {std::max(0, int(std::floor(t.box[0] - t.margin))) & ~1, std::max(0, int(std::floor(t.box[1] - t.margin))) & ~1,
            std::min(width, int(std::ceil(t.box[2] + t.margin))), std::min(height, int(std::ceil(t.box[3] + t.margin)))};
  return t.box[0] < width && t.box[1] < height && t.box[2] > 0 && t.box[3] > 0 && region.x0 < region.x1 && region.y0 < region.y1;
}

bool resample(const Planes& planes, const Target& t, const EtFilter& filter, Scratch& s, bool to_rgb, uint8_t* out, Error& e) {
  if (!(t.box[2] > t.box[0] && t.box[3] > t.box[1] && t.full[0] > 0 && t.full[1] > 0))
    return e.set(ET_BAD_ARGUMENT, "crop box %g %g %g %g is empty", t.box[0], t.box[1], t.box[2], t.box[3]);
  // taps along x and y: of luma, and of both chroma components where those are sub-sampled
  Axis x[2], y[2];
  const Plane& chroma = planes.plane[planes.count - 1];
  const int half_x = chroma.width != planes.width ? chroma.width : 0, half_y = chroma.height != planes.height ? chroma.height : 0;
  if (!build_axes(filter, t.box[0], t.box[2], t.full[0], t.margin, t.width, planes.width, half_x, s, s.axes, x, e) ||
      !build_axes(filter, t.box[1], t.box[3], t.full[1], t.margin, t.height, planes.height, half_y, s, s.axes + 2, y, e))
    return false;
  const int wide = up16(t.width);
  int16_t* pixels[3] = {nullptr, nullptr, nullptr};
  int pitch[3] = {0, 0, 0};  // elements from a row of `pixels` to the next
  for (int c = 0; c < planes.count; c += planes.plane[c].together) {
    const Plane& first = planes.plane[c];
    int16_t* rows = s.pixels[c].reserve_as<int16_t>(size_t(wide) * first.together * t.height + 16);
    if (!rows) return e.set(ET_IO, "out of memory for %d x %d pixels", t.width, t.height);
    if (!resample_planes(first, x[c && half_x], y[c && half_y], t, s, rows, e)) return false;
    for (int k = 0; k < first.together; k++) pixels[c + k] = rows + k * wide, pitch[c + k] = first.together * wide;
  }
  const size_t area = size_t(t.width) * t.height;
  for (int y = 0; y < t.height; y++) {
    const int16_t* row[3];
    for (int c = 0; c < planes.count; c++) row[c] = pixels[c] + size_t(y) * pitch[c];
    uint8_t* to = out + size_t(y) * t.width;
    if (to_rgb && planes.count == 3 && planes.color == Color::kYcc)
      loops().ycc_to_rgb(row[0], row[1], row[2], t.width, to, to + area, to + 2 * area);
    else
      for (int c = 0; c < planes.count; c++) loops().to_u8(row[c], t.width, to + c * area);
  }
  if (to_rgb && planes.count == 1)
    for (int c = 1; c < 3; c++) std::memcpy(out + c * area, out, area);
  if (to_rgb) fill_outside(planes, t, out);
  return true;
}

}  // namespace et
