// One sample from its bytes on disk to pixels in the batch; or several at once, whose scans are decoded together.
#pragma once
#include <optional>

#include "pool/record.h"

namespace et {

// A sample that was read before a thread decodes it.
struct Ahead {
  Buffer memory;
  Record record;  // in `memory`
  Error error;    // why there is no record
  std::optional<Reading> reading;  // the reads that are left

  // Prepares the reads that `run_sample` or `cut_sample` would do for this sample. side: of the output.
  void begin(const EtSample& sample, int fd, int side);
};

// Reads samples whose `begin` was called. The system fetches the bytes of all of them at once, see `Reading::fetch`.
void read_ahead(Ahead* const* samples, int count, EtStats& stats);

// A sample on its way to pixels.
struct InHand {
  const EtBatch* batch;
  int64_t i;
  Target target;
  Planes planes;
  Decoding decoding;
  Error error;
};

// The samples that a thread has begun. If a sample's scan is a single segment, it waits here and is decoded together with those of
// the next samples, see Note [three at a time] in segments.h. Every other sample is finished by `begin` itself.
class Desk {
 public:
  bool empty() const { return lanes_.idle(); }
  bool full() const { return lanes_.full(); }
  Scratch& scratch() { return scratch_; }

  // Begins sample `i` of a batch, which must live until the sample is done; the desk must not be full. True if it is done.
  bool begin(const EtBatch& batch, int64_t i, EtTicket* ticket, EtStats& stats);
  // Decodes until a sample on the desk is done, and returns its ticket. The desk must not be empty.
  EtTicket* advance(EtStats& stats);

 private:
  struct Seat {
    InHand sample;
    SampleMemory memory;
    EtTicket* ticket = nullptr;  // null: a free place
  };

  Scratch scratch_;
  Seat seats_[kMostLanes];
  Lanes lanes_;
};

// Runs sample `i` of the batch alone; on failure its status and message say why, and its pixels are zeroed.
EtStatus run_sample(const EtBatch& batch, int64_t i, Scratch& scratch, EtStats& stats);

// The steps of sample `i` after resampling; returns its status, and writes the reason of a failure to `message`.
EtStatus finish_sample(const EtBatch& batch, int64_t i, const uint8_t* pixels, Scratch& scratch, char* message);

// Cuts sample `i` of the batch; on failure its status and message say why.
void cut_sample(const EtCutBatch& batch, int64_t i, Scratch& scratch, EtStats& stats);

// Reads width and height from a file's headers.
EtStatus peek_file(const char* path, Scratch& scratch, uint16_t& width, uint16_t& height);

}  // namespace et
