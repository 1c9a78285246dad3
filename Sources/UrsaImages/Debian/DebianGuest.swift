/// What Ursa adds to a Debian system to make an image of it: files that the packages find already there.
enum DebianGuest {
    /// Shown on the serial console once the system is up.
    static let readyMarker = "login:"

    /// Packages besides the essential ones and apt.
    static let packages = [
        "ca-certificates", "dbus", "e2fsprogs", "iproute2", "iputils-ping", "less", "libpam-systemd",
        "linux-image-cloud-amd64", "netbase", "openssh-server", "procps", "sudo", "systemd-resolved", "systemd-sysv",
        "udev",
        "zstd",
    ]

    /// Label of the root file system.
    static let rootLabel = "ursa-root"

    /// The kernel's command line where no boot loader stands between.
    ///
    /// Without `cryptomgr.notests` two thirds of what the kernel computes until its first program starts are multiplications
    /// of long numbers, by which it tests its own RSA and Diffie-Hellman.
    static let kernelArguments = "root=LABEL=\(rootLabel) ro console=ttyS0,115200 quiet cryptomgr.notests"

    /// Files: path, mode, text. None is a configuration file of a package, so upgrades never ask about one.
    static let files: [(String, UInt32, String)] = [
        ("etc/fstab", 0o644, "LABEL=\(rootLabel) / ext4 errors=remount-ro,x-systemd.growfs 0 1\n"),
        ("etc/ssh/sshd_config.d/ursa.conf", 0o644, sshd),
        ("etc/systemd/network/80-ursa.network", 0o644, network),
        ("etc/repart.d/50-root.conf", 0o644, "[Partition]\nType=root\n"),
        ("etc/systemd/system/ursa-first-boot.service", 0o644, firstBootUnit),
        ("etc/systemd/system/serial-getty@ttyS0.service.d/login.conf", 0o644, consoleLogin),
        // The usual 90 s can pass on an emulated processor that others use, too: then there is no login.
        ("etc/systemd/system.conf.d/ursa.conf", 0o644, "[Manager]\nDefaultDeviceTimeoutSec=15min\n"),
        ("etc/initramfs-tools/conf.d/ursa", 0o644, "MODULES=list\nCOMPRESS=zstd\n"),
        ("usr/share/initramfs-tools/modules.d/ursa", 0o644, diskDrivers),
        ("usr/local/sbin/ursa-first-boot", 0o755, firstBoot),
        ("boot/grub/grub.cfg", 0o644, boot),
    ]

    /// Symbolic links: path and target. They enable units, and disable what would slow a first boot down.
    static let links = [
        (
            "etc/systemd/system/sysinit.target.wants/ursa-first-boot.service",
            "/etc/systemd/system/ursa-first-boot.service"
        ),
        (
            "etc/systemd/system/multi-user.target.wants/systemd-networkd.service",
            systemUnits + "systemd-networkd.service"
        ),
        ("etc/systemd/system/sockets.target.wants/systemd-networkd.socket", systemUnits + "systemd-networkd.socket"),
        (
            "etc/systemd/system/network-online.target.wants/systemd-networkd-wait-online.service",
            systemUnits + "systemd-networkd-wait-online.service"
        ),
        ("etc/systemd/system/default.target", systemUnits + "multi-user.target"),
        ("etc/systemd/system/e2scrub_reap.service", "/dev/null"),
        ("etc/systemd/system/apt-daily.timer", "/dev/null"),
        ("etc/systemd/system/apt-daily-upgrade.timer", "/dev/null"),
    ]

    private static let systemUnits = "/lib/systemd/system/"

    /// The disks of every engine and of the common hypervisors.
    private static let diskDrivers = """
        virtio_pci
        virtio_mmio
        virtio_blk
        virtio_scsi
        sd_mod
        ahci
        ata_piix
        nvme

        """

