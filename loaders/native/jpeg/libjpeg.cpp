// Everything that is left to libjpeg: see libjpeg.h.
//
// Note [errors of libjpeg]: libjpeg reports an error by calling `error_exit`, which must not return; ours jumps out with
// longjmp. C++ allows that only over frames without destructors, so every call of libjpeg is made inside a lambda handed to
// `guarded`, which has none, and what must be released is owned by objects that were made before it.
#include "jpeg/libjpeg.h"

#include <algorithm>
#include <csetjmp>

#include <jpeglib.h>

#include <jerror.h>

namespace et {
namespace {

struct Session {
  jpeg_error_mgr manager;  // first: libjpeg hands back its address
  std::jmp_buf jump;
  Error* error;
  Oddities odd;
};

EtStatus status_of(int code) {
  switch (code) {
    case JERR_OUT_OF_MEMORY:
      return ET_IO;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_MCU_SIZE:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_IMAGE_TOO_BIG:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED:
      return ET_UNSUPPORTED;
    default:
      return ET_DAMAGED;
  }
}

[[noreturn]] void leave(j_common_ptr cinfo) {
  auto* session = reinterpret_cast<Session*>(cinfo->err);
  char text[JMSG_LENGTH_MAX];
  cinfo->err->format_message(cinfo, text);
  session->error->set(status_of(cinfo->err->msg_code), "%s", text);
  std::longjmp(session->jump, 1);
}

void on_message(j_common_ptr cinfo, int level) {
  if (level >= 0) return;  // tracing
  auto* session = reinterpret_cast<Session*>(cinfo->err);
  const auto* d = reinterpret_cast<j_decompress_ptr>(cinfo);
  const bool between = cinfo->is_decompressor && d->input_iMCU_row >= d->total_iMCU_rows;  // outside of entropy-coded data
  switch (cinfo->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_ADOBE_XFORM:
    case JWRN_NOT_SEQUENTIAL:
      return;  // odd headers; no pixel depends on them
    case JWRN_EXTRANEOUS_DATA:
      if (!between) leave(cinfo);
      session->odd.stray += cinfo->err->msg_parm.i[0];
      return;
    case JWRN_JPEG_EOF:
      // A Huffman decoder that then lacks bits says JWRN_HIT_MARKER; an arithmetic one makes them up.
      if (d->arith_code) leave(cinfo);
      session->odd.endless = true;
      return;
    default:
      leave(cinfo);
  }
}

void silent(j_common_ptr) {}

void open_session(Session& session, Error& error) {
  jpeg_std_error(&session.manager);
  session.manager.error_exit = leave;
  session.manager.emit_message = on_message;
  session.manager.output_message = silent;
  session.error = &error;
  session.odd = {};
}

// Runs `body`, which returns a bool; false also when libjpeg jumped out of it.
template <class Body>
__attribute__((noinline)) bool guarded(Session& session, const Body& body) {
  if (setjmp(session.jump)) return false;
  return body();
}

void count_scans(j_common_ptr cinfo) {
  if (reinterpret_cast<j_decompress_ptr>(cinfo)->input_scan_number <= kMaxScans) return;
  auto* session = reinterpret_cast<Session*>(cinfo->err);
  session->error->set(ET_UNSUPPORTED, "more than %d scans", kMaxScans);
  std::longjmp(session->jump, 1);
}

struct Reader {
  jpeg_decompress_struct cinfo;
  jpeg_progress_mgr progress;
  Session session;
  Header header;

  explicit Reader(Error& error) {
    std::memset(&cinfo, 0, sizeof cinfo);
    open_session(session, error);
    cinfo.err = &session.manager;
    progress.progress_monitor = count_scans;
  }
  ~Reader() { jpeg_destroy_decompress(&cinfo); }

