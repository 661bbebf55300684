// A sample's bytes on disk: whole files, the MCU rows under a crop, rows of stored pixels.
#pragma once
#include "jpeg/decode.h"

namespace et {

enum : uint64_t { kMaxBytes = uint64_t(1) << 30 };  // of one image

// An open file that closes itself, unless it is the data set's. Not blocking: to open a pipe would wait for its other end.
class File {
 public:
  File(int64_t path, int fd);
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();
  bool opened(Error& e) const;
  bool size(uint64_t& bytes, Error& e) const;
  // All of [offset, offset + bytes). pread and not mmap: a file that shrinks or fails under us is an error, not a SIGBUS.
  bool read(uint8_t* out, uint64_t bytes, uint64_t offset, Error& e) const;

 private:
  const bool own_;
  const int fd_;
};

// A sample's bytes as read: the JPEG's first `held` bytes, or its headers and then the MCU rows `source` speaks of; or the rows
// of stored pixels under the crop.
struct Record {
  const uint8_t* jpeg;
  size_t held;
  Source source;
  bool partial;
};

// Note [reading rows]: before each of our JPEGs stands a table of its MCU rows. Where leaving out the rows above and below the
// crop saves more than a second read costs, only the headers and the rows are read; `all`: every row, whatever the crop.
bool read_bytes(const EtSample& sample, int fd, bool all, Buffer& memory, Record& out, EtStats& stats, Error& e);

// Reads the rows of stored pixels (interleaved RGB) under the crop.
bool read_rows(const EtSample& sample, const Box& region, int fd, Buffer& memory, Record& out, EtStats& stats, Error& e);

}  // namespace et
