// A JPEG -> its stored levels: level 0 with the same coefficients, the others smaller. See et_transcode in codec.h.
#include <algorithm>
#include <cmath>
#include <memory>

#include "codec.h"
#include "encode/level_encoder.h"
#include "simd/loops.h"
#include "jpeg/libjpeg.h"

namespace et {
namespace {

// A divisor from 3 to 6 lets segments of about four MCUs line up with the rows.
bool divides_well(int width) {
  const int mcus = (width + 7) / 8;
  return mcus < 3 || mcus % 3 == 0 || mcus % 4 == 0 || mcus % 5 == 0;  // 6 is covered by 3
}

// The width nearest to `wanted` whose row of MCUs divides well, no larger than `most`.
int pleasant_width(int wanted, int most) {
  wanted = std::min(std::max(wanted, 1), most);
  for (int step = 0;; step++) {
    if (divides_well(wanted - step)) return wanted - step;
    if (wanted + step <= most && divides_well(wanted + step)) return wanted + step;
  }
}

// Notes the peculiarities of a JPEG whose coefficients are all present.
void describe(const Oddities& odd, const Tail& tail, char* note) {
  const size_t bytes = odd.stray + tail.bytes;
  const bool endless = odd.endless || !tail.eoi;
  if (tail.markers)
    std::snprintf(note, ET_MESSAGE, "left out %zu byte(s) behind the last MCU, with %d marker(s), the first ff%02x%s", bytes,
                  tail.markers, tail.first, endless ? "; no EOI" : "");
  else if (bytes)
    std::snprintf(note, ET_MESSAGE, "left out %zu byte(s) without meaning%s", bytes,
                  endless ? "; the end-of-image marker is missing" : "");
  else if (endless)
    std::snprintf(note, ET_MESSAGE, "the end-of-image marker is missing");
}

// A thread's working memory, kept from one image to the next unless that was a very large one.
struct Workspace {
  Scratch scratch;
  Scan scan;
  Buffer pixels, blocks;
  Bytes baseline;
};
enum { kKept = 1 << 24 };  // pixels

class Transcoder {
 public:
  Transcoder(int segment, const EtFilter& filter, Workspace& work, Error& error)
      : segment_(segment), filter_(filter), w_(work), e_(error) {}

  // Level 0; `more_levels`: keeps its pixels for `reduced`.
  bool full_size(const uint8_t* jpeg, size_t size, bool more_levels, EtRecord& record, char* note) {
    if (!parse_header(jpeg, size, header_, e_)) return false;
    if (pixels() > kMaxPixels)
      return e_.set(ET_UNSUPPORTED, "%d x %d pixels are too many", header_.width, header_.height);
    Oddities odd{};
    Tail tail;
    if (!header_.own) {
      w_.baseline.size = 0;
      if (!to_baseline(jpeg, size, w_.baseline, odd, e_)) return false;
      jpeg = w_.baseline.data(), size = w_.baseline.size;
      if (!parse_header(jpeg, size, header_, e_)) return false;
    }
    const int interval = restart_interval(header_.mcus_x, header_.mcus_y, size - header_.head, segment_);
    PixelPlan whole;
    const Box all = {0, 0, header_.width, header_.height};
    const bool draw = more_levels && header_.own;
    if (draw && !plan_pixels(header_, all, 1, w_.scratch, whole, planes_, e_)) return false;
    if (!read_scan(jpeg, size, header_, interval, draw ? &whole.plan : nullptr, w_.scan, tail, e_)) return false;
    if (!append(header_, record)) return false;
    describe(odd, tail, note);
    return draw || !more_levels ||
           decode_libjpeg(out_.data() + record.offset, record.size, all, 1, w_.scratch, planes_, e_);
  }

  bool reduced(double ratio, int quality, EtRecord& record) {
    Target t{};
    t.width = pleasant_width(int(std::lround(header_.width * ratio)), header_.width);
    t.height = std::max(1, int(std::lround(double(header_.height) * t.width / header_.width)));
    t.box[2] = t.full[0] = float(header_.width), t.box[3] = t.full[1] = float(header_.height);
    uint8_t* pixels = w_.pixels.reserve(size_t(t.width) * t.height * planes_.count);
    if (!pixels) return e_.set(ET_IO, "out of memory for %d x %d pixels", t.width, t.height);
    Header header;
    return resample(planes_, t, filter_, w_.scratch, false, pixels, e_) &&
           encode_level(header_, pixels, planes_.count, planes_.color, t.width, t.height, quality, segment_, w_.blocks,
                        header, w_.scan, e_) &&
           append(header, record);
  }

  uint8_t* release() { return out_.release(); }
  int64_t pixels() const { return int64_t(header_.width) * header_.height; }

 private:
  bool append(const Header& h, EtRecord& record) {
    Recoded done;
    if (!write_scan(h, w_.scan, out_, done, e_)) return false;
    record = {done.offset, done.size, done.offset - done.table, uint32_t(h.width), uint32_t(h.height), done.head,
              uint32_t(h.mcus_y)};
    Header check;  // the loader must be able to read the result
    if (!parse_header(out_.data() + done.offset, done.size, check, e_)) return false;
    if (check.own != h.own || check.color != h.color || check.head != done.head)
      return e_.set(ET_DAMAGED, "the converted header differs (a fault of the converter)");
    return true;
  }

  const int segment_;
  const EtFilter& filter_;
  Workspace& w_;
  Error& e_;
  Header header_{};
  Bytes out_;
  Planes planes_{};
};

}  // namespace
}  // namespace et

int32_t et_transcode(const uint8_t* jpeg, size_t size, const double* ratios, const int32_t* qualities, int32_t count,
                     int32_t segment, const EtFilter* filter, uint8_t** block, EtRecord* records, char* note, char* message) {
  using namespace et;
  thread_local std::unique_ptr<Workspace> work;
  if (!work) work.reset(new Workspace);
  Error error;
  *block = nullptr, note[0] = 0;
  Transcoder transcoder(segment, *filter, *work, error);
  bool good = count >= 1 && ratios[0] == 1 && segment >= 1;
  if (!good) error.set(ET_BAD_ARGUMENT, "ratios must begin with 1, segment be at least 1");
  for (int i = 0; good && i < count; i++) {
    if (!(ratios[i] > 0 && ratios[i] <= 1)) good = error.set(ET_BAD_ARGUMENT, "ratio %g is not in (0, 1]", ratios[i]);
    if (!(qualities[i] >= 1 && qualities[i] <= 100))
      good = error.set(ET_BAD_ARGUMENT, "quality %d is not from 1 to 100", qualities[i]);
  }
  good = good && transcoder.full_size(jpeg, size, count > 1, records[0], note);
  for (int i = 1; good && i < count; i++) good = transcoder.reduced(ratios[i], qualities[i], records[i]);
  if (good) *block = transcoder.release();
  if (transcoder.pixels() > kKept) work.reset();
  std::memcpy(message, error.text, ET_MESSAGE);
  return error.status;
}
