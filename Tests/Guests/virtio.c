#include "guest.h"

// Where monitors put their windows: ours, and QEMU's microvm.
static const struct {
    u64 start, step;
    u32 count;
} places[] = {{0xfe000000, 0x1000, 14}, {0xfeb00000, 0x200, 24}};

int find_device(struct device *device, u32 type) {
    for (u32 place = 0; place < sizeof places / sizeof places[0]; place++)
        for (u32 index = 0; index < places[place].count; index++) {
            u64 window = places[place].start + index * places[place].step;
            // "virt", the second version, and the type of the device.
            if (get32(window) != 0x74726976) break;
            if (get32(window + 4) != 2) fail("a device is of the old kind");
            if (get32(window + 8) != type) continue;
            *device = (struct device){.window = window, .fields = window + 0x100};
            return 1;
        }
    return find_function(device, type);
}

enum { acknowledge = 1, driver = 2, driver_ok = 4, features_ok = 8, needs_reset = 64 };

static void set_status(const struct device *device, u8 status) {
    if (device->window) put32(device->window + 0x70, status);
    else put8(device->common + 20, status);
}

static u8 status(const struct device *device) {
    return device->window ? (u8)get32(device->window + 0x70) : get8(device->common + 20);
}

// Takes what is both offered and wanted of one half of the feature bits; what was offered.
static u32 negotiate(const struct device *device, u32 half, u32 wanted) {
    u64 base = device->window ? device->window + 0x10 : device->common;
    // The registers are select, offered and select, taken; virtio-mmio has each pair the other way around.
    put32(device->window ? base + 4 : base, half);
    u32 offered = get32(device->window ? base : base + 4);
    put32(device->window ? device->window + 0x24 : base + 8, half);
    put32(device->window ? device->window + 0x20 : base + 12, offered & wanted);
    return offered;
}

void begin_device(const struct device *device, u64 wanted) {
    set_status(device, 0);
    set_status(device, acknowledge);
    set_status(device, acknowledge | driver);
    wanted |= 1ul << 29 | 1ul << 32;  // EVENT_IDX, VERSION_1
    if (!(negotiate(device, 0, (u32)wanted) & 1u << 29)) fail("a device has no event indices");
    negotiate(device, 1, (u32)(wanted >> 32));
    set_status(device, acknowledge | driver | features_ok);
    if (!(status(device) & features_ok)) fail("a device does not take what it offered");
}

void add_queue(struct queue *queue, const struct device *device, u16 number) {
    memset(queue, 0, sizeof *queue);
    queue->number = number;
    u64 window = device->window, common = device->common;
    u64 parts[3] = {(u64)queue->descriptors, (u64)&queue->available, (u64)&queue->used};
    if (window) {
        put32(window + 0x30, number);
        if (get32(window + 0x34) < queue_size) fail("a queue is too short");
        put32(window + 0x38, queue_size);
        for (u64 part = 0; part < 3; part++) {
            put32(window + 0x80 + 0x10 * part, (u32)parts[part]);
            put32(window + 0x84 + 0x10 * part, 0);
        }
        put32(window + 0x44, 1);
        queue->doorbell = window + 0x50;
    } else {
        put16(common + 22, number);
        if (get16(common + 24) < queue_size) fail("a queue is too short");
        put16(common + 24, queue_size);
        put16(common + 26, number);  // its message
        for (u64 part = 0; part < 3; part++) {
            put32(common + 32 + 8 * part, (u32)parts[part]);
            put32(common + 36 + 8 * part, 0);
        }
        queue->doorbell = device->doorbells + get16(common + 30) * device->doorbell_step;
        queue->is_doorbell_short = 1;
        put16(common + 28, 1);
    }
    want_no_interrupt(queue);
}

void start_device(const struct device *device) {
    set_status(device, acknowledge | driver | features_ok | driver_ok);
    if (status(device) & needs_reset) fail("a device wants to be reset");
}
