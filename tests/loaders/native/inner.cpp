// Ways into the kernel that only tests need. inner.py compiles this file and links it with the kernel under test, whose C++
// functions and state it uses: the kernel's own ABI has none of these.
#include <cstdio>

#include <jpeglib.h>

#include "jpeg/decode.h"
#include "jpeg/progressive.h"
#include "jpeg/row_check.h"

using namespace et;

namespace {

int32_t answer(const Error& error, char* message) {
  std::memcpy(message, error.text, ET_MESSAGE);
  return error.status;
}

Box box_of(const int32_t* region) { return {region[0] & ~1, region[1] & ~1, region[2], region[3]}; }

}  // namespace

extern "C" {

// Runs another build of the inner loops from now on; no work may be under way. 1 if there is one of this name.
int32_t inner_use_build(const char* name) {
  const Loops* all[] = {
#ifdef ET_X86_BUILDS
      &v3::kLoops, &vnni::kLoops,
#endif
      &portable::kLoops};
  for (const Loops* loops : all)
    if (!std::strcmp(loops->name, name)) return chosen = loops, 1;
  return 0;
}

// The bytes before the first marker, without stuffing, with room for 63 more in `out`. Returns the marker's code; 0: there is none.
// length: of those bytes. end: offset of the byte behind the marker.
int32_t inner_copy_to_marker(const uint8_t* bytes, size_t size, uint8_t* out, size_t* length, size_t* end) {
  uint8_t* to = out;
  const Marker marker = loops().copy_to_marker(bytes, bytes + size, to);
  *length = size_t(to - out), *end = size_t(marker.end - bytes);
  return marker.code;
}

uint32_t inner_row_check(const uint8_t* bytes, size_t size) { return row_check(bytes, size); }

// The component planes that the kernel's decoder makes of a region, before any resampling.
// region: x0, y0, x1, y1 in pixels of the scaled image. out: for each component, rows x columns bytes of the whole scaled
// component, row-major; samples outside the region are 0.
int32_t inner_planes(const uint8_t* jpeg, size_t size, const int32_t* region, int32_t scale, uint8_t* out, size_t capacity,
                     char* message) {
  Scratch scratch;
  Error e;
  Header header;
  Planes planes;
  bool good = parse_header(jpeg, size, header, e);
  if (good && !header.own)
    good = decode_progressive(header, jpeg, size, box_of(region), scale, scratch, planes) ||
           e.set(ET_UNSUPPORTED, "left to libjpeg");
  else if (good) {
    const Source source{jpeg + header.head, size - header.head, 0, nullptr, 0};
    good = decode_own(header, source, box_of(region), scale, scratch, planes, e);
  }
  for (int c = 0; good && c < planes.count; c++) {
    const Plane& p = planes.plane[c];
    const size_t area = size_t(p.width) * p.height;
    if (area > capacity) good = e.set(ET_BAD_ARGUMENT, "the output holds too few bytes");
    for (int y = 0; good && y < p.height; y++)
      for (int x = 0; x < p.width; x++) {
        const bool held = x >= p.x0 && x < p.x0 + p.columns && y >= p.y0 && y < p.y0 + p.rows;
        out[size_t(y) * p.width + x] = held ? *p.at(x, y) : 0;
      }
    if (good) out += area, capacity -= area;
  }
  return answer(e, message);
}

// The pixels of a region as the kernel gets them from libjpeg, for JPEGs that its own decoder does not read.
// region: as above. out: interleaved RGB.
int32_t inner_libjpeg(const uint8_t* jpeg, size_t size, const int32_t* region, int32_t scale, uint8_t* out, size_t capacity,
                      char* message) {
  Error error;
  Planes planes;
  Scratch scratch;
  if (!decode_libjpeg(jpeg, size, box_of(region), scale, scratch, planes, error)) return answer(error, message);
  const int columns = region[2] - region[0], rows = region[3] - region[1];
  if (size_t(columns) * rows * 3 > capacity) error.set(ET_BAD_ARGUMENT, "%d x %d pixels do not fit", columns, rows);
  for (int y = 0; y < rows && error.status == ET_OK; y++)
    for (int x = 0; x < columns; x++)
      for (int c = 0; c < 3; c++) *out++ = *planes.plane[planes.count == 1 ? 0 : c].at(region[0] + x, region[1] + y);
  return answer(error, message);
}

// The quantised coefficients of a sound JPEG by libjpeg, which ends the process if it is damaged. shapes: rows and
// columns of blocks of each component. out: component after component, block row after block row, 64 int16 a block in row-major
// order, without the blocks that only fill up an MCU.
void inner_coefficients(const uint8_t* jpeg, size_t size, int32_t* shapes, int16_t* out) {
  jpeg_decompress_struct d;
  jpeg_error_mgr errors;
  d.err = jpeg_std_error(&errors);
  jpeg_create_decompress(&d);
  jpeg_mem_src(&d, const_cast<uint8_t*>(jpeg), size);
  jpeg_read_header(&d, TRUE);
  jvirt_barray_ptr* const all = jpeg_read_coefficients(&d);
  for (int c = 0; c < d.num_components; c++) {
    const jpeg_component_info& k = d.comp_info[c];
    *shapes++ = int32_t(k.height_in_blocks), *shapes++ = int32_t(k.width_in_blocks);
    for (JDIMENSION y = 0; y < k.height_in_blocks; y++, out += size_t(k.width_in_blocks) * DCTSIZE2)
      std::memcpy(out, d.mem->access_virt_barray(reinterpret_cast<j_common_ptr>(&d), all[c], y, 1, FALSE)[0],
                  size_t(k.width_in_blocks) * DCTSIZE2 * sizeof(int16_t));
  }
  jpeg_destroy_decompress(&d);
}
}
