// A guest without an operating system, for tests and benchmarks of a monitor's virtio devices. See main.c.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

static inline void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static inline void fence(void) { __asm__ volatile("lock orl $0, (%%rsp)" ::: "memory", "cc"); }
static inline void compiler_fence(void) { __asm__ volatile("" ::: "memory"); }
static inline void relax(void) { __asm__ volatile("pause" ::: "memory"); }
static inline u32 get32(u64 address) { return *(volatile u32 *)address; }
static inline u16 get16(u64 address) { return *(volatile u16 *)address; }
static inline u8 get8(u64 address) { return *(volatile u8 *)address; }
static inline void put16(u64 address, u16 value) { *(volatile u16 *)address = value; }
static inline void put8(u64 address, u8 value) { *(volatile u8 *)address = value; }
static inline void put32(u64 address, u32 value) { *(volatile u32 *)address = value; }

// text.c: the serial line, and words.
void say(const char *text);
void say_number(u64 value);
// The end of a job: what was done, and what of it went wrong.
void say_end(u64 done, u64 wrong);
void fail(const char *why) __attribute__((noreturn));
// Takes the next number of a word like "read:1000:32" and moves on; `otherwise` when there is none.
u64 take_number(const char **word, u64 otherwise);
int begins_with(const char *word, const char *name);

// For the compiler too, which calls them by itself.
void *memset(void *target, int value, u64 count);
void *memcpy(void *target, const void *source, u64 count);

// virtio.c: devices on virtio-mmio (virtio 1.2 section 4.2) or PCI (section 4.1), and split queues (section 2.7).
enum { queue_size = 256 };
enum { descriptor_next = 1, descriptor_write = 2 };

struct descriptor {
    u64 address;
    u32 length;
    u16 flags, next;
};
struct available {
    u16 flags, index, ring[queue_size], used_event;
};
struct used {
    u16 flags, index;
    struct {
        u32 head, written;
    } ring[queue_size];
    u16 available_event;
};
struct queue {
    struct descriptor descriptors[queue_size] __attribute__((aligned(16)));
    struct available available __attribute__((aligned(4)));
    struct used used __attribute__((aligned(4)));
    // Where its number is written when there is something in it: four bytes by virtio-mmio, two by PCI.
    u64 doorbell;
    u16 number;
    u8 is_doorbell_short;
    // The next entry of either ring, and what the device was told of last.
    u16 made, seen, told;
};

struct device {
    // By virtio-mmio its window, with all registers; 0 by PCI.
    u64 window;
    // By PCI: the common structure, where doorbells begin and how far they are apart, and the table of MSI-X.
    u64 common, doorbells, doorbell_step, messages;
    // The configuration fields of its type.
    u64 fields;
};

// The first device of a type; whether there is one.
int find_device(struct device *device, u32 type);
// Negotiates those of `wanted` that are offered, with the queues' own features; queues come next, then start_device.
void begin_device(const struct device *device, u64 wanted);
void add_queue(struct queue *queue, const struct device *device, u16 number);
void start_device(const struct device *device);

// pci.c: fills in where a function's structures are; whether there is a modern virtio device of the type.
int find_function(struct device *device, u32 type);

// Makes a chain available; the device is told by `kick`, if it wants to be.
static inline void offer(struct queue *queue, u16 head) {
    queue->available.ring[queue->made % queue_size] = head;
    queue->made++;
}
static inline void kick(struct queue *queue) {
    compiler_fence();
    *(volatile u16 *)&queue->available.index = queue->made;
    fence();
    u16 event = *(volatile u16 *)&queue->used.available_event;
    u16 told = queue->told;
    queue->told = queue->made;
    if ((u16)(queue->made - event - 1) >= (u16)(queue->made - told)) return;
    if (queue->is_doorbell_short) put16(queue->doorbell, queue->number);
    else put32(queue->doorbell, queue->number);
}
// Whether the device gave something back.
static inline int has_used(struct queue *queue) {
    int result = *(volatile u16 *)&queue->used.index != queue->seen;
    compiler_fence();
    return result;
}
static inline u16 take_used(struct queue *queue) {
    u16 head = (u16)queue->used.ring[queue->seen % queue_size].head;
    queue->seen++;
    return head;
}
// No interrupt until 32767 more were given back: who polls says so again in time.
static inline void want_no_interrupt(struct queue *queue) { queue->available.used_event = queue->seen + 0x7fff; }
static inline void want_interrupt(struct queue *queue) {
    *(volatile u16 *)&queue->available.used_event = queue->seen;
    fence();
}

// disk.c, net.c, interrupts.c: the jobs.
void disk_job(const char *word);
void net_job(const char *word);
void interrupts_job(const char *word);

// disk.c: one request that only has to be answered, for interrupts.c.
const struct device *disk_device(struct queue **queue);
void offer_read(u16 slot, u64 block);
