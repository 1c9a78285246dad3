#include "guest.h"

// Our own monitor's configuration spaces: 4 KiB for each function of bus 0 (PCIe 4.0, 7.2.2), eight functions a slot.
static const u64 spaces = 0xe0000000;

int find_function(struct device *device, u32 type) {
    for (u64 slot = 0; slot < 32; slot++) {
        u64 space = spaces + (slot << 15);
        if (get32(space) != (0x1af4 | (0x1040 + type) << 16)) continue;
        put16(space + 4, 6);  // its ranges answer, and it may reach memory
        *device = (struct device){.doorbell_step = 0};
        for (u8 at = get8(space + 0x34); at; at = get8(space + at + 1)) {
            u8 kind = get8(space + at);
            if (kind != 0x09 && kind != 0x11) continue;
            // Virtio's capabilities name a range and an offset (virtio 1.2 section 4.1.4), MSI-X both in one word.
            u32 word = get32(space + at + (kind == 0x09 ? 8 : 4));
            u8 range = kind == 0x09 ? get8(space + at + 4) : word & 7;
            u64 place = (get32(space + 0x10 + 4 * range) & ~15u) + (kind == 0x09 ? word : word & ~7u);
            if (kind == 0x11) {
                device->messages = place;
                put16(space + at + 2, 0x8000);
                continue;
            }
            switch (get8(space + at + 3)) {
            case 1: device->common = place; break;
            case 2:
                device->doorbells = place;
                device->doorbell_step = get32(space + at + 16);
                break;
            case 4: device->fields = place; break;
            }
        }
        return device->common && device->doorbells && device->messages;
    }
    return 0;
}
