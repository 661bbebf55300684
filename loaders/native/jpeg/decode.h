// Our own decoder of baseline JPEGs: one image with several lanes, or several images with a lane each.
#pragma once
#include "simd/loops.h"

namespace et {

// An image from its layout to the end of its entropy decoding. Does not move: lanes point into it.
struct Decoding {
  Decoding() = default;
  Decoding(const Decoding&) = delete;
  Decoding& operator=(const Decoding&) = delete;
  ~Decoding() { release(); }

  ScanPlan plan;
  int16_t quant[3][64];
  SegmentQueue queue{};
  int lanes = 0;           // that are on it
  Error* error = nullptr;  // of the image
  int* users[6] = {};      // of the tables that it uses, see TableCache

  int segments() const { return int(queue.last - queue.next); }  // not begun yet
  void release();  // frees the tables and what is left to be decoded
};

// Prepares what the region (pixels of the scaled image, x0 and y0 even) needs; header.own must hold. Unstuffed data, jobs and
// planes are in the scratch, and tables stay there until `release`.
bool begin_own(const Header&, const Source&, Box region, int scale, Scratch&, Decoding&, Planes&, Error&);

// All that `begin_own` prepared, with as many lanes as there are segments for. The error is that of `begin_own`.
bool finish_own(Decoding&);

// Both.
bool decode_own(const Header&, const Source&, Box region, int scale, Scratch&, Planes&, Error&);

// The lanes of a thread, see Note [three at a time] in segments.h.
class Lanes {
 public:
  bool full() const { return running_ == kMostLanes; }
  bool idle() const { return running_ == 0; }

  // Puts free lanes on an image, as many as it has segments for. There must be one; the image must not move until it is done.
  void add(Decoding&);

  // Decodes until an image is done, well or with its error set, and returns that one. There must be one.
  Decoding* run();

 private:
  Decoding* stop(int lane);  // takes a lane that has stopped away; its image if that is done

  Lane lanes_[kMostLanes];
  Decoding* of_[kMostLanes];
  int running_ = 0;
  Decoding* done_ = nullptr;  // an image whose first block is damaged
};

}  // namespace et
