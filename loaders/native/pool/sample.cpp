// One sample: read the bytes under the crop, decode them if they are a JPEG, resample. See sample.h.
#include "pool/sample.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "augment/output.h"
#include "jpeg/cut.h"
#include "jpeg/decode.h"
#include "jpeg/progressive.h"
#include "pool/ahead.h"

namespace et {
namespace {

// Adds a decoding thread's read, which took `ns` nanoseconds, to the statistics.
void count_read(int64_t ns, EtStats& stats) {
  stats.read_ns += ns;
  if (ns > kSlowRead) stats.storage_ns += ns;
}

// The record that a reading thread has read of this sample; its memory has been swapped with the scratch's.
bool taken(Scratch& s, Record& out, Error& e) {
  const Ahead& ahead = *s.ahead;
  out = ahead.record, e = ahead.error;
  return e.status == ET_OK;
}

// Reads a sample and parses its headers. `bytes` then holds the whole JPEG, or its headers and, in `source`, the MCU rows under
// the crop.
bool open_sample(const EtSample& sample, int fd, Scratch& s, Record& bytes, Header& header, EtStats& stats, Error& e) {
  const EtEntry& entry = sample.entry;
  if (entry.kind == ET_OTHER) return e.set(ET_UNSUPPORTED, "no JPEG that the kernel decodes");
  const bool read = s.ahead ? taken(s, bytes, e) : Reading(sample, fd, false, s.file, bytes, e).finish(stats);
  if (!read || !parse_header(bytes.jpeg, bytes.held, header, e)) return false;
  if (header.width != entry.width || header.height != entry.height)
    return e.set(ET_DAMAGED, "the JPEG is %d x %d pixels, the index says %d x %d", header.width, header.height, entry.width,
                 entry.height);
  if (!header.own) return !bytes.source.rows || Reading(sample, fd, true, s.file, bytes, e).finish(stats);  // libjpeg needs all rows
  if (!bytes.source.rows) bytes.source = {bytes.jpeg + header.head, bytes.held - header.head, 0, nullptr, 0};
  else if (header.head != entry.head || !cuttable(header) || header.mcus_y != int(entry.rows))
    return e.set(ET_DAMAGED, "the JPEG's headers contradict its row table");
  return true;
}

// Sets `region`: the part of an image of this size that a target needs. It begins at an even pixel, as planes do.
bool needed(const EtSample& sample, const Target& target, int width, int height, Box& region, Error& e) {
  return region_of(target, width, height, region) ||
         e.set(ET_BAD_ARGUMENT, "crop box %g %g %g %g is empty or outside %d x %d pixels", sample.box[0], sample.box[1],
               sample.box[2], sample.box[3], width, height);
}

// The part of stored pixels that a target needs.
bool pixel_region(const EtSample& sample, const Target& target, Box& region, Error& e) {
  const EtEntry& entry = sample.entry;
  if (entry.size != uint64_t(entry.width) * 3 * entry.height)
    return e.set(ET_DAMAGED, "%u bytes are not %u x %u pixels", entry.size, entry.width, entry.height);
  return needed(sample, target, entry.width, entry.height, region, e);
}

// Reads the stored pixels under the crop into planes.
bool read_pixels(const EtSample& sample, const Target& target, int fd, Scratch& s, Planes& planes, EtStats& stats, Error& e) {
  const EtEntry& entry = sample.entry;
  Box region;
  if (!pixel_region(sample, target, region, e)) return false;
  const int64_t start = now_ns();
  Record rows;
  if (!(s.ahead ? taken(s, rows, e) : Reading(sample, region, fd, s.file, rows, e).finish(stats))) return false;
  stats.bytes_decoded += rows.held;
  count_read(now_ns() - start, stats);
  planes.count = 3, planes.color = Color::kRgb, planes.width = entry.width, planes.height = entry.height;
  for (Plane& p : planes.plane)
    p = {nullptr, 0, region.x0, region.y0, region.x1 - region.x0, region.y1 - region.y0, entry.width, entry.height, 1};
  if (!planes.reserve(s.planes, e)) return false;
  scatter(rows.jpeg + size_t(region.x0) * 3, size_t(entry.width) * 3, region.y1 - region.y0, region.y0, planes);
  return true;
}

// The DCT scale at which a JPEG is decoded. The plan chooses it by luma. libjpeg reduces chroma as much, so where chroma has less
// than half of luma's samples along an axis (4:1:1), half of that scale leaves it those that it has in 4:2:0.
int scale_of(const EtSample& sample, const Header& header) {
  for (int c = 0; c < header.ncomp; c++)
    if (header.hmax > 2 * header.comp[c].h || header.vmax > 2 * header.comp[c].v) return std::max(1, sample.scale / 2);
  return sample.scale;
}

// Reads a JPEG. libjpeg decodes it to planes; for our own decoder, `hand.decoding` is prepared.
bool open_jpeg(const EtSample& sample, int fd, Scratch& s, InHand& hand, EtStats& stats) {
  const int64_t start = now_ns();
  Error& e = hand.error;
  Record bytes{};
  Header header;
  const bool opened = open_sample(sample, fd, s, bytes, header, stats, e);
  const int64_t got = now_ns();
  count_read(got - start, stats);
  if (!opened) return false;
  const int d = scale_of(sample, header);
  if (d != sample.scale) hand.target = target_of(sample, hand.batch->side, d);
  Box region;
  if (!needed(sample, hand.target, (header.width + d - 1) / d, (header.height + d - 1) / d, region, e)) return false;
  bool good;
  if (header.own) {
    good = begin_own(header, bytes.source, region, d, s, hand.decoding, hand.planes, e);
    stats.bytes_decoded += header.head + hand.planes.coded;
  } else {
    good = decode_progressive(header, bytes.jpeg, bytes.held, region, d, s, hand.planes) ||
           decode_libjpeg(bytes.jpeg, bytes.held, region, d, s, hand.planes, e);
    stats.bytes_decoded += bytes.held;
  }
  stats.decode_ns += now_ns() - got;
  return good;
}

bool sound_box(const float* box, Error& e) {
  for (int i = 0; i < 4; i++)
    if (!(std::abs(box[i]) <= 1 << 27)) return e.set(ET_BAD_ARGUMENT, "crop box %g %g %g %g", box[0], box[1], box[2], box[3]);
  return true;
}

// The steps before decoding; see `open_jpeg`.
bool begin(const EtBatch& batch, int64_t i, Scratch& s, InHand& hand, EtStats& stats) {
  const EtSample& sample = batch.samples[i];
  hand.batch = &batch, hand.i = i, hand.error = Error();
  if (sample.scale != 1 && sample.scale != 2 && sample.scale != 4 && sample.scale != 8)
    return hand.error.set(ET_BAD_ARGUMENT, "DCT scale 1/%d", sample.scale);
  const bool raw = sample.entry.kind == ET_RAW;
  hand.target = target_of(sample, batch.side, raw ? 1 : sample.scale);
  if (!sound_box(sample.box, hand.error)) return false;
  return raw ? read_pixels(sample, hand.target, batch.fd, s, hand.planes, stats, hand.error)
             : open_jpeg(sample, batch.fd, s, hand, stats);
}

// Decodes what `begin` has prepared, with all lanes.
bool decode(InHand& hand, EtStats& stats) {
  if (!hand.decoding.segments()) return true;
  const int64_t start = now_ns();
  const bool good = finish_own(hand.decoding);
  stats.decode_ns += now_ns() - start;
  return good;
}

uint8_t* place_of(const InHand& hand) {
  const EtBatch& batch = *hand.batch;
  return batch.out + hand.i * output_bytes(batch);
}

// Resamples the planes, and writes the pixels to the batch.
bool deliver_planes(InHand& hand, Scratch& s, EtStats& stats) {
  const EtBatch& batch = *hand.batch;
  const int64_t start = now_ns();
  uint8_t *const out = place_of(hand), *const pixels = place_for(batch, out, s);
  if (!pixels) return hand.error.set(ET_IO, "out of memory for %d x %d pixels", batch.side, batch.side);
  if (!resample(hand.planes, hand.target, batch.filter, s, true, pixels, hand.error)) return false;
  const bool delivered = deliver(batch, hand.i, pixels, out, s, hand.error);
  stats.resample_ns += now_ns() - start;
  return delivered;
}

// Writes the status and message of a finished sample.
void report(InHand& hand, bool good, EtStats& stats) {
  const EtBatch& batch = *hand.batch;
  hand.decoding.release();
  if (!good) std::memset(place_of(hand), 0, output_bytes(batch));
  stats.samples++;
  batch.status[hand.i] = hand.error.status;
  std::memcpy(batch.messages + hand.i * ET_MESSAGE, hand.error.text, ET_MESSAGE);
}

// Whether the JPEG ends with its first end-of-image marker: at most a few stray bytes follow, or another image, which some cameras
// append. Otherwise the marker was written into the middle of the data, or the file is of a rare kind: libjpeg decides.
bool ends_once(const uint8_t* at, const uint8_t* end, Error& e) {
  enum { kStray = 64 };
  const uint8_t kEnd[2] = {0xFF, 0xD9}, kBegin[2] = {0xFF, 0xD8};
  while ((at = static_cast<const uint8_t*>(std::memchr(at, kEnd[0], end - at))) && at + 1 < end && at[1] != kEnd[1]) at++;
  if (!at || at + 1 >= end) return e.set(ET_DAMAGED, "the end-of-image marker is missing");
  const uint8_t* const found = at + 2;
  const size_t left = end - found;
  if (left < 2 || !std::memcmp(found, kBegin, 2) || (left <= kStray && std::memcmp(end - 2, kEnd, 2))) return true;
  return e.set(ET_DAMAGED, "%zu bytes follow the end-of-image marker", left);
}

bool cut_out(const EtCutBatch& batch, int64_t i, Scratch& s, EtStats& stats, Error& e) {
  EtSample sample = batch.samples[i];
  if (sample.entry.kind == ET_RAW) return e.set(ET_UNSUPPORTED, "stored pixels are no JPEG to cut");
  sample.scale = 1;  // the cut is decoded at full scale, which needs the fewest rows
  const int64_t start = now_ns();
  Record bytes{};
  Header header;
  const bool opened = open_sample(sample, batch.fd, s, bytes, header, stats, e);
  const int64_t got = now_ns();
  count_read(got - start, stats);
  if (!opened) return false;
  if (header.odd) return e.set(ET_UNSUPPORTED, "stray bytes between the headers, or Huffman tables left out");
  if (!header.own && !has_all_scans(bytes.jpeg, bytes.held, header, e)) return false;
  const bool part = cuttable(header);
  const size_t most = part ? header.head + bytes.source.size : bytes.held, room = batch.slots[i + 1] - batch.slots[i];
  if (most > room) return e.set(ET_BAD_ARGUMENT, "%zu bytes may not hold a cut of %zu", room, most);
  uint8_t* out = batch.out + batch.slots[i];
  size_t length = bytes.held;
  if (part) {
    const float* const at = sample.box;
    const int32_t box[4] = {std::max(0, int(std::floor(at[0] - sample.margin))), std::max(0, int(std::floor(at[1] - sample.margin))),
                            std::min(header.width, int(std::ceil(at[2] + sample.margin))),
                            std::min(header.height, int(std::ceil(at[3] + sample.margin)))};
    if (!cut(header, bytes.jpeg, bytes.source, box, out, length, batch.origins + 2 * i, e)) return false;
  } else {
    if (!ends_once(bytes.jpeg + header.head, bytes.jpeg + bytes.held, e)) return false;
    std::memcpy(out, bytes.jpeg, length);
  }
  batch.sizes[i] = int64_t(length);
  stats.bytes_decoded += length;
  stats.cut_ns += now_ns() - got;
  return true;
}

}  // namespace

void Ahead::begin(const EtSample& sample, int fd, int side) {
  Box region;
  error = Error();
  if (sample.entry.kind == ET_OTHER || !sound_box(sample.box, error)) return;
  if (sample.entry.kind != ET_RAW) reading.emplace(sample, fd, false, memory, record, error);
  else if (pixel_region(sample, target_of(sample, side, 1), region, error))
    reading.emplace(sample, region, fd, memory, record, error);
}

void read_ahead(Ahead* const* samples, int count, EtStats& stats) {
  const auto fetch = [](Ahead& ahead) {
    if (ahead.reading->done()) ahead.reading.reset();
    else ahead.reading->fetch();
  };
  for (int i = 0; i < count; i++)
    if (samples[i]->reading) fetch(*samples[i]);
  // The last read first: when its bytes have arrived, those requested before it usually have, too, and the thread sleeps once.
  for (bool left = true; std::exchange(left, false);)
    for (int i = count - 1; i >= 0; i--)
      if (samples[i]->reading) samples[i]->reading->next(stats), fetch(*samples[i]), left = true;
}

EtStatus run_sample(const EtBatch& batch, int64_t i, Scratch& scratch, EtStats& stats) {
  InHand hand;
  report(hand, begin(batch, i, scratch, hand, stats) && decode(hand, stats) && deliver_planes(hand, scratch, stats), stats);
  return hand.error.status;
}

bool Desk::begin(const EtBatch& batch, int64_t i, EtTicket* ticket, EtStats& stats) {
  Seat* seat = seats_;
  while (seat->ticket) seat++;
  InHand& hand = seat->sample;
  const bool good = et::begin(batch, i, scratch_, hand, stats);
  if (good && hand.decoding.segments() == 1) {
    seat->ticket = ticket;
    seat->memory.swap(scratch_);
    lanes_.add(hand.decoding);
    return false;
  }
  report(hand, good && decode(hand, stats) && deliver_planes(hand, scratch_, stats), stats);
  return true;
}

EtTicket* Desk::advance(EtStats& stats) {
  const int64_t start = now_ns();
  const Decoding* const done = lanes_.run();
  stats.decode_ns += now_ns() - start;
  Seat* seat = seats_;
  while (&seat->sample.decoding != done) seat++;
  seat->memory.swap(scratch_);
  InHand& hand = seat->sample;
  report(hand, hand.error.status == ET_OK && deliver_planes(hand, scratch_, stats), stats);
  return std::exchange(seat->ticket, nullptr);
}

EtStatus finish_sample(const EtBatch& batch, int64_t i, const uint8_t* pixels, Scratch& scratch, char* message) {
  Error e;
  const size_t levels = size_t(3) * batch.side * batch.side;
  uint8_t* const out = batch.out + i * output_bytes(batch);
  uint8_t* const held = place_for(batch, out, scratch);
  if (held) {
    std::memcpy(held, pixels, levels);
    deliver(batch, i, held, out, scratch, e);
  } else {
    e.set(ET_IO, "out of memory for %d x %d pixels", batch.side, batch.side);
  }
  std::memcpy(message, e.text, ET_MESSAGE);
  return e.status;
}

void cut_sample(const EtCutBatch& batch, int64_t i, Scratch& scratch, EtStats& stats) {
  Error e;
  if (sound_box(batch.samples[i].box, e)) cut_out(batch, i, scratch, stats, e);
  stats.samples++;
  batch.status[i] = e.status;
  std::memcpy(batch.messages + i * ET_MESSAGE, e.text, ET_MESSAGE);
}

EtStatus peek_file(const char* path, Scratch& s, uint16_t& width, uint16_t& height) {
  Error e;
  const File file(reinterpret_cast<int64_t>(path), -1);
  uint64_t size = 0;
  Header header;
  width = height = 0;
  if (!file.opened(e) || !file.size(size, e)) return e.status;
  // Most headers end within 16 KB; embedded profiles and thumbnails can make them longer.
  for (uint64_t window = 16384;; window *= 8) {
    const uint64_t bytes = std::min(size, std::min<uint64_t>(window, kMaxBytes));
    uint8_t* data = s.file.reserve(bytes + 16);
    if (!data || !file.read(data, bytes, 0, e)) return ET_IO;
    e = Error();
    if (parse_header(data, bytes, header, e)) break;
    if (e.status != ET_DAMAGED || bytes == size || bytes == kMaxBytes) return e.status;
  }
  width = uint16_t(header.width), height = uint16_t(header.height);
  return ET_OK;
}

}  // namespace et
