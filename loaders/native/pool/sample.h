// One sample from its bytes on disk to pixels in the batch, and several at once where their scans are decoded together.
#pragma once
#include <optional>

#include "pool/record.h"

namespace et {

// A sample that was read before a thread decodes it.
struct Ahead {
  Buffer memory;
  Record record;  // in `memory`
  Error error;    // why there is no record
  std::optional<Reading> reading;  // what is left to be read

  // Prepares to read what `run_sample` and `cut_sample` would read of this sample. side: of the output.
  void begin(const EtSample& sample, int fd, int side);
};

// Reads some samples that have begun. The system fetches the bytes of all of them at a time, see `Reading::fetch`.
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

// The samples that a thread has begun. A sample whose scan is one segment has no other segments to be decoded with, see Note
// [three at a time] in segments.h; it stays here, so that the next samples' scans are decoded with its own. All others are done
// when they have been begun.
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

// Sample `i` from its resampled planes on; returns its status and writes why it failed to `message`.
EtStatus finish_sample(const EtBatch& batch, int64_t i, const uint8_t* pixels, Scratch& scratch, char* message);

// Cuts sample `i` of the batch; on failure its status and message say why.
void cut_sample(const EtCutBatch& batch, int64_t i, Scratch& scratch, EtStats& stats);

// Reads a file's header as far as its frame: width and height.
EtStatus peek_file(const char* path, Scratch& scratch, uint16_t& width, uint16_t& height);

}  // namespace et
