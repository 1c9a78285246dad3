#ifndef CCOMPRESSION_H
#define CCOMPRESSION_H
#include <libdeflate.h>
#include <zstd.h>
#include <bzlib.h>
#endif
