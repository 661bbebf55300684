// See level_encoder.h: forward DCT, quantisation, Huffman symbols.
#include "encode/level_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "simd/loops.h"

namespace et {
namespace {

// Note [even quantisation]: a level will be made smaller again. So its coefficients count alike, unlike for the eye at full
// size: the error of an RGB pixel weighs Y, Cb and Cr about equally, and only the highest frequencies will be filtered out.
// `benchmark fidelity` shows the effect of a change here.
double even_step(int quality, int u, int v) { return (100 - quality) / 2.0 * (1 + (u * u + v * v) / 49.0); }

// Note [the source's own steps]: a level with finer steps than its source spends bytes on the source's rounding errors. A plane
// reduced by x and y shows the source's frequency (u * x, v * y) as its (u, v). In an orthonormal DCT the coefficient becomes
// sqrt(x * y) times as large, and so does the rounding error, which is in proportion to the source's step. Coarser steps than
// that (1.5 times) put levels of JPEGs of quality 75 behind the published path in fidelity.
double source_step(const Header& source, int c, const Header& level, int u, int v) {
  const Component& k = source.comp[c];
  const double x = double(level.width) * source.hmax / (double(source.width) * k.h);
  const double y = double(level.height) * source.vmax / (double(source.height) * k.v);
  const long su = std::min(7l, std::lround(u * x)), sv = std::min(7l, std::lround(v * y));
  const auto at = std::find(kZigzag, kZigzag + 64, uint8_t(8 * sv + su)) - kZigzag;
  return source.quant[k.tq][at] * std::sqrt(x * y);
}

// Components of the source whose rounding errors a component of the level shows: from `first` up to before `end`.
struct Shown {
  int first, end;
};

Shown shown_by(const Header& source, int c) {
  if (source.color == Color::kRgb) return {0, 3};
  return c ? Shown{1, 3} : Shown{0, 1};
}

// Fills the table of the level's component `c`, in zigzag order.
void make_table(const Header& source, int c, int quality, const Header& level, uint16_t* quant) {
  const Shown shown = shown_by(source, c);
  for (int z = 0; z < 64; z++) {
    const int u = kZigzag[z] & 7, v = kZigzag[z] >> 3;
    double finest = 255;  // the largest step that baseline tables hold
    for (int i = shown.first; i < shown.end; i++) finest = std::min(finest, source_step(source, i, level, u, v));
    quant[z] = uint16_t(std::lround(std::max({1.0, even_step(quality, u, v), finest})));
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

bool encode_level(const Header& source, uint8_t* planes, int count, Color color, int width, int height, int quality, int segment,
                  Buffer& memory, Header& h, Scan& scan, Error& e) {
  if (width > 65535 || height > 65535) return e.set(ET_UNSUPPORTED, "%d x %d pixels do not fit a JPEG", width, height);
  const size_t area = size_t(width) * height;
  if (color == Color::kRgb) to_ycc(planes, planes + area, planes + 2 * area, area);
  h = header_of(count, width, height);
  for (int c = 0; c < std::min(count, 2); c++) make_table(source, c, quality, h, h.quant[c]);
  const bool two = count > 1 && !std::equal(h.quant[0], h.quant[0] + 64, h.quant[1]);
  h.quant_present[0] = true, h.quant_present[1] = two;
  for (int c = 1; c < count; c++) h.comp[c].tq = two;
  float steps[2][64];  // 8 times each table's steps, row-major
  for (int t = 0; t < 2; t++)
    for (int z = 0; z < 64; z++) steps[t][kZigzag[z]] = 8.f * float(h.quant[t][z]);

  const size_t total = size_t(h.mcus_x) * h.mcus_y * count;
  Coefficients* const blocks = memory.reserve_as<Coefficients>(total);
  if (!blocks) return e.set(ET_IO, "out of memory for the coefficients of %d x %d pixels", width, height);
  size_t filled = 0;
  Coefficients* block = blocks;
  for (int y = 0; y < height; y += 8)
    for (int x = 0; x < width; x += 8)
      for (int c = 0; c < count; c++, block++) {
        transform(planes + c * area, width, height, x, y, steps[h.comp[c].tq], *block);
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
