// See level_encoder.h: forward DCT, quantisation, Huffman symbols.
#include "encode/level_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "simd/loops.h"

namespace et {
namespace {

// Note [even quantisation]: what is made smaller again later needs its coefficients alike, not as the eye at full size sees
// them: the error of an RGB pixel weighs Y, Cb and Cr about equally, and only the highest frequencies will be filtered out.
// `benchmarks fidelity` shows what a change here does.
void even_table(int quality, uint16_t* quant, float* steps) {
  for (int k = 0; k < 64; k++) {
    const int u = kZigzag[k] & 7, v = kZigzag[k] >> 3;
    const long step = std::lround(std::max(1.0, (100 - quality) / 2.0 * (1 + (u * u + v * v) / 49.0)));
    quant[k] = uint16_t(step), steps[kZigzag[k]] = 8.f * float(step);
  }
}

// By libjpeg's integers (jccolor.c).
void to_ycc(uint8_t* r, uint8_t* g, uint8_t* b, size_t n) {
  enum { kHalf = 1 << 15, kCentre = (128 << 16) + kHalf - 1 };
  for (size_t i = 0; i < n; i++) {
    const int red = r[i], green = g[i], blue = b[i];
    r[i] = uint8_t((19595 * red + 38470 * green + 7471 * blue + kHalf) >> 16);
    g[i] = uint8_t((-11059 * red - 21709 * green + 32768 * blue + kCentre) >> 16);
    b[i] = uint8_t((32768 * red - 27439 * green - 5329 * blue + kCentre) >> 16);
  }
}

Header header_of(int count, int width, int height) {
  Header h;
  std::memset(&h, 0, sizeof h);
  h.width = width, h.height = height, h.ncomp = count;
  for (int c = 0; c < count; c++) h.comp[c] = {uint8_t(c + 1), 1, 1, 0, uint8_t(c != 0), uint8_t(c != 0)};
  h.hmax = h.vmax = 1, h.mcu_w = h.mcu_h = 8;
  h.mcus_x = (width + 7) / 8, h.mcus_y = (height + 7) / 8;
  h.own = true, h.color = count == 1 ? Color::kGrey : Color::kYcc;
  return h;
}

// The block at (x, y); where the image ends inside it, its last column and row are repeated, as libjpeg does.
void transform(const uint8_t* plane, int width, int height, int x, int y, const float* steps, Coefficients& block) {
  uint8_t edge[64];
  const uint8_t* pixels = plane + size_t(y) * width + x;
  int stride = width;
  if (x + 8 > width || y + 8 > height) {
    for (int i = 0; i < 64; i++)
      edge[i] = plane[size_t(std::min(y + i / 8, height - 1)) * width + std::min(x + i % 8, width - 1)];
    pixels = edge, stride = 8;
  }
  loops().forward(pixels, stride, steps, block);
}

enum { kBits = 6 };  // of a coefficient that is not 0, about; more exact figures would not change where markers go

}  // namespace

bool encode_level(uint8_t* planes, int count, Color color, int width, int height, int quality, int segment, Buffer& memory,
                  Header& h, Scan& scan, Error& e) {
  if (width > 65535 || height > 65535) return e.set(ET_UNSUPPORTED, "%d x %d pixels do not fit a JPEG", width, height);
  const size_t area = size_t(width) * height;
  if (color == Color::kRgb) to_ycc(planes, planes + area, planes + 2 * area, area);
  h = header_of(count, width, height);
  float steps[64];
  even_table(quality, h.quant[0], steps);
  h.quant_present[0] = true;

  const size_t total = size_t(h.mcus_x) * h.mcus_y * count;
  Coefficients* const blocks = memory.reserve_as<Coefficients>(total);
  if (!blocks) return e.set(ET_IO, "out of memory for the coefficients of %d x %d pixels", width, height);
  size_t filled = 0;
  Coefficients* block = blocks;
  for (int y = 0; y < height; y += 8)
    for (int x = 0; x < width; x += 8)
      for (int c = 0; c < count; c++, block++) {
        transform(planes + c * area, width, height, x, y, steps, *block);
        filled += size_t(__builtin_popcountll(block->filled));
      }
  if (!scan.begin(h, restart_interval(h.mcus_x, h.mcus_y, filled * kBits / 8, segment), e)) return false;
  Token* at = scan.tokens.room(filled + total * 5);  // besides, at most DC, three run symbols and one end a block
  if (!at) return e.set(ET_IO, "out of memory for the symbols of %d x %d pixels", width, height);
  const Token* const begin = at;
  const size_t a_segment = size_t(scan.interval) * count;
  int prediction[3] = {0, 0, 0};
  for (size_t b = 0; b < total; b++) {
    const int c = int(b % count);
    const Token* t = at;
    at = loops().tokens_of(blocks[b], c, prediction[c], at);
    for (; t < at; t++) scan.counts[*t >> 16]++;
    if ((b + 1) % a_segment) continue;
    *scan.end_of(b / a_segment) = at - begin;
    std::fill_n(prediction, 3, 0);
  }
  scan.tokens.advance(at - begin);
  return true;
}

}  // namespace et
