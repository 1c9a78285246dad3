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

// virtio.c: virtio-mmio windows (virtio 1.2 section 4.2) and split queues (section 2.7).
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
    u64 window;
    u32 number;
    // The next entry of either ring, and what the device was told of last.
    u16 made, seen, told;
};

// The window of the first device of a type; 0 when there is none.
u64 find_device(u32 type);
// Negotiates those of `wanted` that are offered, with the queues' own features; queues come next, then start_device.
void begin_device(u64 window, u64 wanted);
void add_queue(struct queue *queue, u64 window, u32 number);
void start_device(u64 window);

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
    if ((u16)(queue->made - event - 1) < (u16)(queue->made - told)) put32(queue->window + 0x50, queue->number);
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
struct queue *disk_queue(void);
void offer_read(u16 slot, u64 block);
