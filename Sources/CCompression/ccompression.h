#ifndef CCOMPRESSION_H
#define CCOMPRESSION_H
#include <libdeflate.h>
#include <lzma.h>
#include <zstd.h>
#include <zstd_errors.h>
#include <bzlib.h>
#endif
