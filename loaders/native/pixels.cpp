// Ways into single stations: pixels that another library decoded, and bare planes for tests.
#include <algorithm>

#include "planes.h"

extern "C" int32_t et_resample(const uint8_t* rgb, int32_t width, int32_t height, const EtSample* sample,
                               const EtFilter* filter, int32_t side, uint8_t* out) {
  thread_local et::Scratch scratch;
  et::Planes planes;
  planes.count = 3, planes.color = et::Color::kRgb, planes.width = width, planes.height = height;
  for (int c = 0; c < 3; c++) {
    et::Plane& p = planes.plane[c];
    p = {nullptr, 0, 0, 0, width, height, width, height};
    if (!p.reserve(scratch.planes[c])) return ET_IO;
    for (int y = 0; y < height; y++)
      for (int x = 0; x < width; x++) *p.at(x, y) = rgb[(size_t(y) * width + x) * 3 + c];
  }
  et::Error e;
  et::Target target{side, side, {}, {sample->full[0], sample->full[1]}, sample->flip != 0};
  std::copy(sample->box, sample->box + 4, target.box);
  return et::resample(planes, target, *filter, scratch, true, out, e) ? ET_OK : e.status;
}

extern "C" int32_t et_planes(const uint8_t* jpeg, size_t size, const int32_t* region, int32_t scale, uint8_t* out,
                             size_t capacity, char* message) {
  thread_local et::Scratch scratch;
  et::Error e;
  et::Header header;
  et::Planes planes;
  const et::Box box{region[0] & ~1, region[1] & ~1, region[2], region[3]};
  bool good = et::parse_header(jpeg, size, header, e);
  if (good && !header.own) good = e.set(ET_UNSUPPORTED, "the own decoder does not read this kind of JPEG");
  if (good) {
    const et::Source source{jpeg + header.head, size - header.head, 0, nullptr, 0};
    good = et::decode_own(header, source, box, scale, scratch, planes, e);
  }
  for (int c = 0; good && c < planes.count; c++) {
    const et::Plane& p = planes.plane[c];
    const size_t area = size_t(p.width) * p.height;
    if (area > capacity) good = e.set(ET_BAD_ARGUMENT, "the output holds too few bytes");
    for (int y = 0; good && y < p.height; y++)
      for (int x = 0; x < p.width; x++) {
        const bool held = x >= p.x0 && x < p.x0 + p.columns && y >= p.y0 && y < p.y0 + p.rows;
        out[size_t(y) * p.width + x] = held ? *p.at(x, y) : 0;
      }
    if (good) out += area, capacity -= area;
  }
  std::copy(e.text, e.text + ET_MESSAGE, message);
  return e.status;
}
