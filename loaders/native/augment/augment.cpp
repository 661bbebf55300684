// RandAugment's operations: which loop does which, and tables of levels. See augment.h.
#include "augment/augment.h"

#include <algorithm>
#include <cmath>

#include "simd/loops.h"

namespace et {
namespace {

bool sound(const EtOperation& o, int side, Error& e) {
  if (o.kind < kNone || o.kind >= kOperations) return e.set(ET_BAD_ARGUMENT, "augmentation has no operation %d", o.kind);
  if (!(std::abs(o.argument) <= 65536) || (o.kind == kPosterize && !(o.argument >= 0 && o.argument <= 8)))
    return e.set(ET_BAD_ARGUMENT, "operation %d got the argument %g", o.kind, o.argument);
  for (int axis = 0; axis < 2 && o.kind >= kRotate; axis++) {  // every place must fit into 32 bits
    const int32_t* map = o.map + 3 * axis;
    const int64_t reach = std::abs(int64_t(map[0])) + side * (std::abs(int64_t(map[1])) + std::abs(int64_t(map[2]))) / 2;
    if (reach + 2 * int64_t(kPlaceOne) > INT32_MAX)
      return e.set(ET_BAD_ARGUMENT, "operation %d moves pixels too far: %d %d %d", o.kind, map[0], map[1], map[2]);
  }
  return true;
}

uint8_t truncate(double value) { return uint8_t(int(value > 0 ? value < 255 ? value : 255 : 0)); }

// Tables of levels, as in loaders/transforms/randaugment_ops.py and in its precision.

// Levels stretched to 0 to 255. Pillow truncates the sum of just these two products.
void stretch(int low, int high, uint8_t* table) {
  if (high <= low) return;
  const double scale = 255.0 / (high - low);
  for (int v = 0; v < 256; v++) table[v] = truncate(v * scale + -low * scale);
}

// Levels about equally frequent.
void equalize(const uint32_t* counts, uint8_t* table) {
  int64_t total = 0, highest = 0;
  for (int v = 0; v < 256; v++) total += counts[v], highest = counts[v] ? counts[v] : highest;
  const int64_t step = (total - highest) / 255;
  if (!step) return;
  int64_t before = step / 2;
  for (int v = 0; v < 256; v++) table[v] = uint8_t(std::min<int64_t>(before / step, 255)), before += counts[v];
}

int by_level(int32_t kind, float argument, int v, int mean) {
  switch (kind) {
    case kInvert: return 255 - v;
    case kPosterize: return v >> (8 - int(argument)) << (8 - int(argument));
    case kSolarize: return float(v) < argument ? v : 255 - v;
    case kSolarizeAdd: return v < 128 ? std::min(255, v + int(argument)) : v;
    default: return truncate(float(mean) + argument * float(v - mean));  // kContrast; kBrightness, where the mean is 0
  }
}

void replace_levels(Image& p, uint8_t (&table)[3][256]) {
  for (int c = 0; c < 3; c++)
    for (uint8_t& level : p.table[c]) level = table[c][level];
  p.pending = true;
}

void identity(uint8_t (&table)[3][256]) {
  for (auto& levels : table)
    for (int v = 0; v < 256; v++) levels[v] = uint8_t(v);
}

// An operation that replaces levels: composed with the pending ones.
void look_at_levels(const EtOperation& o, size_t area, Image& p) {
  uint8_t table[3][256];
  identity(table);
  if (o.kind == kAutoContrast || o.kind == kEqualize)
    for (int c = 0; c < 3; c++) {
      const uint8_t* plane = p.pixels + c * area;
      uint8_t low, high;
      uint32_t counts[256] = {}, replaced[256] = {};
      if (o.kind == kAutoContrast && !p.pending) {
        loops().level_range(plane, area, low, high);
        stretch(low, high, table[c]);
        continue;
      }
      loops().count_levels(plane, area, counts);
      for (int v = 0; v < 256; v++) replaced[p.table[c][v]] += counts[v];
      if (o.kind == kEqualize) {
        equalize(replaced, table[c]);
      } else {
        const auto some = [](uint32_t count) { return count != 0; };
        stretch(int(std::find_if(replaced, replaced + 256, some) - replaced),
                255 - int(std::find_if(std::make_reverse_iterator(replaced + 256), std::make_reverse_iterator(replaced), some) -
                          std::make_reverse_iterator(replaced + 256)),
                table[c]);
      }
    }
  else {
    const int64_t mean = o.kind == kContrast ? (2 * loops().grey_sum(p.pixels, area) + int64_t(area)) / (2 * int64_t(area)) : 0;
    for (int v = 0; v < 256; v++) table[0][v] = table[1][v] = table[2][v] = uint8_t(by_level(o.kind, o.argument, v, int(mean)));
  }
  replace_levels(p, table);
}

// Where rows are moved along themselves.
struct Slide {
  int side, middle, slope;  // `middle`: where the pixel in column and row side / 2 comes from; `slope`: its change from row to row
  const int16_t* cubic;
  uint8_t* pairs;           // 2 * (side + 64) bytes: each pixel and the next beside each other, two before the first
  int16_t* sums;            // side + 64
};

void slide_rows(const Slide& s, const uint8_t* from, int stride, uint8_t fill, uint8_t* to, int to_stride) {
  const int64_t all = int64_t(s.side) * kPlaceOne;
  for (int y = 0; y < s.side; y++, from += stride, to += to_stride) {
    const int64_t first = s.middle + int64_t(y - s.side / 2) * s.slope - int64_t(s.side / 2) * kPlaceOne;
    const int64_t edge = first + kPlaceOne / 2, near = first + kNearest;
    const auto up = [](int64_t place) { return (place + kPlaceOne - 1) >> kPlaceBits; };
    const int low = int(std::clamp<int64_t>(up(-edge), 0, s.side)), high = int(std::clamp<int64_t>(up(all - edge), low, s.side));
    std::memset(to, fill, low), std::memset(to + high, fill, s.side - high);
    if (low == high) continue;
    loops().pair_pixels(from, s.side, s.pairs);
    const int begin = int(near >> kPlaceBits) + low + 1;  // among the pairs: one pixel before the place, and two of the edge
    loops().weigh_u8(s.pairs + 2 * begin, 4, s.cubic + 4 * move_phase(int(near & (kPlaceOne - 1))), 4, high - low, s.sums);
    loops().truncate_q6(s.sums, high - low, to + low);
  }
}

bool slide(const EtOperation& o, const EtAugment& a, int side, const uint8_t* from, uint8_t* to, Scratch& s, Error& e) {
  const size_t area = size_t(side) * side;
  const int wide = up16(side);
  uint8_t* memory = s.moved.reserve(4 * size_t(side + 64) + 2 * size_t(wide) * wide);
  if (!memory) return e.set(ET_IO, "out of memory for %d x %d pixels", side, side);
  const bool down = o.kind == kShearY || o.kind == kTranslateY;
  uint8_t *turned = memory + 4 * size_t(side + 64), *moved = turned + size_t(wide) * wide;
  const Slide along{side, o.map[down ? 3 : 0], o.map[down ? 4 : 2], a.cubic, memory,
                    reinterpret_cast<int16_t*>(memory + 2 * size_t(side + 64))};
  for (int c = 0; c < 3; c++) {
    const uint8_t* plane = from + c * area;
    uint8_t* out = to + c * area;
    if (!down) {
      slide_rows(along, plane, side, a.fill[c], out, side);
      continue;
    }
    loops().transpose_levels(plane, side, wide, wide, turned, wide);
    slide_rows(along, turned, wide, a.fill[c], moved, wide);
    loops().transpose_levels(moved, wide, wide, wide, side == wide ? out : turned, wide);
    for (int y = 0; y < side && side != wide; y++) std::memcpy(out + size_t(y) * side, turned + size_t(y) * wide, side);
  }
  return true;
}

bool rotate(const EtOperation& o, const EtAugment& a, int side, const uint8_t* from, uint8_t* to, Scratch& s, Error& e) {
  uint8_t* framed = s.moved.reserve(size_t(side + 4) * (side + 4) * 4 + 64);
  if (!framed) return e.set(ET_IO, "out of memory for %d x %d pixels", side, side);
  loops().frame_pixels(from, side, framed);
  loops().move_pixels(framed, side, o.map, a.cubic, a.fill, to);
  return true;
}

// Memory for the next image; null when memory is out.
uint8_t* other(Image& p, int side, Scratch& s, Error& e) {
  uint8_t* memory = s.augmented[p.memory ^= 1].reserve(held_bytes(side));
  if (!memory) e.set(ET_IO, "out of memory for %d x %d pixels", side, side);
  return memory;
}

}  // namespace

bool settle(Image& p, int side, Scratch& s, Error& e) {
  if (!p.pending) return true;
  const size_t area = size_t(side) * side;
  uint8_t* to = other(p, side, s, e);
  if (!to) return false;
  for (int c = 0; c < 3; c++) loops().map_levels(p.pixels + c * area, area, p.table[c], to + c * area);
  p.pixels = to, p.pending = false;
  identity(p.table);
  return true;
}

bool augment(const EtOperation* operations, int steps, const EtAugment& a, int side, const uint8_t* from, uint8_t* last,
             Scratch& s, Image& p, Error& e) {
  const size_t area = size_t(side) * side;
  p.pixels = from, p.pending = false, p.memory = 0;
  identity(p.table);
  int final = -1;
  for (int k = 0; k < steps; k++) {
    if (!sound(operations[k], side, e)) return false;
    if (operations[k].kind >= kColor) final = k;
  }
  for (int k = 0; k < steps; k++) {
    const EtOperation& o = operations[k];
    if (o.kind == kNone) continue;
    if (o.kind >= kContrast && o.kind != kBrightness && !settle(p, side, s, e)) return false;
    if (o.kind < kColor) {
      look_at_levels(o, area, p);
      continue;
    }
    uint8_t* to = k == final && last ? last : other(p, side, s, e);
    if (!to) return false;
    if (o.kind == kColor) {
      loops().color(p.pixels, area, o.argument, to);
    } else if (o.kind == kSharpness) {
      for (int c = 0; c < 3; c++) loops().sharpen(p.pixels + c * area, side, o.argument, to + c * area);
    } else if (!(o.kind == kRotate ? rotate : slide)(o, a, side, p.pixels, to, s, e)) {
      return false;
    }
    p.pixels = to;
  }
  return true;
}

}  // namespace et
