#include "guest.h"

// Requests of 4 KiB. Block n of the disk has the number n in its first and in its last word, or nothing but zeros; a
// write puts its own number, counted from 1, into the second.

enum { block_size = 4096, words = block_size / 8, most_depth = 64 };

static struct device device;
static struct queue queue;
static u64 blocks;
static struct {
    u32 type, reserved;
    u64 sector;
} headers[most_depth];
static u64 data[most_depth][words] __attribute__((aligned(4096)));
static volatile u8 status[most_depth];
static u64 place[most_depth];

static void start(void) {
    if (queue.doorbell) return;
    if (!find_device(&device, 2)) fail("there is no disk");
    begin_device(&device, 1ul << 9);  // FLUSH
    add_queue(&queue, &device, 0);
    start_device(&device);
    blocks = (get32(device.fields) | (u64)get32(device.fields + 4) << 32) / (block_size / 512);
    for (u16 slot = 0; slot < most_depth; slot++) {
        struct descriptor *three = queue.descriptors + 3 * slot;
        three[0] = (struct descriptor){(u64)&headers[slot], 16, descriptor_next, 3 * slot + 1};
        three[1] = (struct descriptor){(u64)data[slot], block_size, descriptor_next, 3 * slot + 2};
        three[2] = (struct descriptor){(u64)&status[slot], 1, descriptor_write, 0};
    }
}

const struct device *disk_device(struct queue **used) {
    start();
    *used = &queue;
    return &device;
}

static inline void request(u16 slot, u32 type, u64 block) {
    headers[slot].type = type;
    headers[slot].sector = block * (block_size / 512);
    queue.descriptors[3 * slot + 1].flags = descriptor_next | (type == 0 ? descriptor_write : 0);
    status[slot] = 0xff;
    place[slot] = block;
    offer(&queue, 3 * slot);
}

void offer_read(u16 slot, u64 block) {
    data[slot][0] = data[slot][words - 1] = ~0ul;
    request(slot, 0, block % blocks);
}

static u64 random_state = 88172645463325252ul;
static inline u64 random_block(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (u64)(((unsigned __int128)random_state * blocks) >> 64);
}

// fill:DEPTH writes each block once; read:COUNT:DEPTH and write:COUNT:DEPTH go to random ones, and with a 1 behind them ask
// for an interrupt each time, though nobody takes it. The count of requests and that of wrong answers are told at the end.
void disk_job(const char *word) {
    start();
    int fills = begins_with(word, "fill"), reads = begins_with(word, "read");
    u64 count = fills ? blocks : take_number(&word, 1);
    u64 depth = take_number(&word, 1);
    u64 calls = take_number(&word, 0);
    if (depth < 1 || depth > most_depth) fail("a depth that can't be");
    u64 begun = 0, done = 0, wrong = 0;
    u16 slots[most_depth];
    u64 idle = 0;
    for (u16 slot = 0; slot < depth; slot++) slots[idle++] = slot;
    while (done < count) {
        while (idle && begun < count) {
            u16 slot = slots[--idle];
            u64 block = fills ? begun : random_block();
            begun++;
            if (reads) {
                offer_read(slot, block);
                continue;
            }
            data[slot][0] = data[slot][words - 1] = block;
            data[slot][1] = begun;
            request(slot, 1, block);
        }
        if (calls) want_interrupt(&queue);
        else want_no_interrupt(&queue);
        kick(&queue);
        while (!has_used(&queue)) relax();
        while (has_used(&queue)) {
            u16 slot = take_used(&queue) / 3;
            u64 first = data[slot][0];
            if (status[slot] != 0 || data[slot][words - 1] != first || (first && first != place[slot])) wrong++;
            slots[idle++] = slot;
            done++;
        }
    }
    say_end(done, wrong);
}