  // Inside `guarded`.
  bool open(const uint8_t* jpeg, size_t size) {
    if (!parse_header(jpeg, size, header, *session.error) || !has_all_scans(jpeg, size, header, *session.error)) return false;
    jpeg_create_decompress(&cinfo);
    cinfo.progress = &progress;
    jpeg_mem_src(&cinfo, jpeg, size);
    jpeg_read_header(&cinfo, TRUE);
    if (int64_t(cinfo.image_width) * cinfo.image_height > kMaxPixels)
      return session.error->set(ET_UNSUPPORTED, "%u x %u pixels are too many", cinfo.image_width, cinfo.image_height);
    if (cinfo.num_components != 1 && cinfo.num_components != 3)
      return session.error->set(ET_UNSUPPORTED, "%d colour components", cinfo.num_components);
    return true;
  }

  void start(J_COLOR_SPACE colors, int scale) {
    cinfo.out_color_space = colors;
    cinfo.scale_num = 1, cinfo.scale_denom = scale;
    cinfo.dct_method = JDCT_ISLOW;
    cinfo.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&cinfo);
  }
};

struct Writer {
  jpeg_compress_struct cinfo;
  Session session;
  jpeg_destination_mgr destination;
  Bytes& out;

  Writer(Bytes& bytes, Error& error) : out(bytes) {
    std::memset(&cinfo, 0, sizeof cinfo);
    open_session(session, error);
    cinfo.err = &session.manager;
    cinfo.client_data = this;
    destination.init_destination = grow;
    destination.empty_output_buffer = full;
    destination.term_destination = [](j_compress_ptr c) { of(c).out.size = of(c).out.capacity() - c->dest->free_in_buffer; };
  }
  ~Writer() { jpeg_destroy_compress(&cinfo); }

  // Inside `guarded`; libjpeg clears all but `err` and `client_data`.
  void create() {
    jpeg_create_compress(&cinfo);
    cinfo.dest = &destination;
  }

 private:
  static Writer& of(j_compress_ptr c) { return *static_cast<Writer*>(c->client_data); }
  static void grow(j_compress_ptr c) {
    Bytes& out = of(c).out;
    if (!out.room(1 << 16)) ERREXIT1(c, JERR_OUT_OF_MEMORY, 0);
    c->dest->next_output_byte = out.data() + out.size;
    c->dest->free_in_buffer = out.capacity() - out.size;
  }
  static boolean full(j_compress_ptr c) {
    of(c).out.size = of(c).out.capacity();
    grow(c);
    return TRUE;
  }
};

}  // namespace

bool decode_rgb(const uint8_t* jpeg, size_t size, int scale, uint8_t* out, size_t capacity, Error& e) {
  Reader r(e);
  return guarded(r.session, [&] {
    if (!r.open(jpeg, size)) return false;
    r.start(JCS_RGB, scale);
    const size_t stride = size_t(r.cinfo.output_width) * 3;
    if (stride * r.cinfo.output_height > capacity)
      return e.set(ET_BAD_ARGUMENT, "%u x %u pixels do not fit the buffer", r.cinfo.output_width, r.cinfo.output_height);
    while (r.cinfo.output_scanline < r.cinfo.output_height) {
      JSAMPROW row = out + stride * r.cinfo.output_scanline;
      jpeg_read_scanlines(&r.cinfo, &row, 1);
    }
    return jpeg_finish_decompress(&r.cinfo) == TRUE;
  });
}

