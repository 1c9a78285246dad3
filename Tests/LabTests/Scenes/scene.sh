# What the scenes share: a folder of their own, the programs under test, one machine's monitor driven by hand.
# Scenes run inside the lab (scripts/lab), or on a host with VT-x or AMD-V in namespaces of their own.
set -eu
say() { printf '%s\n' "$*"; }
fail() {
    say "FAILED: $*"
    [ -z "${console:-}" ] || { say "--- console"; tail -c 3000 "$console"; }
    [ ! -s "$folder/engine.log" ] || { say "--- engine"; tail -n 20 "$folder/engine.log"; }
    threads
    exit 1
}

# threads: what each thread of our programs is at, twice, for the one who reads of a failure: name, state, processor time, place in
# the kernel, and how often it slept.
threads() {
    local process thread round
    for round in 1 2; do
        say "--- threads at $(cut -d ' ' -f 1 /proc/uptime)"
        for process in /proc/[0-9]*; do
            case $(readlink "$process/exe") in *ursa*) ;; *) continue ;; esac
            for thread in "$process"/task/*; do
                say "${thread#/proc/} $(cut -d ' ' -f 2,3,14,15 "$thread/stat") $(cat "$thread/wchan") $(sed -n 's/^voluntary_ctxt_switches:\t//p' "$thread/status")"
            done
        done 2>/dev/null
        sleep 1
    done
}
folder=$(mktemp -d /tmp/ursa-scene.XXXXXX)
chmod 755 "$folder"
trap 'kill ${engine:-} ${feeder:-} 2>/dev/null || true; umount -q "$folder/small" 2>/dev/null || true; rm -rf "$folder"' EXIT

# start CONFIGURATION: runs ursa-vmm with descriptors 13 (KVM), 14 (kernel), 15 (initrd) and what the caller has opened.
# Its serial port is the pipe behind descriptor 9 and the file $console.
start() {
    console=$folder/console
    : >"$console"
    rm -f "$folder/input"
    mkfifo "$folder/input"
    "$URSA_VMM" "$1" <"$folder/input" >>"$console" 2>"$folder/engine.log" 13<>/dev/kvm 14<"$kernel" 15<"$initrd" &
    engine=$!
    exec 9>"$folder/input"
}

# expect SECONDS TEXT: waits until the console has shown TEXT since the last `expect`.
seen=0
expect() {
    local end=$((SECONDS + $1)) place
    while :; do
        place=$(tail -c "+$((seen + 1))" "$console" | grep -abo -m 1 -F -e "$2" | head -n 1 | cut -d : -f 1) || true
        if [ -n "$place" ]; then
            seen=$((seen + place + ${#2}))
            return 0
        fi
        [ $SECONDS -lt $end ] || fail "the console did not show '$2' within $1 s"
        kill -0 "$engine" 2>/dev/null || { sleep .1; tail -c "+$((seen + 1))" "$console" | grep -aqF -e "$2" || fail "the engine ended before '$2'"; }
        sleep .1
    done
}

# tell TEXT: types a line.
tell() { printf '%s\n' "$1" >&9; }

# finish SECONDS: waits for the engine's end; its status in $status.
finish() {
    local end=$((SECONDS + $1))
    while kill -0 "$engine" 2>/dev/null; do
        [ $SECONDS -lt $end ] || fail "the engine did not end within $1 s"
        sleep .1
    done
    status=0
    wait "$engine" || status=$?
    exec 9>&-
}
