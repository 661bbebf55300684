// The C ABI of whole-file work: looking at a JPEG, converting it for storage, cutting it, decoding it for reference.
// Python's side of it is loaders/native/codec.py. Every function takes a `message` of ET_MESSAGE bytes, filled on failure.
#pragma once
#include "kernel.h"

extern "C" {

struct EtInfo {
  int32_t width, height, components;
  int32_t restart;      // MCUs a restart segment, 0: none
  int32_t progressive, own;
  int32_t h[3], v[3];   // sampling factors
};

// One JPEG in the block that et_transcode returns. Right before it stands its table, as on disk: for each MCU row a check and
// its byte offset, see row_check.h.
struct EtRecord {
  uint64_t offset, size;  // of the JPEG in the block
  uint64_t table;         // bytes of the table
  uint32_t width, height;
  uint32_t head;          // bytes from SOI to the first entropy-coded byte
  uint32_t rows;          // MCU rows
};

void et_free(void* block);  // releases memory allocated by the functions below

int32_t et_peek(const uint8_t* jpeg, size_t size, EtInfo* info, char* message);

// Record 0 carries every quantised coefficient over, as baseline with a restart marker every few MCUs; record i is
// `ratios[i]` of the size, 4:4:4, at `qualities[i]`. `ratios[0]` must be 1. `filter` reduces; its unit is the output pixel
// (base = 0).
// note: ET_MESSAGE bytes, an accepted peculiarity of the file, or "".
int32_t et_transcode(const uint8_t* jpeg, size_t size, const double* ratios, const int32_t* qualities, int32_t count,
                     int32_t segment, const EtFilter* filter, uint8_t** block, EtRecord* records, char* note, char* message);

// Interleaved RGB, width * height * 3 bytes -> baseline JPEG, 4:4:4.
int32_t et_encode(const uint8_t* rgb, int32_t width, int32_t height, int32_t quality, uint8_t** block, size_t* size,
                  char* message);

// The whole image by libjpeg (islow, fancy upsampling) as interleaved RGB, reduced by the DCT to 1 / scale.
// out: 3 * ceil(width / scale) * ceil(height / scale) bytes.
int32_t et_decode(const uint8_t* jpeg, size_t size, int32_t scale, uint8_t* out, size_t capacity, char* message);

// A smaller JPEG that holds the MCUs under `box` (x0, y0, x1, y1, pixels). Its pixel (0, 0) is the image's pixel `origin`.
// out: at least `size` bytes.
int32_t et_cut(const uint8_t* jpeg, size_t size, const int32_t* box, uint8_t* out, size_t capacity, size_t* length,
               int32_t* origin, char* message);
}
