// Baseline Huffman decoding (ITU T.81 annex F), included by hot.inl.
//
// Why another one: libjpeg's decoder takes a slower path at restart markers, cannot start at a segment, and must decode what
// lies between. This one looks code and value up together, refills without a branch, and parses blocks that nobody asked
// for without storing them.

// Where a stream stands. The loads of a refill depend on the refill before, not on the symbols in between: they are done by
// the time they are wanted.
struct Bits {
  const uint8_t* next;  // the first byte that the window holds nothing of for sure
  uint64_t window;      // bits to come, left-aligned
  uint64_t left;        // how many of them are accounted for

  int64_t used(const uint8_t* base) const { return (next - base) * 8 - int64_t(left); }  // bits from `base`
};

static inline uint64_t load_be64(const uint8_t* p) {
  uint64_t v;
  std::memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  v = __builtin_bswap64(v);
#endif
  return v;
}

static inline void skip(Bits& b, int n) {
  b.window <<= n;
  b.left -= n;
}

// T.81 F.2.2.1, EXTEND: `n` bits, 1..15, as a signed value.
static inline int take_signed(Bits& b, int n) {
  const uint64_t raw = b.window >> (64 - n);
  const int value = int(raw) - (b.window >> 63 ? 0 : (1 << n) - 1);
  skip(b, n);
  return value;
}

static inline int extend(int raw, int n) { return raw < 1 << (n - 1) ? raw - (1 << n) + 1 : raw; }

template <class Fill>
static void build_table(const HuffSpec& spec, HuffTable& table, Fill fill) {
  for (uint32_t& entry : table.fast) entry = HuffTable::kSplit;
  std::memcpy(table.symbols, spec.symbols, sizeof table.symbols);
  int code = 0, index = 0;
  for (int length = 1; length <= 16; length++) {
    table.first[length] = index - code;
    for (int i = 0; i < spec.counts[length]; i++, code++, index++)
      if (length <= kLookahead) fill(&table.fast[code << (kLookahead - length)], length, spec.symbols[index]);
    table.last[length] = spec.counts[length] ? code << (16 - length) : 0;
    code <<= 1;
  }
}

// Writes the entries of one code: `span` of them share it.
static void fill_code(uint32_t* out, int length, int advance, int bits) {
  const int span = 1 << (kLookahead - length);
  if (length + bits > kLookahead) {
    for (int i = 0; i < span; i++) out[i] = uint32_t(bits) << 16 | advance << 8 | HuffTable::kSplit | length;
    return;
  }
  const int each = span >> bits;
  for (int raw = 0; raw < 1 << bits; raw++) {
    const uint32_t value = bits ? uint16_t(extend(raw, bits)) : 0;
    for (int i = 0; i < each; i++) *out++ = value << 16 | advance << 8 | (length + bits);
  }
}

static void build_dc(const HuffSpec& spec, HuffTable& table) {
  build_table(spec, table, [](uint32_t* out, int length, int symbol) { fill_code(out, length, 1, symbol); });
}

// Advance of an AC symbol: run + 1 coefficients, 16 for ZRL; other symbols without a value end the block, as in libjpeg.
static inline int ac_advance(int symbol) {
  return (symbol & 15) || symbol == 0xF0 ? (symbol >> 4) + 1 : int(HuffTable::kEndSkip);
}

static void build_ac(const HuffSpec& spec, HuffTable& table) {
  build_table(spec, table, [](uint32_t* out, int length, int symbol) {
    fill_code(out, length, ac_advance(symbol), symbol & 15);
  });
}

// A code longer than kLookahead bits; returns its symbol or -1.
static int __attribute__((noinline)) long_symbol(Bits& b, const HuffTable& table) {
  const int32_t head = int32_t(b.window >> 48);
  for (int length = kLookahead + 1; length <= 16; length++)
    if (head < table.last[length]) {
      const int index = (head >> (16 - length)) + table.first[length];
      skip(b, length);
      return index >= 0 && index < 256 ? table.symbols[index] : -1;
    }
  return -1;
}

