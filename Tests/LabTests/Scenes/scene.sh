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
# the kernel, and how often it slept. One process does it all: an emulated processor takes long to make one.
threads() {
    perl -e 'sub text { open(my $file, "<", $_[0]) ? join("", <$file>) : "" }
        for (1, 2) {
            printf "--- threads at %s\n", (split " ", text("/proc/uptime"))[0];
            for (grep { (readlink("$_/exe") || "") =~ /ursa/ } glob("/proc/[0-9]*")) {
                for (glob("$_/task/*")) {
                    my ($name, $rest) = text("$_/stat") =~ /(\(.*\)) (.*)/s or next;
                    my @field = split " ", $rest;
                    my ($slept) = text("$_/status") =~ /^voluntary_ctxt_switches:\s*(\d+)/m;
                    printf "%s %s %s %s %s %s %s\n", s#^/proc/##r, $name, @field[0, 11, 12], text("$_/wchan"), $slept // "";
                }
            }
            sleep 1;
        }'
}
# Seconds that any one thing may take before it counts as hung. An emulated processor that others use, too, is slow: what takes a second
# on its own may take a minute.
patience=900
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

# expect TEXT: waits until the console has shown TEXT since the last `expect`. One process looks all the time: with several for
# each look, looking would be most of what an emulated processor does.
seen=0
expect() {
    local result=0 now
    now=$(perl -e 'my ($path, $seen, $seconds, $text, $engine) = @ARGV;
        open(my $file, "<:raw", $path) || exit 3;
        for (my $end = time + $seconds, my $lives = 1; ; select(undef, undef, undef, .1)) {
            # What was written before the end is still looked at.
            my $last = !$lives;
            $lives = kill(0, $engine);
            seek($file, $seen, 0);
            my $place = index(join("", <$file>), $text);
            if ($place >= 0) { print $seen + $place + length($text); exit 0 }
            exit 1 if time > $end;
            exit 2 if $last;
        }' "$console" "$seen" "$patience" "$1" "$engine") || result=$?
    case $result in
        0) seen=$now ;;
        1) fail "the console did not show '$1' within $patience s" ;;
        2) fail "the engine ended before '$1'" ;;
        *) fail "the console can't be read" ;;
    esac
}

# tell TEXT: types a line.
tell() { printf '%s\n' "$1" >&9; }

# finish: waits for the engine's end; its status in $status.
finish() {
    local end=$((SECONDS + patience))
    while kill -0 "$engine" 2>/dev/null; do
        [ $SECONDS -lt $end ] || fail "the engine did not end within $patience s"
        sleep .1
    done
    status=0
    wait "$engine" || status=$?
    exec 9>&-
}
