#include "guest.h"

// interrupts:PIN:COUNT asks for an interrupt with each of COUNT reads of the disk, and sees that it comes; then that none
// comes with reads that ask for none. By virtio-mmio it comes by PIN of the IOAPIC, by PCI as a message (MSI-X).
//
// The processor takes no interrupt: a KVM that emulates ring 0 could not run its handler. It is seen where it waits, in
// the local APIC's request register (Intel SDM 3A, 11.8.4). Each has another vector, as none is ever taken.

enum { first_vector = 0x30, last_vector = 0xef };
static const u64 ioapic = 0xfec00000, local_apic = 0xfee00000;

static int is_requested(u32 vector) { return get32(local_apic + 0x200 + 0x10 * (vector / 32)) >> (vector % 32) & 1; }

static void route(const struct device *device, u32 pin, u32 vector) {
    if (!device->window) {
        // The first entry of the table: address, data, and not masked (PCI 3.0, 6.8.2).
        put32(device->messages, (u32)local_apic);
        put32(device->messages + 4, 0);
        put32(device->messages + 8, vector);
        put32(device->messages + 12, 0);
        return;
    }
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
    struct queue *queue;
    const struct device *device = disk_device(&queue);
    put32(local_apic + 0xf0, 0x1ff);  // the local APIC is on; 0xff is its spurious vector
    u64 came = 0;
    u32 vector = first_vector;
    for (u64 number = 0; number < count && vector < last_vector; number++, vector++) {
        route(device, pin, vector);
        want_interrupt(queue);
        read_once(queue);
        take_used(queue);
        for (u64 patience = 0; patience < 100000 && !is_requested(vector); patience++) relax();
        if (!is_requested(vector)) break;
        if (device->window) {
            // It is a queue's, and is acknowledged.
            if (!(get32(device->window + 0x60) & 1)) break;
            put32(device->window + 0x64, 1);
        }
        came++;
    }
    route(device, pin, vector);
    want_no_interrupt(queue);
    for (int number = 0; number < 50; number++) {
        read_once(queue);
        take_used(queue);
    }
    say_end(came, (u64)is_requested(vector));
}
