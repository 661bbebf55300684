// The layout of the structs of the C ABI. Python compares it with its own when it loads the kernel, see structs.py.
#include "codec.h"

#define FIELD(Struct, name) {#Struct "." #name, offsetof(Struct, name), sizeof(Struct::name)}

static const EtField kFields[] = {
    FIELD(EtEntry, path), FIELD(EtEntry, offset), FIELD(EtEntry, size), FIELD(EtEntry, rows), FIELD(EtEntry, head),
    FIELD(EtEntry, crc), FIELD(EtEntry, width), FIELD(EtEntry, height), FIELD(EtEntry, kind),

    FIELD(EtSample, entry), FIELD(EtSample, box), FIELD(EtSample, full), FIELD(EtSample, scale), FIELD(EtSample, flip),
    FIELD(EtSample, margin), FIELD(EtSample, fill), FIELD(EtSample, pad),

    FIELD(EtFilter, table), FIELD(EtFilter, radius), FIELD(EtFilter, rows), FIELD(EtFilter, columns), FIELD(EtFilter, steps),
    FIELD(EtFilter, base), FIELD(EtFilter, stretch_step),

    FIELD(EtOperation, kind), FIELD(EtOperation, argument), FIELD(EtOperation, map),

    FIELD(EtErasure, top), FIELD(EtErasure, left), FIELD(EtErasure, height), FIELD(EtErasure, width), FIELD(EtErasure, key),

    FIELD(EtAugment, operations), FIELD(EtAugment, erasures), FIELD(EtAugment, cubic), FIELD(EtAugment, noise),
    FIELD(EtAugment, low_pass), FIELD(EtAugment, steps), FIELD(EtAugment, fill),

    FIELD(EtLowPass, taps), FIELD(EtLowPass, weights), FIELD(EtLowPass, down_even), FIELD(EtLowPass, down_odd),
    FIELD(EtLowPass, across_even), FIELD(EtLowPass, across_odd), FIELD(EtLowPass, normalise), FIELD(EtLowPass, side),
    FIELD(EtLowPass, room), FIELD(EtLowPass, rows_even), FIELD(EtLowPass, rows_odd), FIELD(EtLowPass, columns_even),
    FIELD(EtLowPass, columns_odd), FIELD(EtLowPass, corner),

    FIELD(EtBatch, samples), FIELD(EtBatch, count), FIELD(EtBatch, filter), FIELD(EtBatch, fd), FIELD(EtBatch, side),
    FIELD(EtBatch, out), FIELD(EtBatch, lut), FIELD(EtBatch, element), FIELD(EtBatch, channels_last), FIELD(EtBatch, status),
    FIELD(EtBatch, messages), FIELD(EtBatch, augment),

    FIELD(EtCutBatch, samples), FIELD(EtCutBatch, count), FIELD(EtCutBatch, fd), FIELD(EtCutBatch, out),
    FIELD(EtCutBatch, slots), FIELD(EtCutBatch, sizes), FIELD(EtCutBatch, origins), FIELD(EtCutBatch, status),
    FIELD(EtCutBatch, messages),

    FIELD(EtStats, read_ns), FIELD(EtStats, decode_ns), FIELD(EtStats, resample_ns), FIELD(EtStats, bytes_read),
    FIELD(EtStats, bytes_decoded), FIELD(EtStats, samples), FIELD(EtStats, cut_ns), FIELD(EtStats, storage_ns),

    FIELD(EtInfo, width), FIELD(EtInfo, height), FIELD(EtInfo, components), FIELD(EtInfo, restart), FIELD(EtInfo, progressive),
    FIELD(EtInfo, own), FIELD(EtInfo, h), FIELD(EtInfo, v),

    FIELD(EtRecord, offset), FIELD(EtRecord, size), FIELD(EtRecord, table), FIELD(EtRecord, width), FIELD(EtRecord, height),
    FIELD(EtRecord, head), FIELD(EtRecord, rows),
};

const EtField* et_fields(int32_t* count) {
  *count = int32_t(sizeof kFields / sizeof *kFields);
  return kFields;
}
