#include "guest.h"

// interrupts:PIN:COUNT asks for an interrupt with each of COUNT reads of the disk, whose line is PIN of the first IOAPIC,
// and sees that it comes; then that none comes with a read that asks for none.
//
// The processor takes no interrupt: a KVM that emulates ring 0 could not run its handler. It is seen where it waits, in
// the local APIC's request register (Intel SDM 3A, 11.8.4). Each has another vector, as none is ever taken.

enum { first_vector = 0x30, last_vector = 0xef };
static const u64 ioapic = 0xfec00000, local_apic = 0xfee00000;

static int is_requested(u32 vector) { return get32(local_apic + 0x200 + 0x10 * (vector / 32)) >> (vector % 32) & 1; }

static void route(u32 pin, u32 vector) {
    put32(ioapic, 0x11 + 2 * pin);
    put32(ioapic + 0x10, 0);
    put32(ioapic, 0x10 + 2 * pin);
    put32(ioapic + 0x10, vector);  // fixed, physical, edge, not masked
}

static void read_once(struct queue *queue) {
    offer_read(0, queue->made);
    kick(queue);
    while (!has_used(queue)) relax();
}

void interrupts_job(const char *word) {
    u32 pin = (u32)take_number(&word, 0);
    u64 count = take_number(&word, 1);
    struct queue *queue = disk_queue();
    put32(local_apic + 0xf0, 0x1ff);  // the local APIC is on; 0xff is its spurious vector
    u64 came = 0;
    u32 vector = first_vector;
    for (u64 number = 0; number < count && vector < last_vector; number++, vector++) {
        route(pin, vector);
        want_interrupt(queue);
        read_once(queue);
        take_used(queue);
        for (u64 patience = 0; patience < 100000 && !is_requested(vector); patience++) relax();
        if (!is_requested(vector) || !(get32(queue->window + 0x60) & 1)) break;
        came++;
        put32(queue->window + 0x64, 1);
    }
    route(pin, vector);
    want_no_interrupt(queue);
    for (int number = 0; number < 50; number++) {
        read_once(queue);
        take_used(queue);
    }
    say_end(came, (u64)is_requested(vector));
}
