// A JPEG -> its stored levels: level 0 with the same coefficients, the others smaller. See et_transcode in codec.h.
#include <algorithm>
#include <cmath>

#include "codec.h"
#include "recode.h"

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

// Bytes behind the last MCU that are taken for padding; a scan that lost its way ends early and leaves far more.
enum { kStray = 64 };

class Transcoder {
 public:
  Transcoder(int quality, int segment, const EtFilter& filter, Error& error)
      : quality_(quality), segment_(segment), filter_(filter), e_(error) {}

  bool full_size(const uint8_t* jpeg, size_t size, EtRecord& record, char* note) {
    if (!parse_header(jpeg, size, header_, e_)) return false;
    if (int64_t(header_.width) * header_.height > kMaxPixels)
      return e_.set(ET_UNSUPPORTED, "%d x %d pixels are too many", header_.width, header_.height);
    jpeg_ = jpeg, size_ = size;
    int extraneous = 0, more = 0;
    if (!header_.own) {
      if (!to_baseline(jpeg, size, baseline_, extraneous, e_)) return false;
      jpeg_ = baseline_.data(), size_ = baseline_.size;
      if (!parse_header(jpeg_, size_, header_, e_)) return false;
    }
    if (!append(jpeg_, size_, header_, record, more)) return false;
    first_ = record;
    if (more + extraneous > kStray)
      return e_.set(ET_DAMAGED, "%d bytes are left over behind the last MCU", more + extraneous);
    if (more < 0) std::snprintf(note, ET_MESSAGE, "the end-of-image marker is missing");
    else if (more += extraneous) std::snprintf(note, ET_MESSAGE, "%d bytes without meaning left out", more);
    return true;
  }

  bool reduced(double ratio, EtRecord& record) {
    if (planes_.count == 0 && !decode()) return false;
    Target t{};
    t.width = pleasant_width(int(std::lround(header_.width * ratio)), header_.width);
    t.height = std::max(1, int(std::lround(double(header_.height) * t.width / header_.width)));
    t.box[2] = t.full[0] = float(header_.width), t.box[3] = t.full[1] = float(header_.height);
    uint8_t* pixels = pixels_.reserve(size_t(t.width) * t.height * planes_.count);
    if (!pixels) return e_.set(ET_IO, "out of memory for %d x %d pixels", t.width, t.height);
    if (!resample(planes_, t, filter_, scratch_, false, pixels, e_)) return false;
    small_.size = 0;
    Header header;
    int none;
    return encode_planes(pixels, planes_.count, planes_.color, t.width, t.height, quality_, small_, e_) &&
           parse_header(small_.data(), small_.size, header, e_) && append(small_.data(), small_.size, header, record, none);
  }

  uint8_t* release() { return out_.release(); }

 private:
  bool append(const uint8_t* jpeg, size_t size, const Header& h, EtRecord& record, int& extraneous) {
    Recoded done;
    const int interval = restart_interval(h.mcus_x, h.mcus_y, size - h.head, segment_);
    if (!recode(jpeg, size, h, interval, out_, done, extraneous, e_)) return false;
    record = {done.offset, done.size, uint32_t(h.width), uint32_t(h.height), done.head, uint32_t(h.mcus_y)};
    Header check;  // what was written must be what the loader reads
    if (!parse_header(out_.data() + done.offset, done.size, check, e_)) return false;
    if (check.own != h.own || check.color != h.color || check.head != done.head)
      return e_.set(ET_DAMAGED, "the converted header differs (a fault of the converter)");
    return true;
  }

  // Level 0 as it was just written: without what recode left out, and its restart segments decode faster than the source.
  bool decode() {
    const uint8_t* jpeg = out_.data() + first_.offset;
    const Box all = {0, 0, header_.width, header_.height};
    Header header;
    if (!parse_header(jpeg, first_.size, header, e_)) return false;
    if (!header.own) return decode_libjpeg(jpeg, first_.size, all, 1, scratch_, planes_, e_);
    const Source source = {jpeg + header.head, first_.size - header.head, 0, nullptr, 0};
    return decode_own(header, source, all, 1, scratch_, planes_, e_);
  }

  const int quality_, segment_;
  const EtFilter& filter_;
  Error& e_;
  Header header_;
  EtRecord first_{};
  const uint8_t* jpeg_ = nullptr;  // one interleaved scan: the source, or `baseline_`
  size_t size_ = 0;
  Bytes baseline_, small_, out_;
  Planes planes_{};
  Scratch scratch_;
  Buffer pixels_;
};

}  // namespace
}  // namespace et

int32_t et_transcode(const uint8_t* jpeg, size_t size, const double* ratios, int32_t count, int32_t quality, int32_t segment,
                     const EtFilter* filter, uint8_t** block, EtRecord* records, char* note, char* message) {
  using namespace et;
  Error error;
  *block = nullptr, note[0] = 0;
  Transcoder transcoder(quality, segment, *filter, error);
  bool good = count >= 1 && ratios[0] == 1 && quality >= 1 && quality <= 100 && segment >= 1;
  if (!good) error.set(ET_BAD_ARGUMENT, "ratios must begin with 1, quality be 1 to 100, segment at least 1");
  for (int i = 0; good && i < count; i++) {
    if (i && !(ratios[i] > 0 && ratios[i] <= 1)) good = error.set(ET_BAD_ARGUMENT, "ratio %g is not in (0, 1]", ratios[i]);
    else good = i ? transcoder.reduced(ratios[i], records[i]) : transcoder.full_size(jpeg, size, records[0], note);
  }
  if (good) *block = transcoder.release();
  std::memcpy(message, error.text, ET_MESSAGE);
  return error.status;
}
