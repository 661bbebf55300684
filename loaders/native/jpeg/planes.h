// Decoded component planes of a region, and the two steps around them: decode (JPEG -> planes), resample (planes -> pixels).
#pragma once
#include <cstring>
#include <type_traits>

#include "jpeg/jpeg.h"
#include "memory.h"

namespace et {

// Note [paired columns]: two neighbouring columns of a component lie byte by byte beside each other, top to bottom, then come
// the next two. The IDCT ends with whole columns in its registers, so this order saves its last transposition, and the
// resampler's first pass finds the two factors of a multiply-add where it loads them. `x0` and `y0` are even.
// Components of one shape lie together: a pair of columns of the first, the same pair of the second, and so on. What resamples
// one of them then does all in the same sweep.
struct Plane {
  uint8_t* data;
  int stride;                 // bytes from a pair of columns to the next is twice this
  int x0, y0, columns, rows;  // the part that is held
  int width, height;          // the whole component at this scale, in samples
  int together;               // components that lie together, from this one on

  uint8_t* at(int x, int y) const { return data + size_t((x - x0) >> 1) * 2 * stride + 2 * (y - y0) + ((x - x0) & 1); }
  bool shaped_as(const Plane& p) const {
    return x0 == p.x0 && y0 == p.y0 && columns == p.columns && rows == p.rows && width == p.width && height == p.height;
  }
};

struct Planes {
  Plane plane[3];
  int count;
  Color color;
  int width, height;  // the whole image at this scale, in pixels
  size_t coded;       // entropy-coded bytes that were decoded

  // Memory for what the planes say they hold, and for what the inner loops read past it.
  bool reserve(Buffer (&memory)[3], Error& e) {
    for (int c = 0; c < count; c += plane[c].together) {
      const Plane first = plane[c];
      int n = 1;
      while (c + n < count && plane[c + n].shaped_as(first)) n++;
      const int stride = n * first.rows + 16;
      uint8_t* data = memory[c].reserve(size_t(first.columns + 4) * stride + 64);
      if (!data) return e.set(ET_IO, "out of memory for a region of %d x %d samples", first.columns, first.rows);
      for (int k = 0; k < n; k++)
        plane[c + k].data = data + size_t(2) * k * first.rows, plane[c + k].stride = stride, plane[c + k].together = n - k;
    }
    return true;
  }
};

struct Box {
  int x0, y0, x1, y1;
};

struct Ahead;  // see sample.h

// What a sample needs in memory until it has been resampled.
struct SampleMemory {
  Buffer file, segment, jobs, planes[3];

  void swap(SampleMemory& other) {
    file.swap(other.file), segment.swap(other.segment), jobs.swap(other.jobs);
    for (int c = 0; c < 3; c++) planes[c].swap(other.planes[c]);
  }
};

// Working memory of one thread: that of the sample in hand, and what every sample uses for a moment.
struct Scratch : SampleMemory {
  const Ahead* ahead = nullptr;  // what was read of the sample in hand, in `file`; null: nothing was
  Buffer tables, coefficients, columns, turned, pixels[3], axes[4], weights, rgb, augmented[2], moved, lowered;
};

// Where a JPEG's bytes are. `scan` points at the first entropy-coded byte of MCU row `first_row`.
struct Source {
  const uint8_t* scan;
  size_t size;     // bytes from `scan` to the end
  int first_row;
  const uint32_t* rows;  // offsets of MCU rows relative to that of `first_row`, up to the last one held; null: not known
  int row_count;         // entries of `rows`
};

// Decodes what the region (pixels of the scaled image, x0 and y0 even) needs, by libjpeg. Our own decoder: see decode.h.
bool decode_libjpeg(const uint8_t* jpeg, size_t size, Box region, int scale, Scratch&, Planes&, Error&);

// `rows` rows of interleaved samples, `pitch` bytes apart, into the planes from row y on; the first sample is that of column x0.
void scatter(const uint8_t* samples, size_t pitch, int rows, int y, Planes& out);

// The target of a sample, in pixels of the image at 1 / `scale`.
struct Target {
  int width, height;  // of the output
  float box[4];       // may reach outside the image
  float full[2];      // the box's size in full-size pixels: chooses the filter
  bool flip;
  float margin;       // pixels beyond the box that taps may use
  uint8_t fill[3];    // R, G, B of output pixels whose centre is outside the image
};
Target target_of(const EtSample&, int side, int scale);

// The pixels of a `width` x `height` image that a target's taps may use, cut at the image; x0 and y0 are even, as planes are.
// False where there are none.
bool region_of(const Target&, int width, int height, Box& region);

// The box of the target as an image of `width` x `height` pixels, antialiased, mirrored where asked.
// Writes one 8-bit plane a component, row-major, `width * height` each; colours are those of the planes.
bool resample(const Planes&, const Target&, const EtFilter&, Scratch&, bool to_rgb, uint8_t* out, Error&);

}  // namespace et
