// See progressive.h. An image's coefficients are held whole, down to the last row of MCUs that the region needs: each scan adds to
// those of the scans before it.
#include "jpeg/progressive.h"

#include <algorithm>

#include "jpeg/libjpeg.h"
#include "jpeg/markers.h"
#include "simd/loops.h"

namespace et {
namespace {

enum : size_t { kMostBlocks = size_t(1) << 19 };  // 64 MB of coefficients, an image of some 20 megapixels
enum : size_t { kKeptBlocks = size_t(1) << 17 };  // memory for more than these is given back after the image

bool usual(const Header& h) {
  if (!h.progressive || h.arithmetic || !h.fits) return false;
  for (int c = 0; c < h.ncomp; c++)
    if (!h.quant_present[h.comp[c].tq]) return false;
  return true;
}

// Memory for the coefficients of `mcu_rows` rows of MCUs, all 0: `kept`, or `once` if it is much.
bool reserve(const Header& h, int mcu_rows, Buffer& kept, Buffer& once, CoefficientPlane (&planes)[3]) {
  size_t blocks[3], total = 0;
  for (int c = 0; c < h.ncomp; c++) total += blocks[c] = size_t(h.mcus_x) * h.comp[c].h * mcu_rows * h.comp[c].v;
  const size_t bytes = total * (64 * sizeof(int16_t) + sizeof(uint64_t));
  uint8_t* at = total <= kMostBlocks ? (total <= kKeptBlocks ? kept : once).reserve(bytes) : nullptr;
  if (!at) return false;
  std::memset(at, 0, bytes);
  for (int c = 0; c < h.ncomp; c++, at += 64 * sizeof(int16_t) * blocks[c - 1]) {
    planes[c].blocks = reinterpret_cast<int16_t*>(at), planes[c].across = h.mcus_x * h.comp[c].h;
  }
  for (int c = 0; c < h.ncomp; c++, at += sizeof(uint64_t) * blocks[c - 1]) planes[c].set = reinterpret_cast<uint64_t*>(at);
  return true;
}

// A scan's header (T.81 B.2.3): its segment behind the length.
bool enter(const Header& h, const uint8_t* at, size_t size, CoefficientPlane* planes, ProgressiveScan& scan) {
  const int n = size ? at[0] : 0;
  if (n < 1 || n > h.ncomp || size < size_t(1 + 2 * n + 3)) return false;
  const uint8_t* const how = at + 1 + 2 * n;
  scan.count = n, scan.first = how[0], scan.last = how[1], scan.high = how[2] >> 4, scan.low = how[2] & 15;
  if (scan.first > scan.last || scan.last > 63 || scan.low > 13 || (scan.first ? n > 1 : scan.last > 0)) return false;
  for (int i = 0; i < n; i++) {
    int c = 0;
    while (c < h.ncomp && h.comp[c].id != at[1 + 2 * i]) c++;
    if (c == h.ncomp) return false;
    const Component& k = h.comp[c];
    scan.plane[i] = &planes[c], scan.h[i] = k.h, scan.v[i] = k.v;
    const int table = scan.first ? at[2 + 2 * i] & 15 : at[2 + 2 * i] >> 4;
    const bool coded = scan.first || !scan.high;  // further bits of DC coefficients have no codes
    if (coded && table > 3) return false;
    if (!coded) continue;
    const HuffSpec& spec = scan.first ? h.ac[table] : h.dc[table];
    if (!spec.present) return false;
    loops().build_dc(spec, scan.codes[i]);
  }
  if (n > 1) {
    scan.mcus_x = h.mcus_x, scan.mcus_y = h.mcus_y, scan.rows = scan.mcu_rows;
    return true;
  }
  // One component alone (T.81 A.2.2): an MCU is a block, and there are no blocks beyond the image.
  const int c = int(scan.plane[0] - planes);
  const Component& k = h.comp[c];
  const auto blocks = [](int pixels, int factor, int most) { return ((pixels * factor + most - 1) / most + 7) / 8; };
  scan.mcus_x = blocks(h.width, k.h, h.hmax), scan.mcus_y = blocks(h.height, k.v, h.vmax), scan.rows = scan.mcu_rows * k.v;
  scan.h[0] = scan.v[0] = 1;
  return true;
}

}  // namespace

bool decode_progressive(const Header& header, const uint8_t* jpeg, size_t size, Box region, int scale, Scratch& s, Planes& out) {
  Error unsaid;
  PixelPlan pixels;
  if (!usual(header) || !has_all_scans(jpeg, size, header, unsaid) || !plan_pixels(header, region, scale, s, pixels, out, unsaid))
    return false;
  CoefficientPlane planes[3];
  Buffer once;
  uint8_t* const memory = s.segment.reserve(size + kPad);
  ProgressiveScan scan;
  scan.restart = header.restart, scan.mcu_rows = pixels.plan.mcus.y1;
  if (!memory || !reserve(header, scan.mcu_rows, s.coefficients, once, planes)) return false;
  Header h = header;  // Huffman tables change from scan to scan
  const uint8_t *at = jpeg + h.sos, *const end = jpeg + size;
  for (int scans = 0;;) {
    const Marker marker = next_marker(at, end);
    if (!marker.code || marker.code == kEoi) break;
    at = marker.end;
    if (!has_segment(marker.code)) continue;
    const size_t length = end - at >= 2 ? size_t(at[0]) << 8 | at[1] : 0;
    if (length < 2 || length > size_t(end - at)) return false;
    const uint8_t* const segment = at + 2;
    at += length;
    if (marker.code == kSos) {
      if (++scans > kMaxScans || !enter(h, segment, length - 2, planes, scan) ||
          !loops().read_progressive(scan, at, end, memory))
        return false;
    } else if (marker.code == kDht) {
      if (!read_huffman(segment, length - 2, h, unsaid)) return false;
    } else if (marker.code < 0xE0) {
      return false;  // other tables, a restart interval, another frame: rare
    }
  }
  loops().place_coefficients(pixels.plan, planes);
  out.coded = size;
  return true;
}

}  // namespace et
