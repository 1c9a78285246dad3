#include "guest.h"

void say(const char *text) {
    while (*text) out8(0x3f8, (u8)*text++);
}

void say_number(u64 value) {
    char digits[21];
    int at = 20;
    digits[at] = 0;
    do {
        digits[--at] = '0' + (char)(value % 10);
        value /= 10;
    } while (value);
    say(digits + at);
}

void say_end(u64 done, u64 wrong) {
    say("end ");
    say_number(done);
    say(" ");
    say_number(wrong);
    say("\n");
}

void fail(const char *why) {
    say("failed: ");
    say(why);
    say("\n");
    // Power off, by our own monitor's port.
    out8(0x600, 0x34);
    for (;;) relax();
}

u64 take_number(const char **word, u64 otherwise) {
    const char *at = *word;
    while (*at && *at != ' ' && *at != ':') at++;
    if (*at != ':') {
        *word = at;
        return otherwise;
    }
    at++;
    u64 value = 0;
    while (*at >= '0' && *at <= '9') value = value * 10 + (u64)(*at++ - '0');
    *word = at;
    return value;
}

int begins_with(const char *word, const char *name) {
    while (*name)
        if (*word++ != *name++) return 0;
    return *word == 0 || *word == ' ' || *word == ':';
}

void *memset(void *target, int value, u64 count) {
    u8 *bytes = target;
    while (count--) *bytes++ = (u8)value;
    return target;
}

void *memcpy(void *target, const void *source, u64 count) {
    u8 *to = target;
    const u8 *from = source;
    while (count--) *to++ = *from++;
    return target;
}
