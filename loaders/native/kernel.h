// The kernel's C ABI: everything that ctypes and numba may call. Its Python side is in loaders/native/.
//
// Steps of a sample:  read -> parse header -> entropy-decode the segments under the crop -> IDCT -> resample -> RGB.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

enum EtStatus : int32_t {
  ET_OK = 0,
  ET_DAMAGED = 1,      // the bytes contradict the JPEG format or the plan
  ET_UNSUPPORTED = 2,  // not damaged, as far as known, but of a kind that this kernel does not decode (CMYK, PNG, 12 bit, ...)
  ET_IO = 3,           // the operating system refused to open or read
  ET_BAD_ARGUMENT = 4, // a caller's mistake
  ET_EXHAUSTED = 5,    // the process has too many open files; the sample may be sound
};

// What the bytes of an entry are.
enum EtKind : uint32_t {
  ET_JPEG = 0,
  ET_RAW = 1,  // width x height x 3 bytes: pixels, interleaved RGB, row-major
  ET_OTHER = 2,  // known to be of another kind: the kernel does not read it, and returns ET_UNSUPPORTED
};

enum { ET_MESSAGE = 96 };  // bytes of one sample's message, NUL included

// One stored level of one sample. Mirrors loaders.plan.records.ENTRY.
struct EtEntry {
  int64_t path;    // address of a NUL-terminated file name; 0: the batch's own file; negative: file descriptor ~path
  int64_t offset;  // file offset of the SOI marker, or of the first pixel
  uint32_t size;   // bytes of the image; 0: up to the end of the file
  uint32_t rows;   // MCU rows of the table directly before the SOI, see row_check.h; 0: there is none
  uint32_t head;   // bytes from SOI to the first entropy-coded byte; 0: not known
  uint32_t crc;    // CRC-32 of row table and JPEG; the kernel does not use it
  uint16_t width, height;
  uint32_t kind;   // an EtKind
};

static_assert(sizeof(EtEntry) == 40 && offsetof(EtEntry, size) == 16 && offsetof(EtEntry, rows) == 20 &&
              offsetof(EtEntry, head) == 24 && offsetof(EtEntry, crc) == 28 && offsetof(EtEntry, width) == 32 &&
              offsetof(EtEntry, height) == 34 && offsetof(EtEntry, kind) == 36);

// The plan of one sample. Mirrors loaders.plan.records.SAMPLE.
struct EtSample {
  EtEntry entry;
  float box[4];   // crop x0, y0, x1, y1 in pixels of this level; may reach outside it
  float full[2];  // crop width and height in full-size pixels: they choose the filter
  uint8_t scale;  // DCT denominator: 1, 2, 4 or 8
  uint8_t flip;   // 1: mirror left-right
  uint16_t margin;  // pixels of this level beyond the box that the filter's taps may use; 0: none
  uint8_t fill[3];  // R, G, B of output pixels whose centre is outside the image
  uint8_t pad;
};

static_assert(sizeof(EtSample) == 72 && offsetof(EtSample, box) == 40 && offsetof(EtSample, full) == 56 &&
              offsetof(EtSample, scale) == 64 && offsetof(EtSample, flip) == 65 && offsetof(EtSample, margin) == 66 &&
              offsetof(EtSample, fill) == 68 && offsetof(EtSample, pad) == 71);

// A resampling kernel as a table over the distance in base pixels. Built by loaders/plan/filters.py.
struct EtFilter {
  const float* table;   // rows x columns, K(|x|) at |x| = column / steps
  const float* radius;  // per row, base pixels
  int32_t rows, columns, steps, base;
  float stretch_step;   // row = round((stretch - 1) / stretch_step)
};

// One operation of RandAugment on one sample. Mirrors loaders.plan.records.OPERATION.
struct EtOperation {
  int32_t kind;     // an `Op` of loaders/transforms/randaugment_ops.py, or -1: none
  float argument;   // in the operation's own unit, see `augment` there
  int32_t map[6];   // where pixels are moved from, see `motion` there; only for operations that move them
};

static_assert(sizeof(EtOperation) == 32 && offsetof(EtOperation, argument) == 4 && offsetof(EtOperation, map) == 8);

// A box that random erasing fills with noise. Mirrors loaders.plan.records.ERASURE.
struct EtErasure {
  int32_t top, left, height, width;  // pixels; a height of 0: nothing is erased
  int64_t key;                       // of the noise
};

static_assert(sizeof(EtErasure) == 24 && offsetof(EtErasure, left) == 4 && offsetof(EtErasure, height) == 8 &&
              offsetof(EtErasure, width) == 12 && offsetof(EtErasure, key) == 16);

// How augmented images are reduced to `side` x `side` pixels. Made by loaders/transforms/low_frequency.py.
struct EtLowPass {
  const int32_t* taps;      // Lanczos: of output i, taps[2 * i] is the first pixel and taps[2 * i + 1] the number of them
  const int32_t* weights;   // side x room, Q22; null: Fourier
  // Fourier, for images of S x S pixels, see Note [folding] in augment/low_pass.cpp. Rows are multiples of 4, columns of 8.
  const float* down_even;    // rows_even x (S / 2 + 1)
  const float* down_odd;     // rows_odd x ((S - 1) / 2)
  const float* across_even;  // (S / 2 + 1) x columns_even
  const float* across_odd;   // ((S - 1) / 2) x columns_odd
  const float* normalise;   // means and standard deviations of red, green and blue: float32 out; null: 8-bit levels, rounded
  int32_t side, room, rows_even, rows_odd, columns_even, columns_odd;
  int32_t corner;           // 1: the odd parts' last row and column make the spectrum's corner, see Note [Nyquist] in that file
};

