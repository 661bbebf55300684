// Planes -> an antialiased image of the crop: weights from the filter's table, then two passes of weighted sums.
#include <algorithm>
#include <cmath>

#include "hot.h"

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
// `axes[0]`, and for one with half as many, `axes[1]`, where `halved` (its samples) is not 0. `limit`: pixels of the whole scaled
// image along the axis.
bool build_axes(const EtFilter& f, float x0, float x1, float full, int outputs, int limit, int halved, Scratch& s,
                Buffer* memory, Axis* axes, Error& e) {
  AxisPlan plan{};
  plan.start = x0, plan.pitch = (x1 - x0) / outputs, plan.outputs = outputs, plan.halved = halved;
  // the filter's row, in samples of this level; see loaders/plan/filters.py
  const float base = f.base ? f.base : outputs, stretch = std::max(1.f, base / full), unit = base / (x1 - x0);
  const int row = std::min(f.rows - 1, int((stretch - 1) / f.stretch_step + .5f));
  const float last = 1 + (f.rows - 1) * f.stretch_step, more = std::max(1.f, stretch / last);
  plan.table = f.table + size_t(row) * f.columns, plan.columns = f.columns;
  plan.radius = f.radius[row] * more / unit, plan.steps = f.steps / more * unit;
  plan.low = std::max(0, int(std::ceil(x0 - .5f))), plan.high = std::min(limit - 1, int(std::floor(x1 - .5f)));
  if (plan.low > plan.high) plan.low = plan.high = std::min(limit - 1, std::max(0, int((x0 + x1) / 2)));
  plan.most = int(std::min<float>(plan.high - plan.low + 1, 2 * plan.radius + 2));
  plan.memory = s.weights.reserve_as<float>(2 * (plan.most + 24));
  if (!plan.memory) return e.set(ET_IO, "out of memory for %d filter taps", plan.most);
  if (!reserve_axis(axes[0], outputs, plan.most, limit, memory[0], e)) return false;
  if (halved && !reserve_axis(axes[1], outputs, plan.most / 2 + 4, halved, memory[1], e)) return false;
  hot().weights(plan, axes[0], halved ? &axes[1] : nullptr);
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
