#include "guest.h"

enum { header_size = 12, buffer_size = 2048, most = 128 };

static struct queue receive, transmit;
static u8 buffers[2][most][buffer_size] __attribute__((aligned(4096)));

static void start(void) {
    if (transmit.doorbell) return;
    struct device device;
    if (!find_device(&device, 1)) fail("there is no network card");
    begin_device(&device, 0);
    add_queue(&receive, &device, 0);
    add_queue(&transmit, &device, 1);
    start_device(&device);
}

// A broadcast with a type that no system knows (IEEE's for local experiments), its number in the first eight bytes of data.
static void make_frame(u8 *frame, u64 number) {
    for (int index = 0; index < 6; index++) frame[index] = 0xff;
    frame[6] = 0x52;
    frame[7] = 0x54;
    frame[12] = 0x88;
    frame[13] = 0xb5;
    memcpy(frame + 14, &number, 8);
}

// send:COUNT:BYTES:DEPTH sends frames of a length.
static void send(u64 count, u64 length, u64 depth) {
    if (length < 60 || length > 1514 || depth < 1 || depth > most) fail("frames that can't be");
    u64 begun = 0, done = 0;
    u16 slots[most];
    u64 idle = 0;
    for (u16 slot = 0; slot < depth; slot++) {
        slots[idle++] = slot;
        make_frame(buffers[1][slot] + header_size, 0);
        transmit.descriptors[slot] = (struct descriptor){(u64)buffers[1][slot], (u32)(header_size + length), 0, 0};
    }
    while (done < count) {
        while (idle && begun < count) {
            u16 slot = slots[--idle];
            *(u64 *)(buffers[1][slot] + header_size + 14) = begun++;
            offer(&transmit, slot);
        }
        want_no_interrupt(&transmit);
        kick(&transmit);
        while (!has_used(&transmit)) relax();
        while (has_used(&transmit)) {
            slots[idle++] = take_used(&transmit);
            done++;
        }
    }
    say_end(done, 0);
}

// echo:COUNT sends each frame that comes back to where it came from, until COUNT came; the buffers are the same.
static void echo(u64 count) {
    for (u16 slot = 0; slot < most; slot++) {
        receive.descriptors[slot] = (struct descriptor){(u64)buffers[0][slot], buffer_size, descriptor_write, 0};
        offer(&receive, slot);
    }
    kick(&receive);
    u64 came = 0, sent = 0;
    say("ready\n");
    while (sent < count) {
        want_no_interrupt(&receive);
        want_no_interrupt(&transmit);
        int works = 0;
        while (came < count && has_used(&receive)) {
            u32 length = receive.used.ring[receive.seen % queue_size].written;
            u16 slot = take_used(&receive);
            u8 *frame = buffers[0][slot] + header_size;
            u8 address[6];
            memcpy(address, frame, 6);
            memcpy(frame, frame + 6, 6);
            memcpy(frame + 6, address, 6);
            memset(buffers[0][slot], 0, header_size);
            transmit.descriptors[slot] = (struct descriptor){(u64)buffers[0][slot], length, 0, 0};
            offer(&transmit, slot);
            came++;
            works = 1;
        }
        if (works) kick(&transmit);
        works = 0;
        while (has_used(&transmit)) {
            offer(&receive, take_used(&transmit));
            sent++;
            works = 1;
        }
        if (works) kick(&receive);
        else relax();
    }
    say_end(sent, 0);
}

void net_job(const char *word) {
    start();
    int sends = begins_with(word, "send");
    u64 count = take_number(&word, 1);
    if (!sends) return echo(count);
    u64 length = take_number(&word, 60);
    send(count, length, take_number(&word, most));
}
