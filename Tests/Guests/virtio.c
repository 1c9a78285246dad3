#include "guest.h"

// Where monitors put their windows: ours, and QEMU's microvm.
static const struct {
    u64 start, step;
    u32 count;
} places[] = {{0xfe000000, 0x1000, 14}, {0xfeb00000, 0x200, 24}};

u64 find_device(u32 type) {
    for (u32 place = 0; place < sizeof places / sizeof places[0]; place++)
        for (u32 index = 0; index < places[place].count; index++) {
            u64 window = places[place].start + index * places[place].step;
            // "virt", the second version, and the type of the device.
            if (get32(window) != 0x74726976) break;
            if (get32(window + 4) != 2) fail("a device is of the old kind");
            if (get32(window + 8) == type) return window;
        }
    return 0;
}

enum { acknowledge = 1, driver = 2, driver_ok = 4, features_ok = 8 };

void begin_device(u64 window, u64 wanted) {
    put32(window + 0x70, 0);
    put32(window + 0x70, acknowledge);
    put32(window + 0x70, acknowledge | driver);
    wanted |= 1ul << 29 | 1ul << 32;  // EVENT_IDX, VERSION_1
    for (u32 half = 0; half < 2; half++) {
        put32(window + 0x14, half);
        u32 offered = get32(window + 0x10);
        put32(window + 0x24, half);
        put32(window + 0x20, offered & (u32)(wanted >> (32 * half)));
        if (half == 0 && !(offered & 1u << 29)) fail("a device has no event indices");
    }
    put32(window + 0x70, acknowledge | driver | features_ok);
    if (!(get32(window + 0x70) & features_ok)) fail("a device does not take what it offered");
}

void add_queue(struct queue *queue, u64 window, u32 number) {
    memset(queue, 0, sizeof *queue);
    queue->window = window;
    queue->number = number;
    put32(window + 0x30, number);
    if (get32(window + 0x34) < queue_size) fail("a queue is too short");
    put32(window + 0x38, queue_size);
    put32(window + 0x80, (u32)(u64)queue->descriptors);
    put32(window + 0x84, 0);
    put32(window + 0x90, (u32)(u64)&queue->available);
    put32(window + 0x94, 0);
    put32(window + 0xa0, (u32)(u64)&queue->used);
    put32(window + 0xa4, 0);
    put32(window + 0x44, 1);
    want_no_interrupt(queue);
}

void start_device(u64 window) {
    put32(window + 0x70, acknowledge | driver | features_ok | driver_ok);
    if (get32(window + 0x70) & 64) fail("a device wants to be reset");
}
