// The inner loops, compiled once per instruction set and chosen at run time.
//
// Note [one source, several builds]: build.h is included by portable.cpp (whatever the compiler's baseline is: SSE2 on
// x86-64, NEON on arm64), by x86_v3.cpp (AVX2 + BMI2) and by avx512.cpp (AVX-512). What decides about pixels is added up in
// one order everywhere, so the builds give equal ones; tests compare them.
#pragma once
#include "jpeg/markers.h"
#include "jpeg/planes.h"
#include "encode/tokens.h"

namespace et {

enum { kLookahead = 11, kDcLookahead = 9 };  // bits of the Huffman tables' direct look-up

// Codes that are too long for the direct look-up.
struct LongCodes {
  int32_t last[18];   // largest code of each length, left-aligned to 16 bits, plus one
  int32_t first[17];  // symbols[code + first[length]]
  uint8_t symbols[256];
};

// Direct look-up over the next kLookahead bits. An entry: bits 0-5 length consumed, bits 8-15 coefficients advanced, bits 16-31
// the value, where code and value together fit. Else kSplit is set, length is the code's alone and the value is the number of
// value bits that follow; length 0: the code itself is longer than kLookahead.
//
// Note [blocks passed over]: the AC coefficients of a block outside the region, or of one that is shown as a single pixel, are
// not wanted, only the place where the block ends. An entry of `skip` takes as many whole symbols as it can see, up to kSkipBits
// bits and kSkipMost coefficients, and its value is 0. A block without EOB may end between two of them: the block is then found
// to be too long and is decoded again with `fast`. So both tables give the same verdict on damaged data.
struct AcTable {
  enum : uint32_t { kSplit = 0x80, kSkipBits = 14, kSkipMost = 32 };
  // The advance of EOB. Without it, the position behind a symbol is less than 97 (from 62, kSkipMost further), so that the two cases
  // can be told apart, and 63 less the position fits into 8 bits. One less, modulo 16, is the run of its symbol, as for the others.
  enum : uint32_t { kEndSkip = 97 };
  static constexpr uint32_t entry(uint32_t length, int value, uint32_t advance) {
    return length | advance << 8 | uint32_t(uint16_t(value)) << 16;
  }
  uint32_t fast[1 << kLookahead];
  LongCodes more;
  uint32_t skip[1 << kLookahead];
  bool skips;  // whether build_skip has filled `skip`
};

// A difference has many value bits, and there is one a block: look-up of the code alone. An entry: bits 0-7 the code's length,
// 0 where it is longer than kDcLookahead, bits 8-15 the number of value bits.
struct DcTable {
  uint16_t fast[1 << kDcLookahead];
  LongCodes more;
};

// Note [reading past the end]: the bit reader loads 8 bytes at a time and may run ahead of a damaged segment's end by one
// block's worst case before it is stopped, so that many bytes behind a segment must be readable. What is read there is never
// used; kGap zero bytes see to it that a damaged segment fails alike whatever lies behind it.
enum { kPad = 512, kGap = 8 };

// Note [paired coefficients]: where a block's coefficients lie. Rows come in pairs, the two beside each other element by
// element, and so do columns: what the IDCT's even part adds up (0 and 4, 2 and 6), what its odd part does (1 and 3, 5 and 7).
inline constexpr uint8_t kPairOrder[8] = {0, 4, 2, 6, 1, 3, 5, 7};

struct Places {
  uint8_t by_room[256] = {};  // by 63 - zigzag position, modulo 256; past a block's end, until that is noticed: a spare place
  uint8_t natural[64] = {};   // row-major position of what lies at a place
  constexpr Places() {
    for (uint8_t& place : by_room) place = 64;
    for (int at = 0; at < 64; at++) natural[at] = uint8_t(8 * kPairOrder[at >> 4 << 1 | (at & 1)] + kPairOrder[at >> 1 & 7]);
    for (int k = 0; k < 64; k++)
      for (int at = 0; at < 64; at++)
        if (natural[at] == kZigzag[k]) by_room[63 - k] = uint8_t(at);
  }
};
constexpr Places kPlaces;  // one a file: what is not shared needs no look-up of its address

struct BlockPlan {
  const DcTable* dc;
  const AcTable* ac;
  const uint32_t* skip;  // the look-up for blocks passed over: that of `ac`, or its `fast` where few blocks are
  const int16_t* quant;  // 64 steps, placed as coefficients are
  int component, side;   // side: of the output, 8, 4, 2 or 1
  int x, y;              // place in the MCU's component, in blocks
  int ends;              // 1: the last block of an MCU
  const BlockPlan* next;
  // where the block of the MCU at (mx, my) goes: bytes from `data`; not for a side of 1
  uint8_t* data;
  int64_t stride, origin, step_x, step_y;
  uint8_t* at(int mx, int my) const { return data + (origin + mx * step_x + my * step_y); }
};

// One restart segment's work: MCUs [first, last) of the image, of which those inside the MCU box are kept. A scan without restart
// markers is one segment.
struct SegmentJob {
  const uint8_t* bytes;  // unstuffed; kPad more are readable, the first kGap of them 0
  size_t size;
  int first, last;
  int mx, my;  // of MCU `first`, without a division
  bool whole;  // `last` is the segment's own end and a restart marker follows, so that no byte may be left over
};

struct ScanPlan {
  BlockPlan block[10];
  int blocks;                 // blocks of an MCU
  int mcus_x;
  Box mcus;                   // MCUs to keep
  int dct[3];                 // output side of a block: 8, 4, 2, 1
  int per_mcu_x[3], per_mcu_y[3];
  Planes* planes;
};

// Where a stream of bits stands. The loads of a refill depend on the refill before, not on the symbols in between: they are done
// by the time they are wanted.
struct Bits {
  const uint8_t* next;  // the first byte that the window holds nothing of for sure
  uint64_t window;      // bits to come, left-aligned
  uint64_t left;        // how many of them are accounted for, in the lowest six bits; bits 6 and 7: 0; above: see Cursor
};

// The part of a lane that the inner loop keeps in registers. Bits 8-15 of bits.left are how many coefficients the block has room
// for yet, signed, so that one subtraction takes a symbol's bits and its coefficients; above, anything.
struct Cursor {
  Bits bits;
  const uint32_t* ac;  // the block's AC look-up
};

// Blocks being read: what the Huffman reader keeps from one symbol to the next, see jpeg/entropy.h.
struct BlockStream {
  Cursor cursor;
  const BlockPlan* block;                // the block in hand
  alignas(32) int16_t coefficients[80];  // its 64 coefficients, and one more that takes those past the end
};

// The restart segments of an image that no lane has taken yet.
struct SegmentQueue {
  const SegmentJob *next, *last;
};

// One stream of symbols through segments of one image: see Note [three at a time].
struct Lane : BlockStream {
  const ScanPlan* plan;
  SegmentQueue* queue;   // where further segments come from
  const SegmentJob* job;
  const uint8_t* stop;     // where a block may at most end, see Note [reading past the end]
  Bits begin;              // where its AC symbols begin
  bool keep;               // whether its pixels are wanted
  int mcu, mx, my;
  int predictor[3];
  const char* wrong;  // what is wrong with the segment in hand, or null
};
enum { kMostLanes = 3 };

// Where the pixels of a region go; the coefficients come from elsewhere.
struct PixelPlan {
  ScanPlan plan;
  int16_t quant[3][64];
};
bool plan_pixels(const Header&, Box region, int scale, Scratch&, PixelPlan&, Planes&, Error&);

// The coefficients of a component of a progressive JPEG, block by block, row by row.
struct CoefficientPlane {
  int16_t* blocks;  // 64 each, see Note [paired coefficients]
  uint64_t* set;    // of each block: the bits of those zigzag positions, but the first, where a coefficient is not 0
  int across;       // blocks of a row, those of whole MCUs
};

// A scan of a progressive JPEG (T.81 G.1.1): bits from `low` on, up to below `high` if there are earlier ones, of the coefficients
// at zigzag positions [first, last].
struct ProgressiveScan {
  int count;                     // components
  CoefficientPlane* plane[3];    // of each
  int h[3], v[3];                // and its blocks in an MCU of this scan
  DcTable codes[3];              // and its Huffman codes
  int first, last, high, low;
  int mcus_x, mcus_y;            // MCUs of this scan
  int rows;                      // rows of them that are wanted
  int mcu_rows;                  // the same in rows of the image's MCUs
  int restart;                   // MCUs from one restart marker to the next; 0: there are none
};

enum { kOne = 1 << 14 };  // 1.0 as a weight

// The weights of one axis of one component: output i = sum of weights[i * room + t] * sample[first[i] + t], t < taps[i].
struct Axis {
  int *first, *taps;
  int16_t* weights;
  int room;
  int low, high;  // the samples that any output needs: [low, high)
};

// What they are made of. Lengths in samples of the component that is not halved.
struct AxisPlan {
  const float* table;  // a filter's values at distances 0, 1 / steps, 2 / steps, ...; zero or negligible at the end
  int columns;         // how many those are
  float steps, radius;
  float start, pitch;  // the first output's left edge, and how far apart outputs are
  int outputs, most;   // the most taps of an output
  int low, high;       // the first and the last sample that may be used
  int halved;          // samples of a component with half as many; 0: there is none
  float* memory;       // 2 * (most + 24)
};

// Places of moved pixels, in multiples of 2**-20 pixels, and the row of weights of a place's nearest multiple of 2**-10; see Note
// [moves in whole numbers] in loaders/transforms/randaugment_ops.py.
enum { kPlaceBits = 20, kPlaceOne = 1 << kPlaceBits, kPhaseBits = 10, kNearest = 1 << (kPlaceBits - kPhaseBits - 1) };
inline int move_phase(int near) { return near >> (kPlaceBits - kPhaseBits) & ((1 << kPhaseBits) - 1); }
inline bool moved_inside(int place, int side) { return uint32_t(place + kPlaceOne / 2) < uint32_t(side) << kPlaceBits; }

struct Loops {
  const char* name;
  void (*build_ac)(const HuffSpec&, AcTable&);
  void (*build_dc)(const HuffSpec&, DcTable&);
  void (*build_skip)(const HuffSpec&, AcTable&);  // after build_ac
  // As next_marker in markers.h; the bytes passed go to `out`, which advances, without stuffing. Up to 63 more are written there.
  Marker (*copy_to_marker)(const uint8_t* at, const uint8_t* end, uint8_t*& out);
  // Puts a lane on the next segment of a queue that has one. False when its first block is damaged: see lane.wrong.
  bool (*start_lane)(Lane&, const ScanPlan&, SegmentQueue&);
  // Decodes with `count` lanes, 1 to kMostLanes, symbol by symbol in turn, until one of them stops; returns which. That one has
  // come to the end of its queue, or to damaged data (lane.wrong); the others can continue.
  int (*run_lanes)(Lane*, int count);
  // A scan whose bytes begin at `at`, which moves behind them. False where bits are missing or left over, or anything else is wrong.
  // memory: for the bytes of a restart segment and kPad more.
  bool (*read_progressive)(const ProgressiveScan&, const uint8_t*& at, const uint8_t* end, uint8_t* memory);
  // The pixels of all MCUs that a plan keeps. planes: of each component.
  void (*place_coefficients)(const ScanPlan&, const CoefficientPlane* planes);
  // The weights of an axis and, where `halved` is not null, of a component with half as many samples.
  void (*weights)(const AxisPlan&, Axis&, Axis* halved);
  // out[i] = sum over t of weights[t] * sample t of element i; Q14 weights, u8 in -> Q6 out, Q6 in -> Q6 out. Samples come in
  // pairs: t and t + 1 of element i stand at source[t / 2 * stride + 2 * i]. `taps` is even.
  void (*weigh_u8)(const uint8_t* source, int stride, const int16_t* weights, int taps, int n, int16_t* out);
  void (*weigh_q6)(const int16_t* source, int stride, const int16_t* weights, int taps, int n, int16_t* out);
  // Eight columns (in_stride elements from one to the next) to pairs of rows (out_stride elements from one pair to the next),
  // as weigh_q6 wants them. Reads and writes up to a multiple of 16 rows.
  void (*transpose)(const int16_t* in, int in_stride, int rows, int16_t* out, int out_stride);
  void (*ycc_to_rgb)(const int16_t* y, const int16_t* cb, const int16_t* cr, int n, uint8_t* r, uint8_t* g, uint8_t* b);
  void (*to_u8)(const int16_t* in, int n, uint8_t* out);
  // The tokens of a whole scan, their DC differences restarting every `interval` MCUs.
  // draw: where to put the pixels, too, or null. memory: for the bytes of a restart segment. ends: the number of tokens up to the
  // end of each such segment. counts: kTables * 256, incremented. tail: what follows the last MCU.
  bool (*read_tokens)(const uint8_t* jpeg, size_t size, const Header&, int interval, const ScanPlan* draw, Buffer& memory, Tokens&,
                      size_t* ends, uint32_t* counts, Tail& tail, Error&);
  // A segment's tokens as bits, stuffed, to whole bytes; returns their end.
  uint8_t* (*write_tokens)(const Token*, const Token* end, const Code* codes, uint8_t* at);
  // 8 x 8 pixels, `stride` from row to row, quantised. steps: row-major, 8 times the quantiser's.
  void (*forward)(const uint8_t* pixels, int stride, const float* steps, Coefficients&);
  // Writes a block's tokens, at most 64, and returns their end.
  Token* (*tokens_of)(const Coefficients&, int component, int& prediction, Token*);
  // RandAugment, see augment_loops.h.
  void (*count_levels)(const uint8_t* pixels, size_t n, uint32_t* counts);
  void (*level_range)(const uint8_t* pixels, size_t n, uint8_t& low, uint8_t& high);
  int64_t (*grey_sum)(const uint8_t* rgb, size_t area);
  void (*map_levels)(const uint8_t* from, size_t n, const uint8_t* table, uint8_t* to);
  void (*color)(const uint8_t* from, size_t area, float factor, uint8_t* to);
  void (*sharpen)(const uint8_t* from, int side, float factor, uint8_t* to);
  void (*pair_pixels)(const uint8_t* row, int side, uint8_t* pairs);
  void (*truncate_q6)(const int16_t* samples, int n, uint8_t* out);
  void (*transpose_levels)(const uint8_t* from, int stride, int rows, int columns, uint8_t* to, int to_stride);
  void (*frame_pixels)(const uint8_t* rgb, int side, uint8_t* to);
  void (*move_pixels)(const uint8_t* framed, int side, const int32_t* map, const int16_t* cubic, const uint8_t* fill, uint8_t* to);
  // Levels to the batch's values, of 8, 16 or 32 bits, see value_loops.h.
  void (*values_8)(const uint8_t* planes, size_t area, const uint8_t* tables, bool channels_last, uint8_t* out);
  void (*values_16)(const uint8_t* planes, size_t area, const uint16_t* tables, bool channels_last, uint16_t* out);
  void (*values_32)(const uint8_t* planes, size_t area, const uint32_t* tables, bool channels_last, uint32_t* out);
  // The low-pass, see low_pass_loops.h.
  void (*weigh_rows)(const uint8_t* rows, size_t stride, const int32_t* weights, int taps, int n, uint8_t* out);
  void (*fold_levels)(const uint8_t* a, const uint8_t* b, int n, float* sum, float* difference);
  void (*fold_line)(const float* line, int side, float* sum, float* difference);
  void (*unfold_line)(const float* even, const float* odd, int side, float* line);
  void (*round_levels)(const float* values, const float* more, int n, uint8_t* out);
  void (*multiply)(const float* a, size_t a_stride, int rows, int depth, const float* b, int columns, float* out);
  uint32_t (*check)(const uint8_t* bytes, size_t size);  // see row_check.h
};

extern const Loops* chosen;  // the fastest build that this processor runs; tests choose others
inline const Loops& loops() { return *chosen; }

namespace portable { extern const Loops kLoops; }
#if defined(__x86_64__) && defined(__GNUC__)  // clang, too
#define ET_X86_BUILDS 1
namespace v3 { extern const Loops kLoops; }
namespace vnni { extern const Loops kLoops; }
#endif

}  // namespace et
