// One sample from its bytes on disk to pixels in the batch.
#pragma once
#include "jpeg/planes.h"

namespace et {

// A sample's bytes as read: the JPEG's first `held` bytes, or its headers and then the MCU rows `source` speaks of; or the rows
// of stored pixels under the crop.
struct Record {
  const uint8_t* jpeg;
  size_t held;
  Source source;
  bool partial;
};

// A sample that was read before a thread decodes it.
struct Ahead {
  Buffer memory;
  Record record;  // in `memory`
  Error error;    // why there is no record
};

// Reads what `run_sample` and `cut_sample` would read of this sample. side: of the output.
void read_ahead(const EtSample& sample, int fd, int side, Ahead& out, EtStats& stats);

// Runs sample `i` of the batch; on failure its status and message say why, and its pixels are zeroed.
EtStatus run_sample(const EtBatch& batch, int64_t i, Scratch& scratch, EtStats& stats);

// Sample `i` from its resampled planes on; returns its status and writes why it failed to `message`.
EtStatus finish_sample(const EtBatch& batch, int64_t i, const uint8_t* pixels, Scratch& scratch, char* message);

// Cuts sample `i` of the batch; on failure its status and message say why.
void cut_sample(const EtCutBatch& batch, int64_t i, Scratch& scratch, EtStats& stats);

// Reads a file's header as far as its frame: width and height.
EtStatus peek_file(const char* path, Scratch& scratch, uint16_t& width, uint16_t& height);

}  // namespace et