// The part of a lane that the inner loop keeps in registers.
struct Cursor {
  Bits bits;
  const uint32_t* ac;  // the block's AC look-up
  int k;               // zigzag position of the last symbol's coefficient; kEndSkip more once the block has ended
};

static const char kNoCode[] = "a Huffman code that no table has", kShort[] = "the coded data end too early",
                  kLong[] = "coded data are left over";

// One stream through the segments: see Note [two at a time].
struct Lane {
  Cursor cursor;
  const ScanPlan* plan;
  const SegmentJob* job;
  int mcu, block, mx, my;
  bool keep;
  int predictor[3];
  const char* wrong;
  alignas(32) int16_t coefficients[80];  // the block in hand: 64 coefficients, one more that takes what lies past the end

  const BlockPlan& now() const { return plan->block[block]; }

  void enter(const SegmentJob* next) {
    job = next, mcu = job->first, block = 0, mx = mcu % plan->mcus_x, my = mcu / plan->mcus_x;
    predictor[0] = predictor[1] = predictor[2] = 0;
    cursor.bits = {job->bytes, 0, 0};
    look();
  }
  void look() {
    keep = mx >= plan->mcus.x0 && mx < plan->mcus.x1 && my >= plan->mcus.y0 && my < plan->mcus.y1;
  }
  int64_t spare() const { return int64_t(job->size) * 8 - cursor.bits.used(job->bytes); }  // bits left in the segment
  bool fail() {
    wrong = spare() < 0 ? kShort : kNoCode;
    return false;
  }
};

// The rare symbols: code and value longer than the look-up. -1 where no code fits, else what the symbol advances.
static int slow_symbol(Bits& b, const HuffTable& table, uint32_t e, int& value) {
  int bits, advance;
  if (e & 31) {
    skip(b, e & 31);
    bits = e >> 16, advance = e >> 8 & 127;
  } else {
    const int symbol = long_symbol(b, table);
    if (symbol < 0) return -1;
    bits = symbol & 15, advance = ac_advance(symbol);
  }
  value = bits ? take_signed(b, bits) : 0;
  return advance;
}

static bool __attribute__((noinline)) slow_ac(Lane& lane, uint32_t e) {
  int value;
  const int advance = slow_symbol(lane.cursor.bits, *lane.now().ac, e, value);
  if (advance < 0) return lane.fail();
  lane.cursor.k += advance;
  lane.coefficients[kPlaces.of[lane.cursor.k]] = int16_t(value);
  return true;
}

// At least 56 bits afterwards.
static inline __attribute__((always_inline)) void refill(Cursor& c) {
  c.bits.window |= load_be64(c.bits.next) >> c.bits.left;
  c.bits.next += (63 - c.bits.left) >> 3;
  c.bits.left |= 56;
}

// One AC symbol. Takes 26 bits at the most, so that a refill serves two. The cursor is handed over by value in the rare case:
// were its address known elsewhere, it could not stay in registers.
static inline __attribute__((always_inline)) bool take_ac(Cursor& c, Lane& lane) {
  const uint32_t e = c.ac[c.bits.window >> (64 - kLookahead)];
  if (__builtin_expect((e & HuffTable::kSplit) != 0, 0)) {
    lane.cursor = c;
    const bool good = slow_ac(lane, e);
    c = lane.cursor;
    return good;
  }
  c.bits.window <<= e & 63;
  c.bits.left -= uint8_t(e);
  c.k += e >> 8 & 127;
  lane.coefficients[kPlaces.of[c.k]] = int16_t(e >> 16);
  return true;
}

// Begins the block that lane.block names.
static bool begin_block(Lane& lane) {
  Cursor& c = lane.cursor;
  const BlockPlan& plan = lane.now();
  refill(c);
  const uint32_t e = plan.dc->fast[c.bits.window >> (64 - kLookahead)];
  int value = int32_t(e) >> 16;
  if (__builtin_expect((e & HuffTable::kSplit) == 0, 1)) skip(c.bits, uint8_t(e));
  else if (slow_symbol(c.bits, *plan.dc, e, value) < 0) return lane.fail();
  c.k = 0, c.ac = plan.ac->fast;
  lane.coefficients[0] = int16_t(lane.predictor[plan.component] += value);
  return true;
}
