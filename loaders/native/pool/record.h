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
  // Asks the system to fetch these bytes into its page cache, without waiting for them.
  void fetch(uint64_t bytes, uint64_t offset) const;

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

// The one or two reads that bring a sample's record into memory. What the constructors are given must outlive them.
//
// Note [reading rows]: before each of our JPEGs stands a table of its MCU rows. Where leaving out the rows above and below the
// crop saves more than a second read costs, only the headers and the rows are read.
class Reading {
 public:
  // Of a JPEG. all: every row, whatever the crop.
  Reading(const EtSample&, int fd, bool all, Buffer&, Record& out, Error&);
  // Of the rows of stored pixels (interleaved RGB) in the region.
  Reading(const EtSample&, const Box& region, int fd, Buffer&, Record& out, Error&);

  // Whether no read is left: the record is there, or the error is set.
  bool done() const { return !bytes_; }
  // Asks the system for the next read's bytes, without waiting for them.
  void fetch() const { file_.fetch(bytes_, offset_); }
  // The next read.
  void next(EtStats&);
  // All reads. False if the error is set.
  bool finish(EtStats&);

 private:
  bool begin(bool all, Buffer&);
  bool find_rows();  // in the row table, which has been read
  bool intact() const;
  const uint32_t* rows() const { return reinterpret_cast<const uint32_t*>(table_) + count_ + 1; }

  const EtSample& sample_;
  const File file_;
  Record& out_;
  Error& e_;
  uint64_t bytes_ = 0, offset_ = 0;  // of the next read: in the file,
  uint8_t* to_ = nullptr;            // and where they go
  const uint8_t* table_ = nullptr;   // the checks of the headers and of `count_` MCU rows, then where the rows begin
  int count_ = 0, r0_ = 0, r1_ = 0;  // the MCU rows under the crop: [r0_, r1_) of `count_`; none: there is no table
  uint8_t* scan_ = nullptr;          // of the MCU rows under the crop
  uint64_t scan_bytes_ = 0;          // 0: the table has not been read
};

}  // namespace et
