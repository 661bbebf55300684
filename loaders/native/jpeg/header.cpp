// JPEG header parsing (ITU T.81 annex B). No decoding, no allocation.
#include <cstring>

#include "jpeg/jpeg.h"
#include "jpeg/markers.h"

namespace et {
namespace {

struct Segment {
  const uint8_t* data;
  size_t size;
  uint8_t u8(size_t i) const { return data[i]; }
  int u16(size_t i) const { return data[i] << 8 | data[i + 1]; }
};

bool read_quant(Segment s, Header& h, Error& e) {
  for (size_t at = 0; at < s.size;) {
    const int precision = s.u8(at) >> 4, id = s.u8(at) & 15;
    const size_t bytes = precision ? 128 : 64;
    if (precision > 1 || id > 3 || at + 1 + bytes > s.size) return e.set(ET_DAMAGED, "quantisation table %d is malformed", id);
    for (int k = 0; k < 64; k++)
      h.quant[id][k] = precision ? uint16_t(s.u16(at + 1 + 2 * k)) : s.u8(at + 1 + k);
    h.quant_present[id] = true;
    at += 1 + bytes;
  }
  return true;
}

}  // namespace

bool read_huffman(const uint8_t* data, size_t size, Header& h, Error& e) {
  const Segment s{data, size};
  for (size_t at = 0; at < s.size;) {
    if (at + 17 > s.size) return e.set(ET_DAMAGED, "Huffman table is cut short");
    const int kind = s.u8(at) >> 4, id = s.u8(at) & 15;
    if (kind > 1 || id > 3) return e.set(ET_DAMAGED, "Huffman table has class %d, number %d", kind, id);
    HuffSpec& spec = kind ? h.ac[id] : h.dc[id];
    int total = 0, code = 0;
    spec.counts[0] = 0;
    for (int length = 1; length <= 16; length++) {
      spec.counts[length] = s.u8(at + length);
      total += spec.counts[length];
      code = (code + spec.counts[length]) << 1;
      if (code > 2 << length) return e.set(ET_DAMAGED, "Huffman table %d has too many codes of %d bits", id, length);
    }
    if (total > 256 || at + 17 + total > s.size) return e.set(ET_DAMAGED, "Huffman table %d holds %d symbols", id, total);
    std::memset(spec.symbols, 0, sizeof spec.symbols);
    std::memcpy(spec.symbols, s.data + at + 17, total);
    // 8-bit baseline has at most 11 (DC) and 10 (AC) value bits; the own decoder's refill counts on it
    spec.wide = false;
    for (int i = 0; i < total; i++) spec.wide |= kind ? (spec.symbols[i] & 15) > 10 : spec.symbols[i] > 11;
    spec.present = true;
    at += 17 + total;
  }
  return true;
}

namespace {

bool read_frame(Segment s, int marker, Header& h, Error& e) {
  if (s.size < 6) return e.set(ET_DAMAGED, "frame header is cut short");
  const int bits = s.u8(0);
  h.height = s.u16(1), h.width = s.u16(3), h.ncomp = s.u8(5);
  if (h.width == 0 || h.height == 0) return e.set(ET_DAMAGED, "frame is %d x %d pixels", h.width, h.height);
  if (bits != 8) return e.set(ET_UNSUPPORTED, "%d bits a sample", bits);
  if (h.ncomp != 1 && h.ncomp != 3) return e.set(ET_UNSUPPORTED, "%d colour components", h.ncomp);
  if (s.size < size_t(6 + 3 * h.ncomp)) return e.set(ET_DAMAGED, "frame header is cut short");
  h.hmax = h.vmax = 1;
  for (int c = 0; c < h.ncomp; c++) {
    Component& k = h.comp[c];
    k.id = s.u8(6 + 3 * c), k.h = s.u8(7 + 3 * c) >> 4, k.v = s.u8(7 + 3 * c) & 15, k.tq = s.u8(8 + 3 * c);
    if (k.h < 1 || k.h > 4 || k.v < 1 || k.v > 4 || k.tq > 3)
      return e.set(ET_DAMAGED, "component %d has sampling %dx%d, table %d", c, k.h, k.v, k.tq);
    if (k.h > h.hmax) h.hmax = k.h;
    if (k.v > h.vmax) h.vmax = k.v;
  }
  if (h.ncomp == 1) h.comp[0].h = h.comp[0].v = h.hmax = h.vmax = 1;  // T.81 A.2.2: one component is never interleaved
  h.mcu_w = 8 * h.hmax, h.mcu_h = 8 * h.vmax;
  h.mcus_x = (h.width + h.mcu_w - 1) / h.mcu_w, h.mcus_y = (h.height + h.mcu_h - 1) / h.mcu_h;
  h.progressive = marker == 0xC2 || marker == 0xCA;
  h.arithmetic = marker >= 0xC9;
  return true;
}

// libjpeg's rule for the meaning of three components (jdapimin.c, default_decompress_parms).
Color guess_color(const Header& h, bool jfif, int adobe) {
  if (h.ncomp == 1) return Color::kGrey;
  if (jfif) return Color::kYcc;
  if (adobe >= 0) return adobe == 0 ? Color::kRgb : Color::kYcc;
  return h.comp[0].id == 'R' && h.comp[1].id == 'G' && h.comp[2].id == 'B' ? Color::kRgb : Color::kYcc;
}

// The typical tables of T.81 annex K.3.3. Frames of motion JPEG leave them out of the file.
struct StandardTable {
  uint8_t counts[16];
  const uint8_t* symbols;
};

const uint8_t kDcSymbols[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
const uint8_t kLumaAcSymbols[] = {
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22, 0x71, 0x14, 0x32, 0x81,
    0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18,
    0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
    0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
    0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
    0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
    0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5,
    0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa};
const uint8_t kChromaAcSymbols[] = {
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 0x08,
    0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25,
    0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47,
    0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74,
    0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97,
    0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4,
    0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa};
const StandardTable kStandardDc[2] = {{{0, 1, 5, 1, 1, 1, 1, 1, 1}, kDcSymbols}, {{0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1}, kDcSymbols}};
const StandardTable kStandardAc[2] = {{{0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d}, kLumaAcSymbols},
                                      {{0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77}, kChromaAcSymbols}};

void take_standard(const StandardTable& table, HuffSpec& spec) {
  int total = 0;
  for (int length = 1; length <= 16; length++) total += spec.counts[length] = table.counts[length - 1];
  std::memcpy(spec.symbols, table.symbols, total);
  spec.present = true;
}

// Fills in each Huffman table 0 or 1 that a component names and the file lacks, as libjpeg-turbo does.
void complete_tables(Header& h) {
  for (int c = 0; c < h.ncomp; c++) {
    const Component& k = h.comp[c];
    if (k.td < 2 && !h.dc[k.td].present) take_standard(kStandardDc[k.td], h.dc[k.td]), h.odd = true;
    if (k.ta < 2 && !h.ac[k.ta].present) take_standard(kStandardAc[k.ta], h.ac[k.ta]), h.odd = true;
  }
}

// Precision of each coefficient so far: the lowest bit that is known, -1 where nothing is.
using Known = int8_t[3][64];

// Enters a scan into `known`. False where it does not follow from those before it.
bool enter_scan(Segment s, const Header& h, Known& known) {
  const int n = s.size ? s.u8(0) : 0;
  if (n < 1 || s.size < size_t(1 + 2 * n + 3)) return false;
  const int first = h.progressive ? s.u8(1 + 2 * n) : 0, last = h.progressive ? s.u8(2 + 2 * n) : 63;
  const int before = h.progressive ? s.u8(3 + 2 * n) >> 4 : 0, after = h.progressive ? s.u8(3 + 2 * n) & 15 : 0;
  if (first > last || last > 63) return false;
  for (int i = 0; i < n; i++) {
    int c = 0;
    while (c < h.ncomp && h.comp[c].id != s.u8(1 + 2 * i)) c++;
    if (c == h.ncomp || (first && known[c][0] < 0)) return false;
    for (int k = first; k <= last; k++) {
      if (h.progressive && before != (known[c][k] < 0 ? 0 : known[c][k])) return false;
      known[c][k] = int8_t(after);
    }
  }
  return true;
}

bool read_scan(Segment s, Header& h, Error& e) {
  if (s.size < 1 || s.size < size_t(1 + 2 * s.u8(0) + 3)) return e.set(ET_DAMAGED, "scan header is cut short");
  const int n = s.u8(0);
  bool own = n == h.ncomp && !h.progressive && !h.arithmetic;
  for (int c = 0; own && c < n; c++) {
    Component& k = h.comp[c];
    own = s.u8(1 + 2 * c) == k.id;
    k.td = s.u8(2 + 2 * c) >> 4, k.ta = s.u8(2 + 2 * c) & 15;
  }
  if (own) complete_tables(h);
  for (int c = 0; own && c < n; c++) {
    const Component& k = h.comp[c];
    if ( (k.td > 3 || k.ta > 3 || !h.dc[k.td].present || !h.ac[k.ta].present || !h.quant_present[k.tq]))
      return e.set(ET_DAMAGED, "component %d names a table that is not there", c);
  }
  for (int c = 0; own && c < n; c++) own = !h.dc[h.comp[c].td].wide && !h.ac[h.comp[c].ta].wide;
  const bool luma = h.comp[0].h == h.hmax && h.comp[0].v == h.vmax && h.hmax <= 2 && h.vmax <= 2;
  const bool chroma = h.ncomp == 1 || (h.comp[1].h == 1 && h.comp[1].v == 1 && h.comp[2].h == 1 && h.comp[2].v == 1);
  h.fits = luma && chroma, h.own = own && h.fits;
  return true;
}

}  // namespace

bool parse_header(const uint8_t* data, size_t size, Header& h, Error& e) {
  if (size < 4) return e.set(ET_DAMAGED, "%zu bytes are no image", size);
  if (data[0] != 0xFF || data[1] != 0xD8) return e.set(ET_UNSUPPORTED, "not a JPEG (begins with %02x %02x)", data[0], data[1]);
  std::memset(&h, 0, sizeof h);
  bool jfif = false, frame = false;
  int adobe = -1;
  for (size_t at = 2;;) {
    const Marker found = next_marker(data + at, data + size);  // libjpeg skips stray bytes between segments as well
    const int marker = found.code;
    h.odd |= found.begin != data + at;
    at = found.end - data;
    if (!marker || at + 2 > size) return e.set(ET_DAMAGED, "headers are cut short after %zu bytes", size);
    if (marker == kSoi || marker == kEoi) return e.set(ET_DAMAGED, "marker ff%02x among the headers", marker);
    if (!has_segment(marker)) continue;
    if (marker < 0xC0 || marker == 0xDE || marker == 0xDF || (marker >= 0xF0 && marker <= 0xFD))
      return e.set(ET_DAMAGED, "reserved marker ff%02x among the headers", marker);  // libjpeg refuses them as well
    const size_t length = size_t(data[at]) << 8 | data[at + 1];
    if (length < 2 || at + length > size) return e.set(ET_DAMAGED, "segment ff%02x of %zu bytes is cut short", marker, length);
    const Segment s{data + at + 2, length - 2};
    bool good = true;
    if (marker == 0xDB) good = read_quant(s, h, e);
    else if (marker == kDht) good = read_huffman(s.data, s.size, h, e);
    else if (marker == 0xDD) good = s.size >= 2 || e.set(ET_DAMAGED, "restart interval is cut short");
    else if (marker == 0xE0) jfif = jfif || (s.size >= 14 && !std::memcmp(s.data, "JFIF", 5));
    else if (marker == 0xEE && s.size >= 12 && !std::memcmp(s.data, "Adobe", 5)) adobe = s.u8(11);
    else if (marker == 0xC3 || (marker >= 0xC5 && marker <= 0xC8) || (marker >= 0xCB && marker <= 0xCF && marker != 0xCC))
      return e.set(ET_UNSUPPORTED, "JPEG process ff%02x", marker);
    else if (marker == 0xC0 || marker == 0xC1 || marker == 0xC2 || marker == 0xC9 || marker == 0xCA) {
      if (frame) return e.set(ET_DAMAGED, "two frame headers");
      frame = true;
      h.sof = at - 2;
      good = read_frame(s, marker, h, e);
    } else if (marker == kSos) {
      if (!frame) return e.set(ET_DAMAGED, "scan without a frame header");
      h.sos = at - 2;
      h.head = at + length;
      h.color = guess_color(h, jfif, adobe);
      return read_scan(s, h, e);
    }
    if (!good) return false;
    if (marker == 0xDD) h.restart = s.u16(0);
    at += length;
  }
}

bool has_all_scans(const uint8_t* data, size_t size, const Header& h, Error& e) {
  if (!h.progressive && data[h.sos + 4] == h.ncomp) return true;
  Known known;
  std::memset(known, -1, sizeof known);
  const uint8_t *at = data + h.sos, *const end = data + size;
  Marker marker;
  while ((marker = next_marker(at, end)).code && marker.code != kEoi) {
    at = marker.end;
    if (!has_segment(marker.code)) continue;
    const size_t length = end - at >= 2 ? size_t(at[0]) << 8 | at[1] : 0;
    if (length < 2 || length > size_t(end - at)) break;
    if (marker.code == kSos && !enter_scan({at + 2, length - 2}, h, known))
      return e.set(ET_DAMAGED, "a scan header does not follow from the scans before it");
    at += length;
  }
  for (int c = 0; c < h.ncomp; c++)
    for (int k = 0; k < 64; k++)
      if (known[c][k])
        return e.set(marker.code == kEoi ? ET_UNSUPPORTED : ET_DAMAGED, "incomplete: scans of colour component %d are missing", c);
  return true;
}

}  // namespace et
