// JPEG header parsing (ITU T.81 annex B). No decoding, no allocation.
#include <cstring>

#include "jpeg.h"

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

bool read_huffman(Segment s, Header& h, Error& e) {
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

// libjpeg's rule for what three components mean (jdapimin.c, default_decompress_parms).
Color guess_color(const Header& h, bool jfif, int adobe) {
  if (h.ncomp == 1) return Color::kGrey;
  if (jfif) return Color::kYcc;
  if (adobe >= 0) return adobe == 0 ? Color::kRgb : Color::kYcc;
  return h.comp[0].id == 'R' && h.comp[1].id == 'G' && h.comp[2].id == 'B' ? Color::kRgb : Color::kYcc;
}

bool read_scan(Segment s, Header& h, Error& e) {
  if (s.size < 1 || s.size < size_t(1 + 2 * s.u8(0) + 3)) return e.set(ET_DAMAGED, "scan header is cut short");
  const int n = s.u8(0);
  bool own = n == h.ncomp && !h.progressive && !h.arithmetic;
  for (int c = 0; own && c < n; c++) {
    Component& k = h.comp[c];
    own = s.u8(1 + 2 * c) == k.id;
    k.td = s.u8(2 + 2 * c) >> 4, k.ta = s.u8(2 + 2 * c) & 15;
    if (own && (k.td > 3 || k.ta > 3 || !h.dc[k.td].present || !h.ac[k.ta].present || !h.quant_present[k.tq]))
      return e.set(ET_DAMAGED, "component %d names a table that is not there", c);
  }
  for (int c = 0; own && c < n; c++) own = !h.dc[h.comp[c].td].wide && !h.ac[h.comp[c].ta].wide;
  const bool luma = h.comp[0].h == h.hmax && h.comp[0].v == h.vmax && h.hmax <= 2 && h.vmax <= 2;
  const bool chroma = h.ncomp == 1 || (h.comp[1].h == 1 && h.comp[1].v == 1 && h.comp[2].h == 1 && h.comp[2].v == 1);
  h.own = own && luma && chroma;
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
    while (at < size && data[at] != 0xFF) at++;  // libjpeg skips stray bytes between segments as well
    while (at < size && data[at] == 0xFF) at++;
    if (at + 3 > size) return e.set(ET_DAMAGED, "headers are cut short after %zu bytes", size);
    const int marker = data[at++];
    if (marker == 0xD8 || marker == 0xD9) return e.set(ET_DAMAGED, "marker ff%02x among the headers", marker);
    if (marker == 0 || marker == 1 || (marker >= 0xD0 && marker <= 0xD7)) continue;
    if (marker < 0xC0 || marker == 0xDE || marker == 0xDF || (marker >= 0xF0 && marker <= 0xFD))
      return e.set(ET_DAMAGED, "reserved marker ff%02x among the headers", marker);  // libjpeg refuses them as well
    const size_t length = size_t(data[at]) << 8 | data[at + 1];
    if (length < 2 || at + length > size) return e.set(ET_DAMAGED, "segment ff%02x of %zu bytes is cut short", marker, length);
    const Segment s{data + at + 2, length - 2};
    bool good = true;
    if (marker == 0xDB) good = read_quant(s, h, e);
    else if (marker == 0xC4) good = read_huffman(s, h, e);
    else if (marker == 0xDD) good = s.size >= 2 || e.set(ET_DAMAGED, "restart interval is cut short");
    else if (marker == 0xE0) jfif = jfif || (s.size >= 5 && !std::memcmp(s.data, "JFIF", 5));
    else if (marker == 0xEE && s.size >= 12 && !std::memcmp(s.data, "Adobe", 5)) adobe = s.u8(11);
    else if (marker == 0xC3 || (marker >= 0xC5 && marker <= 0xC8) || (marker >= 0xCB && marker <= 0xCF && marker != 0xCC))
      return e.set(ET_UNSUPPORTED, "JPEG process ff%02x", marker);
    else if (marker == 0xC0 || marker == 0xC1 || marker == 0xC2 || marker == 0xC9 || marker == 0xCA) {
      if (frame) return e.set(ET_DAMAGED, "two frame headers");
      frame = true;
      h.sof = at - 2;
      good = read_frame(s, marker, h, e);
    } else if (marker == 0xDA) {
      if (!frame) return e.set(ET_DAMAGED, "scan without a frame header");
      h.head = at + length;
      h.color = guess_color(h, jfif, adobe);
      return read_scan(s, h, e);
    }
    if (!good) return false;
    if (marker == 0xDD) h.restart = s.u16(0);
    at += length;
  }
}

}  // namespace et
