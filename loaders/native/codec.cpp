// The C ABI of codec.h, as far as it only passes work on.
#include "codec.h"

#include "jpeg/libjpeg.h"

using namespace et;

namespace {

int32_t answer(const Error& error, char* message) {
  std::memcpy(message, error.text, ET_MESSAGE);
  return error.status;
}

}  // namespace

void et_free(void* block) { std::free(block); }

int32_t et_peek(const uint8_t* jpeg, size_t size, EtInfo* info, char* message) {
  Error error;
  Header h;
  if (parse_header(jpeg, size, h, error)) {
    *info = {h.width, h.height, h.ncomp, h.restart, h.progressive, h.own, {0}, {0}};
    for (int c = 0; c < h.ncomp; c++) info->h[c] = h.comp[c].h, info->v[c] = h.comp[c].v;
  }
  return answer(error, message);
}

int32_t et_encode(const uint8_t* rgb, int32_t width, int32_t height, int32_t quality, uint8_t** block, size_t* size,
                  char* message) {
  Error error;
  Bytes out;
  *block = nullptr;
  if (encode_rgb(rgb, width, height, quality, out, error)) {
    *size = out.size;
    *block = out.release();
  }
  return answer(error, message);
}

int32_t et_decode(const uint8_t* jpeg, size_t size, int32_t scale, uint8_t* out, size_t capacity, char* message) {
  Error error;
  decode_rgb(jpeg, size, scale, out, capacity, error);
  return answer(error, message);
}
