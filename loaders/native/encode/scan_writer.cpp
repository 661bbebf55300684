// See scan_writer.h. Huffman symbols were counted when they were made, by token_loops.h; here they are written with
// tables made for the counts. libjpeg's `optimize_coding` would go over the coefficients twice more.
#include "encode/scan_writer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "jpeg/row_check.h"
#include "simd/loops.h"

namespace et {
namespace {

// The best code of at most 16 bits for the symbols counted (T.81 annex K.2).
void best_code(const uint32_t* counts, HuffSpec& spec) {
  struct Node {
    uint64_t count;
    int symbol, parent;
  } node[2 * 257];
  int leaves = 0;
  node[leaves++] = {1, 256, 0};  // takes the code of all ones, which T.81 forbids
  for (int s = 0; s < 256; s++)
    if (counts[s]) node[leaves++] = {counts[s], s, 0};
  std::sort(node + 1, node + leaves, [](const Node& a, const Node& b) {
    return a.count != b.count ? a.count < b.count : a.symbol > b.symbol;
  });
  spec.present = leaves > 1;
  if (!spec.present) return;
  // Huffman's algorithm on two sorted queues: leaves, and inner nodes in the order in which they come into being.
  int nodes = leaves;
  for (int leaf = 0, inner = leaves; nodes < 2 * leaves - 1; nodes++) {
    node[nodes].count = 0;
    for (int i = 0; i < 2; i++) {
      const bool take_leaf = leaf < leaves && (inner == nodes || node[leaf].count <= node[inner].count);
      Node& child = node[take_leaf ? leaf++ : inner++];
      child.parent = nodes;
      node[nodes].count += child.count;
    }
  }
  int depth[2 * 257], lengths[258] = {0};
  depth[nodes - 1] = 0;
  for (int i = nodes - 2; i >= 0; i--) {
    depth[i] = depth[node[i].parent] + 1;
    if (i < leaves) lengths[depth[i]]++;
  }
  for (int length = 257; length > 16; length--)  // figure K.3
    while (lengths[length]) {
      int shorter = length - 2;
      while (!lengths[shorter]) shorter--;
      lengths[length] -= 2, lengths[length - 1]++;
      lengths[shorter + 1] += 2, lengths[shorter]--;
    }
  int longest = 16;
  while (!lengths[longest]) longest--;
  lengths[longest]--;
  for (int length = 1; length <= 16; length++) spec.counts[length] = uint8_t(lengths[length]);
  for (int i = 1; i < leaves; i++) spec.symbols[i - 1] = uint8_t(node[leaves - i].symbol);  // the most frequent first
}

void assign(const HuffSpec& spec, Code* codes) {
  uint32_t code = 0;
  for (int length = 1, index = 0; length <= 16; length++, code <<= 1)
    for (int i = 0; i < spec.counts[length]; i++, code++, index++) {
      const uint32_t size = spec.symbols[index] & 15;
      codes[spec.symbols[index]] = {code << size, length + size};
    }
}

// Markers up to the first entropy-coded byte.
uint8_t* write_header(const Header& h, const HuffSpec* specs, int interval, uint8_t* at) {
  const auto byte = [&](int v) { *at++ = uint8_t(v); };
  const auto word = [&](int v) { byte(v >> 8), byte(v & 255); };
  const auto segment = [&](int marker, int size) { byte(0xFF), byte(marker), word(size + 2); };
  const auto text = [&](const char* s, int n) { std::memcpy(at, s, n), at += n; };
  byte(0xFF), byte(0xD8);
  if (h.color == Color::kRgb) {
    segment(0xEE, 12), text("Adobe", 5), word(100), word(0), word(0), byte(0);  // transform 0: components are R, G, B
  } else {
    segment(0xE0, 14), text("JFIF", 5), word(0x0101), byte(0), word(1), word(1), word(0);  // 1.01, square pixels
  }
  bool extended = false, used[4] = {false};
  for (int c = 0; c < h.ncomp; c++) used[h.comp[c].tq] = true;
  for (int t = 0; t < 4; t++) {
    if (!used[t]) continue;
    const bool wide = *std::max_element(h.quant[t], h.quant[t] + 64) > 255;
    extended = extended || wide;
    segment(0xDB, wide ? 129 : 65), byte(wide << 4 | t);
    for (const int q : h.quant[t]) wide ? word(q) : byte(q);
  }
  segment(extended ? 0xC1 : 0xC0, 6 + 3 * h.ncomp);
  byte(8), word(h.height), word(h.width), byte(h.ncomp);
  for (int c = 0; c < h.ncomp; c++) byte(h.comp[c].id), byte(h.comp[c].h << 4 | h.comp[c].v), byte(h.comp[c].tq);
  for (int t = 0; t < kTables; t++) {
    const HuffSpec& spec = specs[t];
    if (!spec.present) continue;
    int symbols = 0;
    for (int length = 1; length <= 16; length++) symbols += spec.counts[length];
    segment(0xC4, 17 + symbols), byte((t & kAc) << 3 | (t & kRest));
    std::memcpy(at, spec.counts + 1, 16), std::memcpy(at + 16, spec.symbols, symbols), at += 16 + symbols;
  }
  segment(0xDD, 2), word(interval);
  segment(0xDA, 4 + 2 * h.ncomp), byte(h.ncomp);
  for (int c = 0; c < h.ncomp; c++) byte(h.comp[c].id), byte(c ? 0x11 : 0);
  byte(0), byte(63), byte(0);
  return at;
}

enum { kHeaderRoom = 4096 };  // more than four tables of each kind can take

}  // namespace

int restart_interval(int mcus_x, int mcus_y, size_t bytes, int wanted) {
  int best = mcus_x;
  double nearest = 1e9;
  for (int d = 1; d <= 8; d++) {
    const double markers = double(mcus_x / d) * mcus_y;
    if (mcus_x % d || markers * 3.5 > .06 * double(bytes)) continue;  // a marker and its padding take 3.5 bytes
    const double distance = std::fabs(std::log(double(d) / wanted));
    if (distance < nearest) best = d, nearest = distance;
  }
  return best;
}

bool Scan::begin(const Header& h, int restart, Error& e) {
  interval = restart, segments = size_t(h.mcus_x) / restart * h.mcus_y;
  tokens.clear();
  std::fill_n(counts, kTables * 256, 0);
  ends.size = 0;
  return ends.room(segments * sizeof(size_t)) || e.set(ET_IO, "out of memory for %zu restart segments", segments);
}

bool read_scan(const uint8_t* jpeg, size_t size, const Header& h, int interval, const ScanPlan* draw, Scan& scan,
               Tail& tail, Error& e) {
  return scan.begin(h, interval, e) &&
         loops().read_tokens(jpeg, size, h, interval, draw, scan.segment, scan.tokens, scan.end_of(0), scan.counts, tail, e);
}

bool write_scan(const Header& h, Scan& scan, Bytes& out, Recoded& result, Error& e) {
  HuffSpec specs[kTables];
  Code codes[kTables * 256];
  uint64_t bits = 0;
  for (int t = 0; t < kTables; t++) {
    best_code(scan.counts + 256 * t, specs[t]);
    if (specs[t].present) assign(specs[t], codes + 256 * t);
  }
  for (int i = 0; i < kTables * 256; i++)
    if (scan.counts[i]) bits += uint64_t(scan.counts[i]) * codes[i].length;

  out.size = (out.size + 3) & ~size_t(3);
  const size_t table = table_bytes(h.mcus_y);
  if (!out.room(table + kHeaderRoom + bits / 8 * 2 + scan.segments * 6 + 16))  // every byte might be an ff to be stuffed
    return e.set(ET_IO, "out of memory for a JPEG of %d x %d pixels", h.width, h.height);
  result.table = out.size, result.offset = out.size + table;
  uint8_t* const soi = out.data() + result.offset;
  auto* const check = reinterpret_cast<uint32_t*>(out.data() + result.table);
  uint32_t* const rows = check + h.mcus_y + 1;
  uint8_t* at = write_header(h, specs, scan.interval, soi);
  result.head = uint32_t(at - soi);
  const Token* token = scan.tokens.begin();
  const size_t per_row = scan.segments / h.mcus_y;
  size_t segment = 0;
  for (int row = 0; row < h.mcus_y; row++) {
    rows[row] = uint32_t(at - soi);
    for (size_t i = 0; i < per_row; i++, segment++) {
      const Token* const end = scan.tokens.begin() + *scan.end_of(segment);
      at = loops().write_tokens(token, end, codes, at);
      *at++ = 0xFF, *at++ = uint8_t(segment + 1 < scan.segments ? 0xD0 | (segment & 7) : 0xD9);
      token = end;
    }
    check[1 + row] = row_check(soi + rows[row], at - soi - rows[row]);
  }
  check[0] = row_check(reinterpret_cast<uint8_t*>(rows), size_t(h.mcus_y) * 4 + result.head);
  result.size = at - soi;
  out.size = result.offset + result.size;
  return true;
}

}  // namespace et
