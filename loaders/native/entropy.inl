// Baseline Huffman decoding (ITU T.81 annex F), included by hot.inl.
//
// Why another one: libjpeg's decoder takes a slower path at restart markers, cannot start at a segment, and must decode what
// lies between. This one looks code and value up together, refills without a branch, and parses blocks that nobody asked
// for without storing them.

// Where a stream stands: few words, since two streams must fit the registers. `base` is common to both.
struct Bits {
  uint64_t at;      // bits from `base`
  uint64_t window;  // the bits from there on, left-aligned
};

// At least 57 bits afterwards.
static inline void refill(const uint8_t* base, Bits& b) {
  uint64_t v;
  std::memcpy(&v, base + (b.at >> 3), 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  v = __builtin_bswap64(v);
#endif
  b.window = v << (b.at & 7);
}

static inline void skip(Bits& b, int n) {
  b.window <<= n;
  b.at += n;
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

// A block in the making.
struct Block {
  int k;         // zigzag position of the last symbol's coefficient; kEndSkip more once the block has ended
  int16_t* out;  // 64 zeroed int16, and one more that takes what lies past the end

  int last() const { return k >= int(HuffTable::kEndSkip) ? k - int(HuffTable::kEndSkip) : k; }
};

// The rare symbols: code and value longer than the look-up. False where no code fits.
static bool __attribute__((noinline)) slow_symbol(Bits& b, const HuffTable& table, uint32_t e, int& k, int& value) {
  int bits, advance;
  if (e & 31) {
    skip(b, e & 31);
    bits = e >> 16, advance = e >> 8 & 127;
  } else {
    const int symbol = long_symbol(b, table);
    if (symbol < 0) return false;
    bits = symbol & 15, advance = ac_advance(symbol);
  }
  value = bits ? take_signed(b, bits) : 0;
  k += advance;
  return true;
}

// One AC symbol. Takes 26 bits at the most, so that a refill serves two.
template <bool kStore>
static inline bool take_ac(Bits& b, const BlockPlan& plan, Block& block) {
  const uint32_t e = plan.ac->fast[b.window >> (64 - kLookahead)];
  int value;
  if (__builtin_expect((e & HuffTable::kSplit) != 0, 0)) {
    if (!slow_symbol(b, *plan.ac, e, block.k, value)) return false;
  } else {
    b.window <<= e & 63;
    b.at += uint8_t(e);
    value = int32_t(e) >> 16;
    block.k += e >> 8 & 127;
  }
  if (kStore) {
    const CoefficientPlace place = plan.place[block.k];
    block.out[place.at] = int16_t(value * place.quant);
  }
  return true;
}

template <bool kStore>
static inline bool take_dc(const uint8_t* base, Bits& b, const BlockPlan& plan, int& predictor, Block& block) {
  refill(base, b);
  const uint32_t e = plan.dc->fast[b.window >> (64 - kLookahead)];
  if (__builtin_expect((e & HuffTable::kSplit) != 0, 0)) {
    int k = 0, value;
    if (!slow_symbol(b, *plan.dc, e, k, value)) return false;  // symbols of a DC table are value sizes: run 0
    predictor += value;
  } else {
    skip(b, uint8_t(e));
    predictor += int32_t(e) >> 16;
  }
  block.k = 0;
  if (kStore) block.out[0] = int16_t(predictor * plan.place[0].quant);
  return true;
}

template <bool kStore>
static inline bool take_rest(const uint8_t* base, Bits& b, const BlockPlan& plan, Block& block) {
  while (block.k < 63) {
    refill(base, b);
    if (!take_ac<kStore>(b, plan, block)) return false;
    if (block.k < 63 && !take_ac<kStore>(b, plan, block)) return false;
  }
  return block.k == 63 || block.k >= int(HuffTable::kEndSkip);  // else a run went past the end of the block
}

// One block. False where the bits are no block.
template <bool kStore>
static inline bool decode_block(const uint8_t* base, Bits& b, const BlockPlan& plan, int& predictor, Block& block) {
  return take_dc<kStore>(base, b, plan, predictor, block) && take_rest<kStore>(base, b, plan, block);
}

// Note [two at a time]: each code's length decides where the next begins, so one stream keeps the processor waiting. Restart
// segments are independent: two of them, symbol by symbol in turn, fill the gaps.
template <bool kStore>
static inline bool decode_two(const uint8_t* base, Bits& a, Bits& b, const BlockPlan& plan, int& predictor_a,
                              int& predictor_b, Block& block_a, Block& block_b) {
  if (!take_dc<kStore>(base, a, plan, predictor_a, block_a) || !take_dc<kStore>(base, b, plan, predictor_b, block_b))
    return false;
  do {
    refill(base, a);
    refill(base, b);
    if (!take_ac<kStore>(a, plan, block_a) || !take_ac<kStore>(b, plan, block_b)) return false;
    if (block_a.k >= 63 || block_b.k >= 63) break;
    if (!take_ac<kStore>(a, plan, block_a) || !take_ac<kStore>(b, plan, block_b)) return false;
  } while (block_a.k < 63 && block_b.k < 63);
  return take_rest<kStore>(base, a, plan, block_a) && take_rest<kStore>(base, b, plan, block_b);
}
