// Resampling of pixels that another library decoded.
#include <algorithm>
#include <cmath>

#include "jpeg/decode.h"

namespace et {

void scatter(const uint8_t* samples, size_t pitch, int rows, int y, Planes& out) {
  enum { kTile = 64 };  // columns at a time: they and their places in the planes stay in the first cache
  const int n = out.count, columns = out.plane[0].columns;
  for (int x0 = 0; x0 < columns; x0 += kTile)
    for (int i = 0; i < rows; i++) {
      const int x1 = std::min(columns, x0 + kTile);
      const uint8_t* from = samples + pitch * i + size_t(x0) * n;
      for (int x = x0; x < x1; x += 2, from += 2 * n)
        for (int c = 0; c < n; c++) {
          const Plane& p = out.plane[c];
          uint8_t* to = p.at(p.x0 + x, y + i);
          to[0] = from[c];
          if (x + 1 < x1) to[1] = from[n + c];
        }
    }
}

}  // namespace et

extern "C" int32_t et_resample(const uint8_t* rgb, int32_t width, int32_t height, const EtSample* sample,
                               const EtFilter* filter, int32_t side, uint8_t* out) {
  thread_local et::Scratch scratch;
  et::Planes planes;
  et::Error e;
  planes.count = 3, planes.color = et::Color::kRgb, planes.width = width, planes.height = height;
  const et::Target target = et::target_of(*sample, side, 1);
  et::Box region;
  if (!et::region_of(target, width, height, region)) return ET_BAD_ARGUMENT;
  const auto [x0, y0, x1, y1] = region;
  for (et::Plane& p : planes.plane) p = {nullptr, 0, x0, y0, x1 - x0, y1 - y0, width, height, 1};
  if (!planes.reserve(scratch.planes, e)) return ET_IO;
  et::scatter(rgb + (size_t(y0) * width + x0) * 3, size_t(width) * 3, y1 - y0, y0, planes);
  return et::resample(planes, target, *filter, scratch, true, out, e) ? ET_OK : e.status;
}