// The operations on the pixels of a batch after resampling.
struct EtAugment {
  const EtOperation* operations;  // count x steps; null: none
  const EtErasure* erasures;      // count; null: none. Only with a look-up table, since noise is normalised
  const int16_t* cubic;           // 1024 x 4: weights of the pixels around a place, Q14
  const void* noise;              // 65536 values of an output element's size, equally likely
  const EtLowPass* low_pass;      // after the operations; null: images keep their size
  int32_t steps;                  // operations a sample
  uint8_t fill[4];                // red, green and blue of pixels that move in from outside
};

struct EtBatch {
  const EtSample* samples;
  int64_t count;
  EtFilter filter;
  int32_t fd;             // the data set's file; -1 if every sample has a path
  int32_t side;           // B: images are 3 x B x B, RGB planes, and so is the output without a low-pass
  uint8_t* out;           // count * 3 * B * B elements
  const void* lut;        // 3 x 256 elements of `element` bytes that replace the pixel values; null: uint8
  int32_t element;        // bytes of an output element: 1, 2 or 4
  int32_t channels_last;  // 1: each sample is B x B x 3
  int32_t* status;        // count, an EtStatus each
  char* messages;         // count * ET_MESSAGE
  EtAugment augment;      // operations, low-pass, look-up, erasing: in this order
};

// A batch to be cut: the output of each sample is a JPEG with its crop and the margin around it (see codec.h, et_cut), or the whole
// JPEG if it cannot be cut. `scale`, `flip`, `full` and `fill` of the samples are not used.
struct EtCutBatch {
  const EtSample* samples;
  int64_t count;
  int32_t fd;             // as in EtBatch
  uint8_t* out;
  const int64_t* slots;   // count + 1 offsets into `out`, ascending: sample i may write [slots[i], slots[i + 1])
  int64_t* sizes;         // count: bytes of the JPEG, at the beginning of its slot
  int32_t* origins;       // count x 2: x, y in the stored level of its first pixel
  int32_t* status;        // count, an EtStatus each
  char* messages;         // count * ET_MESSAGE
};

// Sums over all samples since the pool was made: nanoseconds of thread time; bytes read from files; and the part of these bytes
// that was decoded or cut (headers and the restart segments under the crop).
struct EtStats {
  int64_t read_ns, decode_ns, resample_ns, bytes_read, bytes_decoded, samples, cut_ns;
  int64_t storage_ns;  // the part of read_ns in reads that waited for storage instead of the page cache
};

// A field of a struct of this ABI.
struct EtField {
  const char* name;  // "EtEntry.path", for example
  uint32_t offset, size;
};
const EtField* et_fields(int32_t* count);  // of all structs of kernel.h and codec.h

struct EtPool;
struct EtTicket;

EtPool* et_pool_new(int32_t threads);
void et_pool_free(EtPool*);  // finishes samples in progress, drops the others, joins the threads; tickets may outlive it
void et_pool_stats(EtPool*, EtStats*);
// The arrays of `batch` must stay alive until et_ticket_wait has returned 1 or et_ticket_free has returned. `ticket` is set before a
// thread begins, so that a caller that is interrupted after the call can still free it.
void et_submit(EtPool*, const EtBatch* batch, EtTicket** ticket);
void et_submit_cut(EtPool*, const EtCutBatch* batch, EtTicket** ticket);  // likewise
int32_t et_ticket_wait(EtTicket*, int32_t milliseconds);  // 1: done, 0: not yet, 2: never, the pool was freed
void et_ticket_free(EtTicket*);                           // cancels what has not started and waits for the rest

int32_t et_pool_readers(EtPool*);  // threads that read ahead of decoding; 0 while storage is fast

// Sample `i` of a batch on the calling thread.
int32_t et_decode_one(const EtBatch* batch, int64_t i, EtStats* stats);

// The steps after resampling, on the calling thread, for sample `i` of a batch whose three planes of B x B levels another library
// made. The pool may have finished `batch` before.
int32_t et_finish_one(const EtBatch* batch, int64_t i, const uint8_t* pixels, char* message);

// Width and height from the headers of `count` files; the pool's threads share the work.
void et_peek_files(EtPool*, const int64_t* paths, int64_t count, uint16_t* widths, uint16_t* heights, int32_t* status);

// The kernel's resampler on interleaved RGB pixels, for images that another library decoded.
int32_t et_resample(const uint8_t* rgb, int32_t width, int32_t height, const EtSample* sample, const EtFilter* filter,
                    int32_t side, uint8_t* out);

// The CRC-32C (Castagnoli) of `size` bytes.
uint32_t et_crc32c(const uint8_t* bytes, int64_t size);

// The name of the i-th build of the inner loops that this processor can run; null after the last. The first is the fastest, and is
// used.
const char* et_build(int32_t i);
}