bool decode_libjpeg(const uint8_t* jpeg, size_t size, Box region, int scale, Scratch& s, Planes& out, Error& e) {
  Reader r(e);
  jpeg_decompress_struct& d = r.cinfo;
  return guarded(r.session, [&] {
    if (!r.open(jpeg, size)) return false;
    const bool grey = d.num_components == 1;
    r.start(grey ? JCS_GRAYSCALE : JCS_RGB, scale);
    const int wide = int(d.output_width), tall = int(d.output_height);
    const Box box = {std::max(0, region.x0), std::max(0, region.y0), std::min(wide, region.x1), std::min(tall, region.y1)};
    const int columns = box.x1 - box.x0, rows = box.y1 - box.y0;
    if (columns < 1 || rows < 1) return e.set(ET_BAD_ARGUMENT, "the region lies outside %d x %d pixels", wide, tall);
    // libjpeg crops to whole MCUs and then upsamples chroma as if the image ended there; one MCU more keeps that outside.
    const int spare = 8 * d.max_h_samp_factor / scale + 1;
    JDIMENSION left = std::max(0, box.x0 - spare), held = std::min(wide, box.x1 + spare) - left;
    const bool usual = d.max_h_samp_factor * d.max_v_samp_factor <= 4;  // luma 2x4 comes out wrong when cropped and scaled
    if (usual && int(held) < wide) jpeg_crop_scanline(&d, &left, &held);
    else left = 0, held = wide;
    if (box.y0 > 0) jpeg_skip_scanlines(&d, box.y0);

    const int n = d.output_components;
    out.count = n, out.color = grey ? Color::kGrey : Color::kRgb, out.width = wide, out.height = tall;
    for (int c = 0; c < n; c++) out.plane[c] = {nullptr, 0, box.x0, box.y0, columns, rows, wide, tall, 1};
    if (!out.reserve(s.planes, e)) return false;
    enum { kBand = 16 };  // rows turned into columns at a time
    const size_t stride = size_t(held) * n;
    uint8_t* band = s.rgb.reserve(stride * kBand);
    if (!band) return e.set(ET_IO, "out of memory for rows of %u pixels", held);
    for (int y = 0; y < rows; y += kBand) {
      const int high = std::min<int>(kBand, rows - y);
      for (int i = 0; i < high; i++) {
        JSAMPROW row = band + stride * i;
        jpeg_read_scanlines(&d, &row, 1);
      }
      scatter(band + size_t(box.x0 - int(left)) * n, stride, high, box.y0 + y, out);
    }
    return true;  // what lies below the region is not looked at
  });
}

bool encode_rgb(const uint8_t* rgb, int width, int height, int quality, Bytes& out, Error& e) {
  if (width < 1 || height < 1 || width > JPEG_MAX_DIMENSION || height > JPEG_MAX_DIMENSION)
    return e.set(ET_UNSUPPORTED, "%d x %d pixels do not fit a JPEG", width, height);
  Writer w(out, e);
  return guarded(w.session, [&] {
    w.create();
    w.cinfo.image_width = width, w.cinfo.image_height = height;
    w.cinfo.input_components = 3, w.cinfo.in_color_space = JCS_RGB;
    jpeg_set_defaults(&w.cinfo);
    jpeg_set_quality(&w.cinfo, quality, TRUE);
    w.cinfo.dct_method = JDCT_ISLOW;
    for (int c = 0; c < w.cinfo.num_components; c++)
      w.cinfo.comp_info[c].h_samp_factor = w.cinfo.comp_info[c].v_samp_factor = 1;
    jpeg_start_compress(&w.cinfo, TRUE);
    for (int y = 0; y < height; y++) {
      JSAMPROW row = const_cast<uint8_t*>(rgb) + size_t(y) * width * 3;
      jpeg_write_scanlines(&w.cinfo, &row, 1);
    }
    jpeg_finish_compress(&w.cinfo);
    return true;
  });
}

bool to_baseline(const uint8_t* jpeg, size_t size, Bytes& out, Oddities& odd, Error& e) {
  Reader r(e);
  Writer w(out, e);
  jvirt_barray_ptr* coefficients = nullptr;
  if (!guarded(r.session, [&] {
        if (!r.open(jpeg, size)) return false;
        coefficients = jpeg_read_coefficients(&r.cinfo);
        return true;
      }))
    return false;
  if (!guarded(w.session, [&] {
        w.create();
        jpeg_copy_critical_parameters(&r.cinfo, &w.cinfo);
        w.cinfo.arith_code = FALSE;
        jpeg_write_coefficients(&w.cinfo, coefficients);
        jpeg_finish_compress(&w.cinfo);
        return true;
      }))
    return false;
  // last, because it frees the coefficients: reads on to EOI
  const bool good = guarded(r.session, [&] { return jpeg_finish_decompress(&r.cinfo) == TRUE; });
  odd = r.session.odd;
  return good;
}

}  // namespace et
