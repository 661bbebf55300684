// The contents of a JPEG's headers, and the one error type of the kernel.
#pragma once
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "kernel.h"

namespace et {

// A failure with its reason. Functions return false after `set`.
struct Error {
  EtStatus status = ET_OK;
  char text[ET_MESSAGE] = {0};

  bool set(EtStatus s, const char* format, ...) __attribute__((format(printf, 3, 4))) {
    status = s;
    va_list args;
    va_start(args, format);
    std::vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return false;
  }
};

struct Component {
  uint8_t id, h, v;    // identifier, horizontal and vertical sampling factor
  uint8_t tq, td, ta;  // quantisation, DC and AC table
};

// A DHT table as the file has it: how many codes of each length, then their symbols.
struct HuffSpec {
  uint8_t counts[17];  // [1..16]
  uint8_t symbols[256];
  bool present;
  bool wide;  // holds a symbol that 8-bit baseline does not have
};

enum class Color : uint8_t { kGrey, kYcc, kRgb };

struct Header {
  int width, height, ncomp;
  Component comp[3];
  int hmax, vmax;        // largest sampling factors
  int mcu_w, mcu_h;      // pixels of an MCU
  int mcus_x, mcus_y;    // MCUs a row, MCU rows
  int restart;           // MCUs a restart segment; 0: the whole scan is one
  bool progressive;
  bool arithmetic;
  bool fits;             // chroma 1x1 under luma <= 2x2
  bool own;              // the own decoder reads it: baseline Huffman, 8 bit, one scan, fits
  Color color;
  uint16_t quant[4][64];  // zigzag order, as stored
  bool quant_present[4];
  HuffSpec dc[4], ac[4];
  bool odd;              // other decoders may refuse it: stray bytes between segments, or Huffman tables left out
  size_t sof;            // offset of the SOF marker
  size_t sos;            // offset of the first SOS marker
  size_t head;           // offset of the first entropy-coded byte
};

// Parses everything up to the first scan. Bytes after `size` are never read; every count is bounded before use.
bool parse_header(const uint8_t* data, size_t size, Header& header, Error& error);

// Takes the tables of a DHT segment, whose bytes behind the length these are.
bool read_huffman(const uint8_t* data, size_t size, Header& header, Error& error);

// Whether the scans of a JPEG bring every coefficient of every component to full precision. Else ET_UNSUPPORTED: libjpeg
// guesses the missing coefficients (it smooths blocks), so only a whole decode by libjpeg has the pixels that other programs
// show. ET_DAMAGED where the file is cut short, too.
bool has_all_scans(const uint8_t* data, size_t size, const Header& header, Error& error);

// Zigzag position -> row-major position.
inline constexpr uint8_t kZigzag[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

}  // namespace et
