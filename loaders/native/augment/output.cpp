// What follows resampling, while the image is in cache. See output.h.
#include "augment/output.h"

#include <algorithm>

#include "augment/augment.h"
#include "augment/low_pass.h"
#include "simd/loops.h"

namespace et {
namespace {

// Levels to values of the batch's type, those that are still to be replaced included.
template <class T>
void write_values(const Image& p, const void* tables, size_t area, bool channels_last,
                  void (*values)(const uint8_t*, size_t, const T*, bool, T*), void* out) {
  const T* by_level = static_cast<const T*>(tables);
  T composed[3 * 256];
  if (p.pending) {
    for (int i = 0; i < 3 * 256; i++) composed[i] = by_level[i / 256 * 256 + p.table[i / 256][i % 256]];
    by_level = composed;
  }
  values(p.pixels, area, by_level, channels_last, static_cast<T*>(out));
}

void write_levels(const Image& p, size_t area, bool channels_last, uint8_t* out) {
  if (channels_last || p.pending)
    loops().values_8(p.pixels, area, p.table[0], channels_last, out);
  else if (p.pixels != out)
    std::memcpy(out, p.pixels, 3 * area);
}

// SplitMix64, as in loaders/transforms/keyed_noise.py.
uint64_t mix(uint64_t bits) {
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9u;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EBu;
  return bits ^ bits >> 31;
}

// Fills the box with noise: of each pixel 16 bits a channel choose one of 65,536 values.
template <class T>
void erase(const EtErasure& box, const void* noise, int side, bool channels_last, void* out) {
  const T* const values = static_cast<const T*>(noise);
  const size_t area = size_t(side) * side, pixel = channels_last ? 3 : 1, channel = channels_last ? 1 : area;
  for (int y = box.top; y < box.top + box.height; y++)
    for (int x = box.left; x < box.left + box.width; x++) {
      const uint64_t at = uint64_t(y) * side + x, bits = mix(uint64_t(box.key) + (at + 1) * 0x9E3779B97F4A7C15u);
      for (int c = 0; c < 3; c++) static_cast<T*>(out)[at * pixel + c * channel] = values[uint16_t(bits >> 16 * c) ^ 0x8000];
    }
}

bool inside(const EtErasure& box, int side) {
  return box.top >= 0 && box.left >= 0 && box.height >= 0 && box.width >= 0 && box.height <= side && box.width <= side &&
         box.top <= side - box.height && box.left <= side - box.width;
}

}  // namespace

uint8_t* place_for(const EtBatch& b, uint8_t* out, Scratch& s) {
  const bool done = !b.lut && !b.channels_last && !b.augment.operations && !b.augment.low_pass;
  return done ? out : s.rgb.reserve(held_bytes(b.side));
}

bool deliver(const EtBatch& b, int64_t i, const uint8_t* pixels, uint8_t* out, Scratch& s, Error& e) {
  const EtAugment& a = b.augment;
  const EtLowPass* const low = a.low_pass;
  const int side = output_side(b), area = side * side;
  uint8_t* const last = b.lut || b.channels_last || low ? nullptr : out;
  Image p;
  if (!augment(a.operations ? a.operations + i * a.steps : nullptr, a.operations ? a.steps : 0, a, b.side, pixels, last, s, p, e))
    return false;
  if (low && !settle(p, b.side, s, e)) return false;
  if (low && !low->normalise && !(p.pixels = low_pass(*low, b.side, p.pixels, s, e))) return false;
  if (low && low->normalise) {
    if (!low_pass_values(*low, b.side, p.pixels, b.channels_last, reinterpret_cast<float*>(out), s, e)) return false;
  } else if (!b.lut) {
    return write_levels(p, area, b.channels_last, out), true;
  } else if (b.element == 4) {
    write_values(p, b.lut, area, b.channels_last, loops().values_32, out);
  } else {
    write_values(p, b.lut, area, b.channels_last, loops().values_16, out);
  }
  if (!a.erasures) return true;
  const EtErasure& box = a.erasures[i];
  if (!inside(box, side))
    return e.set(ET_BAD_ARGUMENT, "erasing %d x %d pixels at %d, %d", box.width, box.height, box.left, box.top);
  (b.element == 4 ? erase<uint32_t> : erase<uint16_t>)(box, a.noise, side, b.channels_last, out);
  return true;
}

}  // namespace et
