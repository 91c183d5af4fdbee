#!/bin/sh
# In the box: the memory of the command beyond the guest's RAM while Linux runs: proportional set size of all its mappings
# but that of the memory file behind RAM.
console=ttyS0
[ "$(uname -m)" = x86_64 ] || console=ttyAMA0
mkfifo /tmp/in /tmp/out
/hostvm run --kernel /vmlinuz --initrd /initramfs --append "console=$console quiet" < /tmp/in > /tmp/out 2>&1 &
pid=$!
exec 3> /tmp/in 4< /tmp/out
while read -r line <&4; do
    case $line in
    *'guest under hostvm'*) break ;;
    esac
done
awk '/^[0-9a-f]+-[0-9a-f]+ / { ram = $0 ~ /memfd:/ }
     /^Pss:/ { if (ram) { guest += $2 } else { own += $2 } }
     END { printf "guest RAM touched %d KiB, VMM beyond it %d KiB\n", guest, own }' "/proc/$pid/smaps"
echo 'poweroff -f' >&3
wait "$pid"