    private static let sshd = """
        # Keys only; the keys come with the machine's first boot.
        PermitRootLogin prohibit-password
        PasswordAuthentication no
        KbdInteractiveAuthentication no

        """

    private static let network = """
        # Every network card: DHCP for IPv4, router advertisements for IPv6.
        [Match]
        Name=en* eth*

        [Network]
        DHCP=yes
        IPv6AcceptRA=yes

        [DHCPv4]
        ClientIdentifier=mac
        UseDomains=yes

        [IPv6AcceptRA]
        UseDomains=yes

        """

    /// Whoever has the machine's console has the machine.
    private static let consoleLogin = """
        [Service]
        ExecStart=
        ExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM

        """

    private static let firstBootUnit = """
        [Unit]
        Description=First boot: host name, ssh keys
        DefaultDependencies=no
        After=local-fs.target systemd-udev-trigger.service
        Before=sysinit.target network-pre.target systemd-networkd.service ssh.service
        Wants=network-pre.target
        Conflicts=shutdown.target

        [Service]
        Type=oneshot
        RemainAfterExit=yes
        ExecStart=/usr/local/sbin/ursa-first-boot

        [Install]
        WantedBy=sysinit.target

        """

    /// Runs in the guest at every boot; does something when the seed is another one than last time.
    private static let firstBoot = #"""
        #!/bin/sh
        # Reads the first-boot seed (NoCloud: a disk labelled CIDATA): instance-id, local-hostname and public-keys.
        set -u
        state=/var/lib/ursa
        seed=/run/ursa-seed

        device=$(blkid -t LABEL=CIDATA -o device | head -n 1)
        [ -n "$device" ] || {
            udevadm settle --timeout=10
            device=$(blkid -t LABEL=CIDATA -o device | head -n 1)
        }
        if [ -n "$device" ] && mkdir -p "$seed" && mount -o ro "$device" "$seed"; then
            instance=$(sed -n 's/^instance-id: *//p' "$seed/meta-data" | head -n 1)
            if [ "$instance" != "$(cat "$state/instance-id" 2>/dev/null)" ]; then
                name=$(sed -n 's/^local-hostname: *//p' "$seed/meta-data" | head -n 1)
                if [ -n "$name" ]; then
                    echo "$name" > /etc/hostname
                    hostname "$name"
                    sed -i '/^127\.0\.1\.1/d' /etc/hosts
                    echo "127.0.1.1 $name" >> /etc/hosts
                fi
                mkdir -p -m 700 /root/.ssh
                sed -n '/^public-keys:/,/^[^ ]/s/^  - //p' "$seed/meta-data" > /root/.ssh/authorized_keys
                chmod 600 /root/.ssh/authorized_keys
                # A copy of a machine is another machine, and must not answer with the first one's keys.
                rm -f /etc/ssh/ssh_host_*
                mkdir -p "$state"
                echo "$instance" > "$state/instance-id"
            fi
            umount "$seed"
        fi
        # An RSA key would take a slow machine many seconds, and every client of today takes this one.
        [ -s /etc/ssh/ssh_host_ed25519_key ] || {
            rm -f /etc/ssh/ssh_host_ed25519_key*
            ssh-keygen -q -t ed25519 -N '' -C "root@$(hostname)" -f /etc/ssh/ssh_host_ed25519_key
        }
        sync

        """#

    /// GRUB follows the links that Debian keeps to the newest kernel, so upgrades need no GRUB in the image.
    private static let boot = """
        serial --unit=0 --speed=115200
        terminal_input console serial
        terminal_output console serial
        set timeout=0
        menuentry "Debian" {
            linux /vmlinuz root=LABEL=\(rootLabel) ro console=tty0 console=ttyS0,115200 quiet cryptomgr.notests
            initrd /initrd.img
        }
        menuentry "Debian, the kernel before" {
            linux /vmlinuz.old root=LABEL=\(rootLabel) ro console=tty0 console=ttyS0,115200
            initrd /initrd.img.old
        }

        """
}
