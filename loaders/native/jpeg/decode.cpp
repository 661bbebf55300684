// Which MCUs a region needs, where their restart segments lie, and their decoding by the inner loops.
#include <algorithm>
#include <new>
#include <utility>

#include "jpeg/decode.h"
#include "jpeg/markers.h"

namespace et {
namespace {

// Huffman tables of a thread, kept from one image to the next: many encoders use the standard ones, and images that share them
// find them in the processor's cache. A place is free when no image uses it.
template <class Table>
class TableCache {
 public:
  using Build = void (*)(const HuffSpec&, Table&);

  // The table of a specification. users: where the number of its users is kept, one more by now.
  Table* take(const HuffSpec& wanted, Build build, int*& users) {
    Place* place = nullptr;
    for (Place& p : places_) {
      if (std::memcmp(&p.spec, &wanted, sizeof wanted) == 0) {
        place = &p;
        break;
      }
      if (!p.users && (!place || p.last_use < place->last_use)) place = &p;
    }
    if (std::memcmp(&place->spec, &wanted, sizeof wanted) != 0) {
      build(wanted, place->table);
      place->spec = wanted;
    }
    place->users++, place->last_use = ++uses_;
    users = &place->users;
    return &place->table;
  }

 private:
  enum { kPlaces = 3 * kMostLanes + 1 };  // three components an image, so that one is always free
  struct Place {
    HuffSpec spec{};
    int users = 0;
    int64_t last_use = 0;
    Table table;
  };
  Place places_[kPlaces];
  int64_t uses_ = 0;
};

struct Tables {
  TableCache<DcTable> dc;
  TableCache<AcTable> ac;
};

// libjpeg's rule (jdmaster.c): a sub-sampled component is scaled down less, as far as its factors allow.
int dct_side(const Header& h, const Component& c, int luma_side) {
  int side = luma_side;
  while (side < 8 && h.hmax * luma_side % (c.h * side * 2) == 0 && h.vmax * luma_side % (c.v * side * 2) == 0) side *= 2;
  return side;
}

int ceil_div(int a, int b) { return (a + b - 1) / b; }

bool lay_out(const Header& h, Box region, int scale, Scratch& s, ScanPlan& plan, Planes& out, int16_t (*quant)[64], Error& e) {
  const int luma_side = 8 / scale, px = h.mcu_w / scale, py = h.mcu_h / scale;
  out.count = h.ncomp, out.color = h.color, out.coded = 0;
  out.width = ceil_div(h.width, scale), out.height = ceil_div(h.height, scale);
  // Chroma's triangle filter reaches one chroma sample, two pixels, beyond the region.
  const int reach_x = h.hmax > 1 ? 2 : 0, reach_y = h.vmax > 1 ? 2 : 0;
  plan.mcus = {std::max(0, region.x0 - reach_x) / px, std::max(0, region.y0 - reach_y) / py,
               std::min(h.mcus_x, ceil_div(region.x1 + reach_x, px)), std::min(h.mcus_y, ceil_div(region.y1 + reach_y, py))};
  if (scale == 8) plan.mcus.x0 &= ~1, plan.mcus.y0 &= ~1;  // an MCU may be one sample wide; planes begin at even places
  plan.mcus_x = h.mcus_x, plan.planes = &out, plan.blocks = 0;
  for (int c = 0; c < h.ncomp; c++) {
    const Component& k = h.comp[c];
    for (int i = 0; i < 64; i++) quant[c][kPlaces.by_room[63 - i]] = int16_t(h.quant[k.tq][i]);
    plan.dct[c] = dct_side(h, k, luma_side);
    plan.per_mcu_x[c] = k.h, plan.per_mcu_y[c] = k.v;
    Plane& p = out.plane[c];
    p.x0 = plan.mcus.x0 * k.h * plan.dct[c], p.y0 = plan.mcus.y0 * k.v * plan.dct[c];
    p.columns = (plan.mcus.x1 - plan.mcus.x0) * k.h * plan.dct[c];
    p.rows = (plan.mcus.y1 - plan.mcus.y0) * k.v * plan.dct[c];
    p.width = ceil_div(h.width * k.h * plan.dct[c], h.hmax * 8);
    p.height = ceil_div(h.height * k.v * plan.dct[c], h.vmax * 8);
  }
  if (!out.reserve(s.planes, e)) return false;
  for (int c = 0; c < h.ncomp; c++) {
    const Component& k = h.comp[c];
    const Plane& p = out.plane[c];
    const int64_t side = plan.dct[c], stride = p.stride;
    for (int v = 0; v < k.v; v++)
      for (int u = 0; u < k.h; u++)
        plan.block[plan.blocks++] = {nullptr, nullptr, nullptr, quant[c], c, plan.dct[c], u, v, 0, nullptr, p.data, stride,
                                     (u * side - p.x0) * stride + 2 * (v * side - p.y0), k.h * side * stride, 2 * k.v * side};
  }
  for (int b = 0; b < plan.blocks; b++) plan.block[b].next = &plan.block[b + 1];
  BlockPlan& last = plan.block[plan.blocks - 1];
  last.ends = 1, last.next = plan.block;
  return true;
}

// skipped: blocks to be passed over, see Note [blocks passed over].
bool take_tables(const Header& h, int64_t skipped, Scratch& s, Decoding& d, Error& e) {
  enum { kWorthwhile = 256 };  // blocks for which another look-up is built
  auto* tables = reinterpret_cast<Tables*>(s.tables.data());
  if (!tables) {
    void* memory = s.tables.reserve(sizeof(Tables));
    if (!memory) return e.set(ET_IO, "out of memory");
    tables = new (memory) Tables;
  }
  const DcTable* dc[3];
  AcTable* ac[3];
  for (int c = 0; c < h.ncomp; c++) {
    const HuffSpec& spec = h.ac[h.comp[c].ta];
    dc[c] = tables->dc.take(h.dc[h.comp[c].td], loops().build_dc, d.users[2 * c]);
    ac[c] = tables->ac.take(spec, loops().build_ac, d.users[2 * c + 1]);
    if (skipped >= kWorthwhile && !ac[c]->skips) loops().build_skip(spec, *ac[c]);
  }
  for (int b = 0; b < d.plan.blocks; b++) {
    BlockPlan& block = d.plan.block[b];
    block.dc = dc[block.component], block.ac = ac[block.component];
    block.skip = skipped >= kWorthwhile ? block.ac->skip : block.ac->fast;
  }
  return true;
}

// Walks the entropy-coded bytes from restart segment to restart segment.
class Walker {
 public:
  Walker(const Header& h, const Source& source)
      : source_(source), at_(source.scan), end_(source.scan + source.size),
        segment_(h.restart ? source.first_row * h.mcus_x / h.restart : 0),
        per_row_(source.rows && h.mcus_x % h.restart == 0 ? h.mcus_x / h.restart : 0),
        segments_(h.restart ? (h.mcus_x * h.mcus_y + h.restart - 1) / h.restart : 1) {}

