// The fuzz target: whatever bytes come, through every door of the kernel that bytes from a file may enter.
//
// tests/robustness/fuzz/run.sh builds it. With clang, libFuzzer drives it. With g++, the kernel is built with
// -fsanitize-coverage=trace-pc and driver.cpp does.
//
// The first bytes of an input choose the door and its arguments; the rest is the file.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "jpeg/row_check.h"
#include "codec.h"

namespace {

enum { kArguments = 16 };

// A triangle kernel, as coarse as EtFilter allows: what is resampled does not matter here.
struct Triangle {
  float table[66], radius = 1;
  EtFilter filter;
  Triangle() {
    for (int i = 0; i < 66; i++) table[i] = i < 64 ? 1 - i / 64.f : 0;
    filter = {table, &radius, 1, 66, 64, 0, 1.f};
  }
};

// Weights of moved pixels and values of erased ones: here any will do.
struct Tables {
  int16_t cubic[1024 * 4];
  float lut[3 * 256], noise[65536];
  Tables() {
    for (int i = 0; i < 1024; i++)
      for (int k = 0; k < 4; k++) cubic[4 * i + k] = int16_t(k == 1 ? (1024 - i) * 16 : k == 2 ? i * 16 : 0);
    for (int i = 0; i < 3 * 256; i++) lut[i] = float(i);
    for (int i = 0; i < 65536; i++) noise[i] = float(i);
  }
};

int side_of(const uint8_t* at) { return at[0] << 8 | at[1]; }

// A record of a pyramid: row offsets, then the JPEG. Number of rows and sides are the input's claims; the checks are made
// good, since whoever means harm can do that too.
void decode(const uint8_t* arguments, const uint8_t* data, size_t size, const EtFilter& filter) {
  static const int fd = memfd_create("fuzz", 0);
  const size_t rows = arguments[1] & 127, table = et::table_bytes(rows);
  if (size < 4 * rows) return;
  const uint8_t* jpeg = data + 4 * rows;
  size -= 4 * rows;
  std::vector<uint32_t> offsets(rows + 1, uint32_t(size)), record(table / 4);
  if (rows) std::memcpy(offsets.data(), data, 4 * rows);
  EtSample sample{};
  EtEntry& entry = sample.entry;
  entry.rows = uint32_t(rows), entry.offset = int64_t(table), entry.size = uint32_t(size);
  if (rows) {
    entry.head = std::min(offsets[0], uint32_t(size));
    std::memcpy(record.data() + rows + 1, offsets.data(), 4 * rows);
    std::vector<uint8_t> first(data, data + 4 * rows);
    first.insert(first.end(), jpeg, jpeg + entry.head);
    record[0] = et::row_check(first.data(), first.size());
    for (size_t r = 0; r < rows; r++) {
      const size_t from = std::min<size_t>(offsets[r], size), to = std::min<size_t>(std::max<size_t>(from, offsets[r + 1]), size);
      record[1 + r] = et::row_check(jpeg + from, to - from);
    }
  }
  if (ftruncate(fd, 0) || pwrite(fd, record.data(), table, 0) != ssize_t(table) ||
      pwrite(fd, jpeg, size, off_t(table)) != ssize_t(size))
    return;
  EtInfo info;
  char message[ET_MESSAGE];
  if (!et_peek(jpeg, size, &info, message) && !(arguments[6] & 1))
    entry.width = uint16_t(info.width), entry.height = uint16_t(info.height);
  const float x = entry.width * arguments[7] / 512.f, y = entry.height * arguments[8] / 512.f;
  const float right = x + (entry.width - x) * (arguments[9] + 1) / 256.f, low = y + (entry.height - y) * (arguments[10] + 1) / 256.f;
  sample.box[0] = x, sample.box[1] = y, sample.box[2] = right, sample.box[3] = low;
  sample.full[0] = right - x, sample.full[1] = low - y;
  sample.scale = uint8_t(1 << (arguments[11] & 3)), sample.flip = arguments[11] >> 2 & 1;
  enum { kSide = 24 };
  uint8_t out[3 * kSide * kSide];
  int32_t status = 0;
  EtBatch batch{};
  batch.samples = &sample, batch.count = 1, batch.filter = filter, batch.fd = fd, batch.side = kSide;
  batch.out = out, batch.element = 1, batch.status = &status, batch.messages = message;
  et_decode_one(&batch, 0, nullptr);

  // The same augmented: two operations, sensible or not, out of the last arguments.
  static const Tables tables;
  float values[3 * kSide * kSide];
  EtOperation operations[2] = {};
  for (int k = 0; k < 2; k++) {
    EtOperation& o = operations[k];
    o.kind = int32_t(arguments[12] >> 4 * k & 15) - 1, o.argument = (arguments[13] - 128) / (o.kind == 3 ? 16.f : 64.f);
    for (int i = 0; i < 6; i++) o.map[i] = (i == 1 || i == 5) << 20;
    o.map[k] = int32_t(int8_t(arguments[14])) << 24, o.map[3 + k] = int32_t(int8_t(arguments[15])) << 18;
  }
  const EtErasure box = {int32_t(arguments[13] & 31), int32_t(arguments[14] & 31), int32_t(arguments[15] & 15), 9, 1};
  batch.augment = {operations, &box, tables.cubic, tables.noise, nullptr, 2, {1, 2, 3, 0}};
  batch.channels_last = arguments[11] >> 3 & 1;
  et_decode_one(&batch, 0, nullptr);
  batch.out = reinterpret_cast<uint8_t*>(values), batch.lut = tables.lut, batch.element = 4;
  et_decode_one(&batch, 0, nullptr);

  static EtPool* const pool = et_pool_new(1);
  const int64_t slots[2] = {0, int64_t(size)};
  std::vector<uint8_t> part(size);
  int64_t length;
  int32_t origin[2];
  EtCutBatch cuts{};
  cuts.samples = &sample, cuts.count = 1, cuts.fd = fd, cuts.out = part.data(), cuts.slots = slots, cuts.sizes = &length;
  cuts.origins = origin, cuts.status = &status, cuts.messages = message;
  EtTicket* ticket;
  et_submit_cut(pool, &cuts, &ticket);
  while (!et_ticket_wait(ticket, 1000)) continue;
  et_ticket_free(ticket);
}

void cut(const uint8_t* arguments, const uint8_t* data, size_t size) {
  const int32_t box[4] = {side_of(arguments + 2), side_of(arguments + 4), side_of(arguments + 6), side_of(arguments + 8)};
  std::vector<uint8_t> out(size);
  size_t length;
  int32_t origin[2];
  char message[ET_MESSAGE];
  et_cut(data, size, box, out.data(), out.size(), &length, origin, message);
}

void transcode(const uint8_t* data, size_t size, const EtFilter& filter) {
  EtInfo info;
  char message[ET_MESSAGE], note[ET_MESSAGE];
  if (et_peek(data, size, &info, message) || int64_t(info.width) * info.height > 1 << 20) return;  // large ones are slow
  const double ratios[2] = {1, .5};
  const int32_t qualities[2] = {90, 90};
  EtRecord records[2];
  uint8_t* block;
  et_transcode(data, size, ratios, qualities, 2, 2, &filter, &block, records, note, message);
  et_free(block);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Triangle triangle;
  if (size < kArguments || size > 1 << 20) return 0;
  const uint8_t* file = data + kArguments;
  size -= kArguments;
  switch (data[0] & 3) {
    case 0: cut(data, file, size); break;
    case 1: transcode(file, size, triangle.filter); break;
    default: decode(data, file, size, triangle.filter);
  }
  return 0;
}
