/// What is in the image `tiny`: the files of its first root file system and the kernel's arguments.
enum TinyGuest {
    /// Printed on the console when every network card has an address and the web page answers.
    static let readyMarker = "ursa: ready"

    /// The kernel's command line; `ursa.hostname=NAME` is appended for each machine.
    ///
    /// Under emulation each word but the first three saves time or trouble: no self-tests of ciphers (0.2 s), no
    /// rewriting of locked instructions for a single processor (0.17 s), no test of the timer interrupt, which fails on a
    /// busy host, and no watching of the time stamp counter.
    static let kernelArguments =
        "console=ttyS0 quiet panic=-1 cryptomgr.notests noreplace-smp no_timer_check tsc=reliable"

    /// Folders, parents first.
    static let folders = [
        "bin", "dev", "etc", "etc/acpi", "etc/acpi/PWRF", "etc/drivers", "lib", "lib/modules", "mnt", "proc", "root",
        "run",
        "sys", "tmp", "var", "var/log", "www", "www/cgi-bin",
    ]

    /// Symbolic links: path and target. The links of busybox's programs are made when the machine is up.
    static let links = [("bin/sh", "busybox"), ("sbin", "bin"), ("var/run", "/run")]

    /// Drivers that the image can load, each with what it needs.
    static let drivers = [
        "virtio_pci", "virtio_mmio", "virtio_net", "virtio_blk", "virtio_console", "virtio_rng", "virtio_balloon",
        "vmw_vsock_virtio_transport", "button", "evdev", "pvpanic_mmio",
    ]

    /// Files: path, mode, text.
    static let files: [(String, UInt32, String)] = [
        ("init", 0o755, initScript),
        ("etc/inittab", 0o644, inittab),
        ("etc/udhcpc", 0o755, leaseScript),
        ("etc/shutdown", 0o755, shutdownScript),
        ("etc/acpi/PWRF/00000080", 0o755, powerButtonScript),
        ("etc/profile", 0o644, profile),
        ("etc/passwd", 0o644, "root::0:0:root:/root:/bin/sh\n"),
        ("www/cgi-bin/index.cgi", 0o755, page),
    ]

    // The scripts below run in the guest, by busybox's shell. It runs most programs within itself, once /proc is there.

    static let initScript = #"""
        #!/bin/busybox sh
        # Process 1 of the tiny image: devices, network, web page; then it becomes busybox's init (see /etc/inittab).
        export PATH=/bin HOME=/root
        /bin/busybox mount -t proc proc /proc
        mount -t sysfs sys /sys
        mount -t devtmpfs dev /dev
        exec </dev/console >/dev/console 2>&1

        # Loads a driver with what it needs; the lists were written when the image was built.
        load() {
            read -r modules < "/etc/drivers/$1" || return
            for module in $modules; do
                [ -d "/sys/module/$module" ] || insmod "/lib/modules/$module.ko"
            done
        }