  // Moves to the first byte of a segment at or after the present one.
  bool seek(int segment, Error& e) {
    if (per_row_ && segment >= row_end_) {
      const int row = segment / per_row_, start = row * per_row_;
      if (row < source_.first_row || row >= source_.first_row + source_.row_count)
        return e.set(ET_DAMAGED, "MCU row %d is not among those read", row);
      row_end_ = start + per_row_;
      if (start > segment_) {
        const uint8_t* there = source_.scan + source_.rows[row - source_.first_row];
        // rows that overlap would be copied twice, and be more than there is room for
        if (there < at_) return e.set(ET_DAMAGED, "MCU row %d begins inside the row before it", row);
        at_ = there, segment_ = start;
      }
    }
    while (segment_ < segment)
      if (!next(nullptr, e)) return false;
    return true;
  }

  // Copies the present segment without its stuffing bytes; `out` has room for the rest of the scan.
  bool copy(uint8_t* out, size_t& size, Error& e) {
    uint8_t* end = out;
    const bool good = next(&end, e);
    size = end - out;
    return good;
  }

 private:
  bool next(uint8_t** out, Error& e) {
    const bool final = segment_ + 1 >= segments_;
    const Marker marker = out ? loops().copy_to_marker(at_, end_, *out) : next_marker(at_, end_);
    at_ = marker.end;
    if (final) return true;  // any marker, or none: the decoder finds out whether the data suffice
    if (!marker.code) return e.set(ET_DAMAGED, "the scan is cut short in restart segment %d", segment_);
    if (marker.code != (kRst0 | (segment_ & 7)))
      return e.set(ET_DAMAGED, "marker ff%02x stands where restart segment %d ends", marker.code, segment_);
    segment_++;
    return true;
  }

