#!/bin/bash
# Runs commands in Bochs, an emulator of a machine with AVX-512, for hosts that have none:
#
#     scripts/avx512_in_bochs.sh [-t SECONDS] [-o LOG] [-f PROGRAM]... [-d PATH]... COMMAND...
#
#     CARGO_PROFILE_TEST_OPT_LEVEL=2 cargo test --lib --no-run
#     scripts/avx512_in_bochs.sh -f target/debug/deps/cotangent-HASH 'cotangent-HASH --test-threads 1 codegen::tests'
#
#   -f  a program for the guest's /bin, without its symbols, and the libraries that it needs
#   -d  a file or a folder of data, at the same absolute path in the guest
#   -t  the time after which the emulator is stopped, 3000 s unless said otherwise
#   -o  where the guest's output goes as well
#
# Each command is a line for the guest's shell. The exit status is 0 if all commands' are. It needs, by their names in Debian: bochs, busybox-static, cpio,
# isolinux, syslinux-common, util-linux, xorriso, binutils, and linux-image-cloud-amd64, or another kernel with initramfs and serial port that KERNEL names.
#
# The emulator takes a core of the host for itself. It starts in a minute, and runs some hundred times slower than the host, a thousand times where floats are
# multiplied and added: tests should be optimized. `codegen::tests` with COTANGENT_ISA=avx512 takes ten minutes. The guest has one processor and 2 GB of
# memory, programs and data included.
#
# Bochs, up to 3.0 at least, takes gathers and scatters whose index is in one of the registers 16 to 31 for illegal instructions: it reads the upper bit of that
# register (EVEX.V') and then asks that nothing has used it. A copy of Debian's build of Bochs 2.7 is mended here; for another, BOCHS names the program.
set -euo pipefail

limit=3000 log=/dev/null programs=() data=()
while getopts t:o:f:d: option; do
    case $option in
        t) limit=$OPTARG ;;
        o) log=$OPTARG ;;
        f) programs+=("$OPTARG") ;;
        d) data+=("$(realpath "$OPTARG")") ;;
        *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
kernel=${KERNEL:-$(ls /boot/vmlinuz-*cloud-amd64 | tail -n 1)}
work=$(mktemp -d)
emulator=
finish() {
    [ -z "$emulator" ] || kill -- -"$emulator" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

root=$work/root
mkdir -p "$root"/{bin,dev,proc,sys,tmp} "$work/iso"
cp "$(command -v busybox)" "$root/bin/busybox"
add_libraries() {
    local path
    for path in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
        mkdir -p "$root$(dirname "$path")"
        cp -Lu "$path" "$root$path"
    done
}
for program in "${programs[@]}"; do
    strip -o "$root/bin/$(basename "$program")" "$program"
    add_libraries "$program"
done
add_libraries "$(command -v busybox)"
for path in "${data[@]}"; do
    mkdir -p "$root$(dirname "$path")"
    cp -RL "$path" "$root$(dirname "$path")/"
done

{
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/tmp RUST_BACKTRACE=0
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
cd /tmp
worst=0
run() {
    echo "=== $1"
    eval "$1"
    status=$?
    [ $status = 0 ] || worst=$status
    echo "=== status $status after $(cut -d ' ' -f 1 /proc/uptime) s of the guest"
}
INIT
    for command in "$@"; do
        printf 'run %q\n' "$command"
    done
    echo 'echo "=== end $worst"; sleep 1000'
} >"$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/iso/initrd"

cp "$kernel" "$work/iso/kernel"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso"
cat >"$work/iso/isolinux.cfg" <<'CFG'
default linux
prompt 0
label linux
  kernel kernel
  append initrd=initrd console=ttyS0 quiet mitigations=off nokaslr noxsaves clearcpuid=321,323 tsc=unstable lpj=1000000
CFG
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table "$work/iso" 2>/dev/null

serial=$work/serial
: >"$serial"
cat >"$work/bochsrc" <<RC
cpu: model=corei7_skylake_x, count=1, ips=50000000
memory: guest=2048, host=2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$serial
display_library: term
log: $work/log
panic: action=fatal
RC
if [ -z "${BOCHS:-}" ]; then
    # index |= vvv & 16, and now also vvv &= 15, in as many bytes.
    BOCHS=$work/bochs
    perl -0777 -pe '$n = s/\x44\x89\xf8\x83\xe0\x10\x09\xf0\x88\x45\x2a/\x44\x89\xf8\x24\x10\x08\x45\x2a\x41\x31\xc7/g;
        warn "this build of Bochs is not known: gathers and scatters may be illegal instructions\n" if $n != 1' \
        "$(command -v bochs-bin || command -v bochs)" >"$BOCHS"
    chmod +x "$BOCHS"
fi
# Builds of Bochs with a debugger wait for this command.
echo c >"$work/rc"
TERM=linux setsid script -qfc "$BOCHS -q -f $work/bochsrc -rc $work/rc" /dev/null >"$work/screen" 2>&1 </dev/null &
emulator=$!
end=$((SECONDS + limit))
tail -n +1 -f --pid=$emulator "$serial" | sed -u 's/\r//g' | tee "$log" &
printer=$!
while ! grep -q '^=== end' "$serial"; do
    if [ $SECONDS -ge $end ]; then
        echo "stopped after $limit s" >&2
        exit 124
    fi
    if ! kill -0 $emulator 2>/dev/null; then
        tail -n 5 "$work/log" >&2
        exit 1
    fi
    sleep 1
done
kill -- -$emulator
wait $printer
grep -q '^=== end 0' "$serial"
