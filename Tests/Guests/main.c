// A guest that does what its command line says, job by job, and drives virtio devices without interrupts: it looks at the
// rings until they change. Each job is a word; `begin JOB` and `end DONE WRONG` go out by the serial port.
//
//     fill:DEPTH  read:COUNT:DEPTH[:1]  write:COUNT:DEPTH[:1]    requests of 4 KiB to the disk (disk.c)
//     send:COUNT:BYTES:DEPTH  echo:COUNT                         frames (net.c)
//     interrupts:PIN:COUNT                                       that interrupts come when they are asked for (interrupts.c)
//     stay                                                       stays on for ever, so that somebody can look at the monitor
//
// What is no job is passed over: QEMU adds words of its own.
#include "guest.h"

static const struct {
    const char *name;
    void (*run)(const char *word);
} jobs[] = {
    {"fill", disk_job}, {"read", disk_job}, {"write", disk_job},
    {"send", net_job},  {"echo", net_job},  {"interrupts", interrupts_job},
};

static void say_word(const char *word) {
    char letter[2] = {0, 0};
    for (; *word && *word != ' '; word++) {
        letter[0] = *word;
        say(letter);
    }
}

// `start_info` is that of PVH (Xen, include/public/arch-x86/hvm/start_info.h): its command line is at 24.
void guest_main(u64 start_info) {
    const char *word = (const char *)*(u64 *)(start_info + 24);
    int stays = 0;
    say("\n");
    while (word && *word) {
        stays |= begins_with(word, "stay");
        for (u32 job = 0; job < sizeof jobs / sizeof jobs[0]; job++) {
            if (!begins_with(word, jobs[job].name)) continue;
            say("begin ");
            say_word(word);
            say("\n");
            jobs[job].run(word);
        }
        while (*word && *word != ' ') word++;
        while (*word == ' ') word++;
    }
    say("bye\n");
    if (stays)
        for (;;) relax();
    out8(0x600, 0x34);  // power off: our own monitor's port
    out8(0xf4, 0);      // and QEMU's device isa-debug-exit
}