  const Source& source_;
  const uint8_t* at_;
  const uint8_t* end_;
  int segment_;
  int row_end_ = 0;     // the first segment behind the MCU row that `seek` has found
  const int per_row_;   // segments of an MCU row whose place is in the row table; 0: rows are not found there
  const int segments_;  // of the image
};

}  // namespace

void Decoding::release() {
  queue = {};
  for (int*& count : users)
    if (count) --*count, count = nullptr;
}

bool begin_own(const Header& h, const Source& source, Box region, int scale, Scratch& s, Decoding& d, Planes& out, Error& e) {
  ScanPlan& plan = d.plan;
  if (region.x0 < 0 || region.y0 < 0 || region.x0 >= std::min(region.x1, ceil_div(h.width, scale)) ||
      region.y0 >= std::min(region.y1, ceil_div(h.height, scale)))
    return e.set(ET_BAD_ARGUMENT, "the region is empty or lies outside %d x %d pixels", h.width, h.height);
  if (int64_t(region.x1 - region.x0) * (region.y1 - region.y0) > int64_t(1) << 28)
    return e.set(ET_UNSUPPORTED, "a region of %d x %d pixels is too large", region.x1 - region.x0, region.y1 - region.y0);
  if (!lay_out(h, region, scale, s, plan, out, d.quant, e)) return false;
  const int total = h.mcus_x * h.mcus_y, interval = h.restart ? h.restart : total;
  const int across = (plan.mcus.x1 - plan.mcus.x0 - 1) / interval + 2;  // segments that a row of the region may touch
  const size_t most = size_t(across) * (plan.mcus.y1 - plan.mcus.y0);
  SegmentJob* jobs = s.jobs.reserve_as<SegmentJob>(most);
  uint8_t* free = s.segment.reserve(source.size + kGap * most + kPad);
  if (!jobs || !free) return e.set(ET_IO, "out of memory for a scan of %zu bytes", source.size);
  Walker walker(h, source);
  int count = 0;
  int64_t mcus = 0;
  for (int my = plan.mcus.y0; my < plan.mcus.y1; my++) {
    const int first = (my * h.mcus_x + plan.mcus.x0) / interval, last = (my * h.mcus_x + plan.mcus.x1 - 1) / interval;
    // a segment that wraps around to this row is there already
    for (int segment = count ? std::max(first, jobs[count - 1].first / interval + 1) : first; segment <= last; segment++) {
      SegmentJob& job = jobs[count++];
      const int begin = segment * interval, row = begin < my * h.mcus_x ? begin / h.mcus_x : my;  // it may begin rows before
      job = {free, 0, begin, std::min(total, begin + interval), begin - row * h.mcus_x, row, true};
      job.whole = job.last < total;  // anything may follow the last MCU of all
      // Only what the region needs, where nothing is left to find at a segment's end: rows with a table have had their check.
      const int needed = (h.restart ? my : plan.mcus.y1 - 1) * h.mcus_x + plan.mcus.x1;
      if ((!h.restart || source.rows) && job.last > needed) job.last = needed, job.whole = false;
      if (!walker.seek(segment, e) || !walker.copy(free, job.size, e)) return false;
      std::memset(free + job.size, 0, kGap);
      free += job.size + kGap, out.coded += job.size, mcus += job.last - job.first;
    }
  }
  const int64_t shown = int64_t(plan.mcus.x1 - plan.mcus.x0) * (plan.mcus.y1 - plan.mcus.y0);
  int flat = 0;  // blocks of an MCU that become one pixel
  for (int b = 0; b < plan.blocks; b++) flat += plan.block[b].side == 1;
  d.queue = {jobs, jobs + count}, d.error = &e;
  return take_tables(h, (mcus - shown) * plan.blocks + shown * flat, s, d, e);
}

bool finish_own(Decoding& d) {
  Lanes lanes;
  lanes.add(d);
  lanes.run();
  return d.error->status == ET_OK;
}

bool decode_own(const Header& h, const Source& source, Box region, int scale, Scratch& s, Planes& out, Error& e) {
  Decoding d;
  return begin_own(h, source, region, scale, s, d, out, e) && finish_own(d);
}

void Lanes::add(Decoding& d) {
  d.lanes = 0;
  while (!full() && d.queue.next != d.queue.last) {
    Lane& lane = lanes_[running_];
    of_[running_++] = &d, d.lanes++;
    if (loops().start_lane(lane, d.plan, d.queue)) continue;
    done_ = stop(running_ - 1);
    return;
  }
}

Decoding* Lanes::run() {
  Decoding* done = std::exchange(done_, nullptr);
  while (!done) done = stop(loops().run_lanes(lanes_, running_));
  return done;
}

Decoding* Lanes::stop(int stopped) {
  Decoding* const d = of_[stopped];
  const Lane& lane = lanes_[stopped];
  const char* const wrong = lane.wrong;
  if (wrong) d->error->set(ET_DAMAGED, "%s (MCUs %d to %d)", wrong, lane.job->first, lane.job->last - 1);
  for (int i = running_; i-- > 0;)  // all of a damaged image
    if (i == stopped || (wrong && of_[i] == d)) {
      lanes_[i] = lanes_[--running_], of_[i] = of_[running_];
      d->lanes--;
    }
  return d->lanes ? nullptr : d;
}

bool plan_pixels(const Header& h, Box region, int scale, Scratch& s, PixelPlan& pixels, Planes& out, Error& e) {
  return lay_out(h, region, scale, s, pixels.plan, out, pixels.quant, e);
}

}  // namespace et