        name=tiny
        read -r words < /proc/cmdline
        for word in $words; do
            case $word in
            ursa.hostname=*) name=${word#*=} ;;
            esac
        done
        echo "$name" > /proc/sys/kernel/hostname
        echo "$name" > /etc/hostname
        echo "127.0.0.1 localhost
        127.0.1.1 $name
        ::1 localhost ip6-localhost" > /etc/hosts

        # An address derived from the MAC needs no second of waiting for a duplicate, nor does the first router solicitation.
        for conf in default all; do
            echo 0 > "/proc/sys/net/ipv6/conf/$conf/accept_dad"
            echo 0 > "/proc/sys/net/ipv6/conf/$conf/router_solicitation_delay"
        done

        load virtio_pci
        case " $words " in *" virtio_mmio.device="*) load virtio_mmio ;; esac
        [ -e /sys/bus/acpi/devices/LNRO0005:00 ] && load virtio_mmio
        for device in /sys/bus/virtio/devices/*/device; do
            read -r kind < "$device"
            [ "$kind" = 0x0001 ] && load virtio_net && break
        done
        ip link set lo up
        mkfifo /run/net
        exec 3<>/run/net
        waiting=0
        for link in /sys/class/net/*; do
            interface=${link##*/}
            [ "$interface" = lo ] && continue
            udhcpc -f -i "$interface" -s /etc/udhcpc -x "hostname:$name" -O search -O mtu -O staticroutes \
                -t 8 -T 1 -A 2 >/dev/null 2>&1 &
            waiting=$((waiting + 1))
        done
        httpd -h /www
        load button
        load evdev
        acpid

        announce() {
            while [ "$waiting" -gt 0 ] && read -r -t "$1" interface <&3; do waiting=$((waiting - 1)); done
            [ "$waiting" = 0 ] && echo "ursa: ready"
        }
        announce 5 || { echo "ursa: no address yet"; announce 1000000 & }
        exec 3<&-

        mkdir -p /dev/pts
        mount -t devpts pts /dev/pts
        for device in /sys/bus/virtio/devices/*/device; do
            read -r kind < "$device"
            case $kind in
            0x0002) load virtio_blk ;;
            0x0003) load virtio_console ;;
            0x0004) load virtio_rng ;;
            0x0005) load virtio_balloon ;;
            0x0013) load vmw_vsock_virtio_transport ;;
            esac
        done
        # Tells the host of a panic; else the machine would just start anew.
        [ -e /sys/bus/acpi/devices/QEMU0001:00 ] && load pvpanic_mmio
        /bin/busybox --install -s /bin
        exec /bin/busybox init

        """#

    static let inittab = #"""
        ::respawn:/bin/cttyhack /bin/sh -l

        """#

    static let leaseScript = #"""
        #!/bin/busybox sh
        # Called by udhcpc when a lease comes, changes or goes.
        event=$1
        case $event in
        deconfig)
            ip -4 addr flush dev "$interface"
            ip link set "$interface" up
            ;;
        bound | renew)
            [ "$event" = bound ] && ip -4 addr flush dev "$interface"
            [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
            ip addr add "$ip/$mask" dev "$interface" 2>/dev/null
            # Where several cards have a router, the first card's counts.
            read -r index < "/sys/class/net/$interface/ifindex"
            metric=$((100 + index))
            # Classless routes replace the router (RFC 3442).
            if [ -n "$staticroutes" ]; then
                set -- $staticroutes
                while [ $# -ge 2 ]; do
                    if [ "$2" = 0.0.0.0 ]; then
                        ip route replace "$1" dev "$interface" metric "$metric"
                    else
                        ip route replace "$1" via "$2" dev "$interface" metric "$metric"
                    fi
                    shift 2
                done
            else
                for gateway in $router; do
                    ip route replace default via "$gateway" dev "$interface" metric "$metric" && break
                done
            fi
            {
                [ -n "${search:-$domain}" ] && echo "search ${search:-$domain}"
                for server in $dns; do echo "nameserver $server"; done
            } > "/run/resolv.$interface"
            cat /run/resolv.* > /etc/resolv.conf
            echo "$ip" > "/run/address.$interface"
            [ "$event" = bound ] && echo "$interface" 1<>/run/net
            ;;
        esac

        """#

    static let shutdownScript = #"""
        #!/bin/busybox sh
        # Ends the machine at once: everything but a disk somebody mounted lives in memory.
        sync
        umount -a -r 2>/dev/null
        exec /bin/busybox "$1" -f

        """#

    static let powerButtonScript = #"""
        #!/bin/busybox sh
        exec /etc/shutdown poweroff

        """#

    static let profile = #"""
        export PS1='root@\h:\w\$ ' HOME=/root TERM=${TERM:-vt102}
        cd /root
        alias poweroff='/etc/shutdown poweroff' reboot='/etc/shutdown reboot' halt='/etc/shutdown halt'

        """#

    static let page = #"""
        #!/bin/busybox sh
        # The page at /: who answers.
        read -r name < /proc/sys/kernel/hostname
        read -r release < /proc/sys/kernel/osrelease
        read -r up rest < /proc/uptime
        address=none
        for file in /run/address.*; do [ -f "$file" ] && read -r address < "$file" && break; done
        printf 'Content-Type: text/plain; charset=utf-8\r\n\r\nhello from %s (%s)\nkernel: %s\nuptime: %s s\nyou: %s\n' \
            "$name" "$address" "$release" "$up" "$REMOTE_ADDR"

        """#
}
