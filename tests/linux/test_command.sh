#!/bin/bash
# Here live the tests of the hostvm command as its users meet it: statuses, wording, guests, terminal, signals, limits.
#
# HOSTVM=FILE tests that build instead of build/hostvm. Guests are bare-metal ones, run on this machine's KVM.
# One line per check; exit 1 on a failure.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
hostvm=$(realpath -s "${HOSTVM:-build/hostvm}")
guests=$PWD/build/guests
hello=$guests/hello
work=$(mktemp -d "${TMPDIR:-/tmp}/test_command.XXXXXX")
limit=30
started=()

clean_up() {
    exec 8>&-
    [ ${#started[@]} -eq 0 ] || kill -9 "${started[@]}" 2> /dev/null
    rm -rf "$work"
}
trap clean_up EXIT

mkfifo "$work/never"
exec 8<> "$work/never"

# --- checks ---

. tests/linux/frame.sh

# What the command last run left.
evidence() {
    for file in out err; do
        [ ! -s "$work/$file" ] || { echo "standard $file:"; head -c 1500 "$work/$file"; }
    done
}

# run COMMAND...: leaves $status, and in $work/out and $work/err what it printed (carriage returns removed from out).
run() {
    status=0
    timeout --foreground -k 5 $limit "$@" > "$work/raw" 2> "$work/err" < "${input:-/dev/null}" || status=$?
    tr -d '\r' < "$work/raw" > "$work/out"
}

# verdict NAME STATUS ERRORS: of the last run; ERRORS is all of standard error, without the last newline.
verdict() {
    if [ "$status" -ne "$2" ]; then
        fail "$1" "status $status, not $2"
    elif [ "$(cat "$work/err")" != "$3" ]; then
        fail "$1" "the errors should be: $3"
    else
        pass "$1"
    fi
}

# complains NAME STATUS ERRORS COMMAND...: ends with the status, prints exactly these errors and nothing else.
complains() {
    local name=$1 expected=$2 errors=$3
    shift 3
    run "$@"
    if [ -s "$work/out" ]; then
        fail "$name" "there should be no output"
    else
        verdict "$name" "$expected" "$errors"
    fi
}

# prints NAME STATUS OUTPUT COMMAND...: ends with the status, prints exactly this output and no errors.
prints() {
    local name=$1 expected=$2 output=$3
    shift 3
    run "$@"
    if [ "$(grep -v '^cpu: ' "$work/out")" != "$output" ]; then
        fail "$name" "the output should be: $output"
    else
        verdict "$name" "$expected" ''
    fi
}

# await COMMAND...: until it succeeds, for at most $limit seconds.
await() {
    local end=$((SECONDS + limit))
    until "$@" 2> /dev/null; do
        [ $SECONDS -lt $end ] || return 1
        read -r -t 0.02 -u 8
    done
    return 0
}

# --- guests ---

# greeting METHOD [MODULES [TEXT]]: what hello prints with 256 MiB of RAM, but for the processor's name.
greeting() {
    echo "hello from hostvm's test kernel"
    echo "booted by $1"
    echo "memory: [0x0..0x9fc00) type 1"
    echo "memory: [0x9fc00..0xa0000) type 2"
    echo "memory: [0xe0000..0x100000) type 2"
    echo "memory: [0x100000..0x10000000) type 1"
    [ -z "${2:-}" ] || echo "$2"
    echo "command line: ${3:-}"
}

# start COMMAND...: in the background; output goes to $work/live, errors to $work/err. Leaves $pid.
start() {
    : > "$work/err"
    : > "$work/live"
    "$@" > "$work/live" 2> "$work/err" < "${input:-/dev/null}" &
    pid=$!
    started+=($pid)
}

# ended: waits for the last one started; leaves $status, and what it printed as run does.
ended() {
    local end=$((SECONDS + limit))
    while kill -0 $pid 2> /dev/null && [ "$(process_state $pid)" != Z ]; do
        [ $SECONDS -lt $end ] || { kill -9 $pid; break; }
        read -r -t 0.02 -u 8
    done
    status=0
    wait $pid 2> /dev/null || status=$?
    tr -d '\r' < "$work/live" > "$work/out"
}

process_state() {
    sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2> /dev/null
}

# A vcpu's descriptor is the last thing that is opened before the guest runs.
has_vcpu() {
    local link
    for link in /proc/"$1"/fd/*; do
        [[ $(readlink "$link") == anon_inode:kvm-vcpu* ]] && return 0
    done
    return 1
}

has_said() {
    grep -q -e "$1" "$work/live"
}

# flat NAME BYTES: code for real mode, as octal or hex escapes of printf.
flat() {
    # shellcheck disable=SC2059 # the escapes are the point
    printf "$2" > "$work/$1"
}

# --- the command line ---

test_information() {
    prints 'version_is_one_line' 0 "hostvm $(sed -n 's/^VERSION := //p' Makefile)" "$hostvm" --version
    run "$hostvm" --help
    cp "$work/out" "$work/help"
    if grep -q '^usage: hostvm run' "$work/out"; then verdict 'help_goes_to_standard_output' 0 ''
    else fail 'help_goes_to_standard_output' 'there should be a usage line'; fi
    prints 'help_of_run_is_the_same_text' 0 "$(cat "$work/help")" "$hostvm" run --help
    local option missing=
    for option in kernel initrd module append mem cpus share vsock debug-exit pmu dtb dump-acpi dump-dtb; do
        grep -q -e "--$option " "$work/help" || missing+=" --$option"
    done
    if [ -z "$missing" ]; then pass 'help_names_every_option'; else fail 'help_names_every_option' "missing:$missing"; fi
}

# usage NAME TEXT ARGUMENT...
usage() {
    local name=$1 text=$2
    shift 2
    complains "$name" 64 "hostvm: $text; see hostvm --help" "$hostvm" "$@"
}

test_usage() {
    usage 'no_command_is_64' 'no command given: run or check'
    usage 'unknown_command_is_64' "unknown command 'start'" start
    usage 'check_takes_no_arguments' "'check' is not a command that takes arguments" check now
    usage 'run_without_a_kernel_is_64' 'no kernel given' run
    usage 'unknown_option_is_64' "unknown or ambiguous option '--frob'" run --frob "$hello"
    usage 'unknown_option_behind_the_kernel_is_64' "unknown or ambiguous option '--frob'" run "$hello" --frob
    usage 'unknown_short_option_is_64' "unknown or ambiguous option '-x'" run -x
    usage 'ambiguous_option_is_64' "unknown or ambiguous option '--d'" run --d "$hello"
    usage 'missing_argument_is_64' "'--mem' wants an argument" run "$hello" --mem
    usage 'missing_argument_of_one_dash_option_is_64' "'-append' wants an argument" run "$hello" -append
    usage 'second_kernel_is_64' "'b' is one argument too many" run a b
    usage 'kernel_by_option_and_by_place_is_64' "'b' is one argument too many" run --kernel a b
    usage 'virtio_by_another_way_is_64' "--virtio wants mmio or pci, not 'usb'" run --virtio usb "$hello"
    usage 'dump_acpi_without_a_directory_is_64' "--dump-acpi wants a directory, not ''" run --dump-acpi ''
    usage 'dump_dtb_without_a_file_is_64' "--dump-dtb wants a file, not ''" run --dump-dtb ''
    usage 'vsock_without_a_path_is_64' "--vsock wants PATH[,cid=N], not ''" run --vsock '' "$hello"
    usage 'vsock_with_a_wrong_cid_is_64' "--vsock wants a cid from 3 to 4294967294, not '2'" run --vsock v,cid=2 "$hello"
    usage 'second_vsock_is_64' 'there is more than one --vsock' run --vsock v --vsock w "$hello"
    usage 'share_with_a_wrong_word_is_64' "--share does not know 'rw', only tag=NAME and ro" run --share /tmp,rw "$hello"
    usage 'second_share_of_a_tag_is_64' "there is more than one --share with tag 'share'" \
        run --share /tmp --share /usr "$hello"
    usage 'fifth_share_is_64' 'there are more than 4 --share options' run --share /tmp,tag=a --share /tmp,tag=b \
        --share /tmp,tag=c --share /tmp,tag=d --share /tmp,tag=e "$hello"
    local size
    for size in -1 1x '' x 1MM 0x 99999999999999999999T; do
        usage "mem_${size:-empty}_is_64" "--mem wants a size such as 256M or 2G, not '$size'" run --mem "$size" "$hello"
    done
    for size in 0 1M 1 99999999999T 513G 18446744073709551615; do
        usage "mem_${size}_is_out_of_range" "--mem '$size' is out of range: 2M to 512G" run --mem "$size" "$hello"
    done
    for size in 0 255 x -1 '' 1x 4294967297; do
        usage "cpus_${size:-empty}_is_64" "--cpus wants a number from 1 to 254, not '$size'" run --cpus "$size" "$hello"
    done
}

# Sockets and folders that cannot be, each with its line.
test_sockets_and_folders() {
    : > "$work/file"
    complains 'vsock_at_a_file_is_71' 71 "hostvm: --vsock: cannot listen on '$work/file': there is a file of that name" \
        "$hostvm" run --vsock "$work/file" "$hello"
    complains 'vsock_where_no_directory_is_is_71' 71 \
        "hostvm: --vsock: cannot listen on '/nonexistent/v': No such file or directory" "$hostvm" run --vsock /nonexistent/v "$hello"
    if [ -x /usr/lib/qemu/virtiofsd ] || [ -x /usr/libexec/virtiofsd ]; then
        complains 'share_of_nothing_is_66' 66 "hostvm: --share '/nonexistent': cannot find the folder: No such file or directory" \
            "$hostvm" run --share /nonexistent "$hello"
        complains 'share_of_a_file_is_66' 66 "hostvm: --share '$work/file': cannot share it: Not a directory" \
            "$hostvm" run --share "$work/file" "$hello"
    fi
}

test_output_that_cannot_be_written() {
    local option
    for option in --version --help check; do
        [ $option != check ] || has_kvm || continue
        run sh -c "'$hostvm' $option > /dev/full"
        verdict "lost_output_of_${option#--}_is_71" 71 \
            'hostvm: cannot write to standard output: No space left on device'
    done
}

# --- files ---

# bad_kernel NAME REASON FILE
bad_kernel() {
    complains "$1" 66 "hostvm: cannot load kernel '$3': $2" "$hostvm" run "$3"
}

test_bad_kernels() {
    local wanted='; give a bzImage, an ELF file, an arm64 Image or flat code'
    cd "$work" || return
    : > empty
    mkdir dir
    mkfifo pipe
    printf '#!/bin/sh\necho hello\n' > script
    printf 'just text\n' > text
    printf '\211PNG\r\n\032\n\0\0\0\rIHDR\0\0\0\1' > png
    printf '\377\330\377\340\0\020JFIF\0\1' > jpeg
    printf '%%PDF-1.7\n\200\201' > pdf
    printf 'PK\003\004\024\0\0\0' > zip
    head -c 100000 /dev/zero > zeros
    head -c 3000 "$hello" > truncated
    head -c 20 "$hello" > stub
    printf '\177ELF\002\001\001' > elf
    truncate -s 3M big
    printf '\372' | dd of=big conv=notrunc status=none
    bad_kernel 'missing_kernel_is_66' 'No such file or directory' none
    bad_kernel 'kernel_without_a_name_is_66' 'No such file or directory' ''
    bad_kernel 'empty_kernel_is_66' 'the file is empty' empty
    bad_kernel 'directory_as_kernel_is_66' 'it is a directory; give an ordinary file' dir
    bad_kernel 'pipe_as_kernel_is_66' 'it is a pipe; give an ordinary file' pipe
    bad_kernel 'device_as_kernel_is_66' 'it is a device; give an ordinary file' /dev/zero
    bad_kernel 'script_as_kernel_is_66' "it is a script$wanted" script
    bad_kernel 'text_as_kernel_is_66' "it is a text file$wanted" text
    bad_kernel 'png_as_kernel_is_66' "it is a picture (PNG)$wanted" png
    bad_kernel 'jpeg_as_kernel_is_66' "it is a picture (JPEG)$wanted" jpeg
    bad_kernel 'pdf_as_kernel_is_66' "it is a PDF document$wanted" pdf
    bad_kernel 'zip_as_kernel_is_66' "it is a zip archive$wanted" zip
    bad_kernel 'zeros_as_kernel_are_66' "it is nothing but zeros$wanted" zeros
    bad_kernel 'elf_cut_in_its_header_is_66' \
        'the file ends at byte 7, an ELF header takes 64; is the download complete?' elf
    bad_kernel 'kernel_cut_in_its_header_is_66' \
        'the file ends at byte 20, an ELF header takes 52; is the download complete?' stub
    bad_kernel 'flat_code_too_large_is_66' \
        'it is taken for flat code, whose 3145728 bytes at 0x1000 do not fit below 0xa0000; give an ELF file' big
    run "$hostvm" run truncated
    if [[ $(cat err) =~ ^"hostvm: cannot load kernel 'truncated': the file ends at byte 3000, its headers promise "[0-9]+"; is the download complete?"$ ]]
    then verdict 'truncated_kernel_is_66' 66 "$(cat err)"
    else fail 'truncated_kernel_is_66' 'another text'; fi
    cd - > /dev/null || exit
}

# The kernel that Debian ships, where it was fetched before.
test_debian_kernel() {
    local cache=${HOSTVM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/}/.cache}/hostvm} kernel n
    kernel=$(find "$cache" -path "*-$(uname -m)/vmlinuz" 2> /dev/null | head -n 1)
    if [ -z "$kernel" ] || [ "$(uname -m)" != x86_64 ]; then
        skip 'truncated_bzimage_is_66' 'no bzImage in the cache; scripts/box --kernel-path fetches one'
        return
    fi
    local promised=$(($(stat -c %s "$kernel") / 16 * 16))
    for n in 600 1000 3000000; do
        head -c $n "$kernel" > "$work/cut"
        run "$hostvm" run "$work/cut"
        if [[ $(cat "$work/err") =~ ^"hostvm: cannot load kernel '$work/cut': the file ends at byte $n, "("in the middle of its setup header"|"its setup header promises "[0-9]+)"; is the download complete?"$ ]]
        then verdict "bzimage_cut_at_${n}_is_66" 66 "$(cat "$work/err")"
        else fail "bzimage_cut_at_${n}_is_66" "another text (promised: $promised)"; fi
    done
    run "$hostvm" run "$kernel" --mem 2M
    if [[ $(cat "$work/err") =~ ^"hostvm: cannot load kernel '$kernel': its segment of 0x"[0-9a-f]+" bytes at 0x1000000 lies outside RAM [0x0..0x200000); give more RAM"$ ]]
    then verdict 'kernel_larger_than_memory_is_66' 66 "$(cat "$work/err")"
    else fail 'kernel_larger_than_memory_is_66' 'another text'; fi
    complains 'command_line_too_long_for_linux_is_64' 64 \
        'hostvm: cannot pass the command line: it has 2048 characters, the kernel takes 2047' \
        "$hostvm" run "$kernel" --append "$(printf '%2048s' x)"
    complains 'module_for_linux_is_64' 64 'hostvm: --module is for multiboot and PVH kernels; this one takes an --initrd' \
        "$hostvm" run "$kernel" --module "$hello"
}

test_bad_initrds() {
    cd "$work" || return
    truncate -s 300M large
    complains 'missing_initrd_is_66' 66 "hostvm: cannot load initrd 'none': No such file or directory" \
        "$hostvm" run "$hello" --initrd none
    complains 'empty_initrd_is_66' 66 "hostvm: cannot load initrd 'empty': the file is empty" \
        "$hostvm" run "$hello" --initrd empty
    complains 'directory_as_initrd_is_66' 66 "hostvm: cannot load initrd 'dir': it is a directory; give an ordinary file" \
        "$hostvm" run "$hello" --initrd dir
    complains 'missing_module_is_66' 66 "hostvm: cannot load initrd 'none': No such file or directory" \
        "$hostvm" run "$hello" --module 'none with text'
    run "$hostvm" run "$hello" --initrd large
    if [[ $(cat err) =~ ^"hostvm: cannot load initrd 'large': its 307200 KiB do not fit into [0x"[0-9a-f]+"..0x10000000) between the kernel and the end of RAM; give more RAM"$ ]]
    then verdict 'initrd_larger_than_memory_is_66' 66 "$(cat err)"
    else fail 'initrd_larger_than_memory_is_66' 'another text'; fi
    cd - > /dev/null || exit
}

# --- guests ---

test_boots() {
    local text='one "two"  three' module
    prints 'hello_boots_by_multiboot' 0 "$(greeting multiboot '' "$text")" "$hostvm" run "$hello" --append "$text"
    prints 'hello_boots_by_pvh' 0 "$(greeting PVH '' "$text")" "$hostvm" run "$hello.pvh" --append "$text"
    prints 'hello_boots_as_bare_elf' 0 $'hello from hostvm\'s test kernel\nbooted by its entry point\ncommand line: ' \
        "$hostvm" run "$hello.bare"
    prints 'one_dash_options_work' 0 "$(greeting multiboot '' x | sed 's/0x10000000)/0x4000000)/')" \
        "$hostvm" run -kernel "$hello" -append x -m 64 -smp 2
    prints 'equals_sign_joins_option_and_argument' 0 "$(greeting multiboot '' x | sed 's/0x10000000)/0x4000000)/')" \
        "$hostvm" run --kernel="$hello" --append=x --mem=64M --cpus=1
    prints 'smallest_memory_works' 0 "$(greeting multiboot | sed 's/0x10000000)/0x200000)/')" \
        "$hostvm" run "$hello" --mem 2M
    prints 'memory_above_4_gib_is_listed' 0 \
        "$(greeting multiboot | sed 's/0x10000000) type 1/0xc0000000) type 1\nmemory: [0x100000000..0x180000000) type 1/')" \
        "$hostvm" run "$hello" --mem 5G
    prints 'as_many_processors_as_there_can_be_work' 0 "$(greeting multiboot)" "$hostvm" run "$hello" --cpus 254

    head -c 5000 /dev/zero > "$work/five"
    printf 'abc' > "$work/three"
    for module in multiboot:hello PVH:hello.pvh; do
        prints "${module%%:*}_modules_come_with_their_text" 0 \
            "$(greeting "${module%%:*}" $'module: [0xfffe000..0xffff388) \nmodule: [0xfffd000..0xfffd003) a b=c\nmodule: [0xfffc000..0xfffc003) ')" \
            "$hostvm" run "$guests/${module#*:}" --initrd "$work/five" --module "$work/three a b=c" --module "$work/three"
    done
    complains 'command_line_too_long_for_multiboot_is_64' 64 \
        'hostvm: cannot write the multiboot information: it does not fit below 0x9000; shorten the command line' \
        "$hostvm" run "$hello" --append "$(printf '%13000s' x)"
    complains 'command_line_too_long_for_pvh_is_64' 64 \
        'hostvm: cannot write the PVH start information: it does not fit below 0x9000; shorten the command line' \
        "$hostvm" run "$hello.pvh" --append "$(printf '%13000s' x)"
}

test_ends() {
    local n
    run "$hostvm" run "$hello" --append reboot
    verdict 'reset_is_0' 0 ''
    for n in 0 3 127; do
        run "$hostvm" run "$hello" --debug-exit --append "exit=$n"
        verdict "debug_exit_with_${n}_is_$((n * 2 + 1))" $((n * 2 + 1)) ''
    done
    flat exit '\260\025\346\364\364'            # mov al,21; out 0xf4,al; hlt
    complains 'flat_code_runs_in_real_mode' 43 '' "$hostvm" run "$work/exit" --debug-exit
    flat sleep '\272\000\006\260\064\356\364'   # mov dx,0x600; mov al,5<<2|1<<5; out dx,al; hlt
    complains 'sleep_register_powers_off' 0 '' "$hostvm" run "$work/sleep"
    flat keyboard '\260\376\346\144\364'        # mov al,0xfe; out 0x64,al; hlt
    complains 'keyboard_controller_resets' 0 '' "$hostvm" run "$work/keyboard"
    flat reset '\272\371\014\260\006\356\364'   # mov dx,0xcf9; mov al,6; out dx,al; hlt
    complains 'reset_register_resets' 0 '' "$hostvm" run "$work/reset"
    flat bios '\352\360\377\000\360'          # jmp f000:fff0
    complains 'reset_vector_resets' 0 '' "$hostvm" run "$work/bios"
}

# crashes NAME GUEST FIRST_LINE CODE [OPTION...]: 70, and a report of the registers and the code or its absence.
crashes() {
    local name=$1 guest=$2 first=$3 code=$4
    shift 4
    run "$hostvm" run "$guests/$guest" "$@"
    if [ $status -ne 70 ]; then
        fail "$name" "status $status, not 70"
    elif [ "$(head -n 1 "$work/err")" != "hostvm: guest: vcpu 0 cannot go on: $first" ]; then
        fail "$name" "the first line should be: $first"
    elif ! grep -qxE 'hostvm:   rip [0-9a-f]{16} rsp [0-9a-f]{16} rflags [0-9a-f]{8}' "$work/err" ||
        ! grep -qxE 'hostvm:   cr0 [0-9a-f]{8} cr2 [0-9a-f]{16} cr3 [0-9a-f]{16} cr4 [0-9a-f]{8} efer [0-9a-f]+' "$work/err"
    then
        fail "$name" 'there should be registers'
    elif ! grep -qE "^hostvm:   code at rip: $code" "$work/err"; then
        fail "$name" "there should be the code: $code"
    elif ! grep -q '^hostvm:   exit -0: ' "$work/err" || grep -qv '^hostvm: ' "$work/err"; then
        fail "$name" 'there should be the last exits, and nothing of another form'
    else
        pass "$name"
    fi
}

test_crashes() {
    crashes 'triple_fault_is_70' triple 'triple fault' '0f 0b( [0-9a-f]{2})+$'
    crashes 'crash_with_two_processors_is_70' hello 'triple fault' '0f 0b( [0-9a-f]{2})+$' --cpus 2 --append crash
    crashes 'jump_to_no_memory_is_70' jump_hole \
        'KVM cannot emulate the instruction, or there is no memory where it should be' \
        'guest-physical 0x2f000000 has no memory$'
    crashes 'instruction_that_kvm_cannot_emulate_is_70' unemulatable \
        'KVM cannot emulate the instruction, or there is no memory where it should be' 'd9 30( [0-9a-f]{2})+$'
}

# --- signals ---

# dies_of NAME GUEST SIGNAL READY...
dies_of() {
    local name=$1 signal=$2 number text
    shift 2
    number=$(kill -l "$signal")
    case $signal in
    INT) text=Interrupt ;; TERM) text=Terminated ;; HUP) text=Hangup ;; QUIT) text=Quit ;;
    esac
    if ! await "$@"; then
        kill -9 $pid
        ended
        fail "$name" 'the guest did not start'
        return
    fi
    kill -"$signal" $pid
    ended
    verdict "$name" $((128 + number)) "hostvm: ended by signal $number ($text)"
}

test_signals() {
    local signal
    for signal in INT TERM HUP QUIT; do
        start env --default-signal=INT,QUIT "$hostvm" run "$guests/spin"
        dies_of "SIG${signal}_ends_a_busy_vm" $signal has_vcpu $pid
    done
    start "$hostvm" run "$hello" --append hang --cpus 2
    dies_of 'SIGTERM_ends_a_busy_vm_of_two_processors' TERM has_said 'command line: hang'
    start "$hostvm" run "$hello" --append halt
    dies_of 'SIGTERM_ends_a_halted_vm' TERM has_said 'command line: halt'
    # Nobody reads the pipe: writing to it stops for good.
    flat flood '\272\370\003\260\170\356\353\375'       # mov dx,0x3f8; mov al,'x'; again: out dx,al; jmp again
    mkfifo "$work/clogged"
    exec 7<> "$work/clogged"
    "$hostvm" run "$work/flood" > "$work/clogged" 2> "$work/err" < /dev/null 7>&- 8>&- &
    pid=$!
    started+=($pid)
    dies_of 'SIGTERM_ends_a_vm_whose_output_nobody_reads' TERM is_clogged
    exec 7>&-
    start env --ignore-signal=HUP "$hostvm" run "$hello" --append hang
    if await has_said 'command line: hang'; then
        kill -HUP $pid
        await has_taken_signals $pid
        kill -TERM $pid 2> /dev/null
    fi
    ended
    verdict 'ignored_SIGHUP_stays_ignored' 143 'hostvm: ended by signal 15 (Terminated)'
}

# No signal is pending.
has_taken_signals() {
    ! grep -qE "^(SigPnd|ShdPnd):.*[1-9a-f]" "/proc/$1/status"
}

# The pipe takes no more.
is_clogged() {
    has_vcpu $pid && ! head -c 4096 /dev/zero | dd of="$work/clogged" bs=4096 oflag=nonblock status=none
}

# --- standard input and output ---

test_standard_input() {
    local name
    printf 'some input\n' > "$work/text"
    head -c 1000000 /dev/zero > "$work/zeros"
    for name in text zeros; do
        input=$work/$name run "$hostvm" run "$hello"
        verdict "input_from_a_file_of_${name}_is_fine" 0 ''
    done
    run "$hostvm" run "$hello" <&-
    verdict 'input_from_dev_null_is_fine' 0 ''
    run sh -c "exec '$hostvm' run '$hello' <&-"
    verdict 'closed_input_is_fine' 0 ''
    run bash -c ": | '$hostvm' run '$hello'"
    verdict 'pipe_closed_at_once_is_fine' 0 ''
    mkfifo "$work/input"
    exec 5<> "$work/input"
    input=$work/input start "$hostvm" run "$hello" --append hang 5>&-
    await has_said 'command line: hang'
    exec 5>&-
    dies_of 'pipe_closed_later_leaves_the_guest_running' TERM true
}

test_standard_output() {
    run bash -c "'$hostvm' run '$hello' > /dev/full"
    verdict 'full_disk_does_not_stop_a_guest' 0 ''
    run bash -c "set -o pipefail; '$hostvm' run '$hello' | true"
    verdict 'reader_that_left_does_not_stop_a_guest' 0 ''
    run sh -c "exec '$hostvm' run '$hello' >&-"
    verdict 'closed_output_is_fine' 0 ''
}

# What guest and library print must not go into a descriptor of the VM that took the number of a closed one.
test_closed_descriptors() {
    local fd links=
    "$hostvm" run "$guests/spin" <&- >&- 2>&- &
    pid=$!
    started+=($pid)
    await has_vcpu $pid
    for fd in 0 1 2; do
        links+=" $(readlink /proc/$pid/fd/$fd)"
    done
    kill -TERM $pid
    : > "$work/live"
    ended
    : > "$work/err"
    if [ "$links" = ' /dev/null /dev/null /dev/null' ]; then
        verdict 'closed_standard_descriptors_are_not_taken_by_the_vm' 143 ''
    else
        fail 'closed_standard_descriptors_are_not_taken_by_the_vm' "they are:$links"
    fi
}

# --- terminal ---

# on_terminal ARGUMENT...: hostvm on a terminal of its own, whose keyboard is descriptor 6, and whose screen is $work/live.
on_terminal() {
    rm -f "$work/keys" "$work/pid" "$work/after" "$work/status"
    mkfifo "$work/keys"
    : > "$work/live"
    : > "$work/err"
    printf '%s\n' "tty > '$work/tty'" "stty -g > '$work/before'" \
        "sh -c 'echo \$\$ > \"$work/pid\"; exec \"\$@\"' sh $(printf '%q ' "$@") 2> '$work/err'" \
        "echo \$? > '$work/status.new'" "stty -g > '$work/after'" "mv '$work/status.new' '$work/status'" > "$work/session"
    script -qfc "sh '$work/session'" /dev/null < "$work/keys" > "$work/live" 2>&1 &
    pid=$!
    started+=($pid)
    exec 6> "$work/keys"
}

is_raw() {
    stty -F "$(cat "$work/tty")" -a | grep -q -e '-icanon'
}

is_cooked() {
    [ "$(stty -F "$(cat "$work/tty")" -g)" = "$(cat "$work/before")" ]
}

is_stopped() {
    [ "$(process_state "$(cat "$work/pid")")" = T ]
}

# after_terminal NAME STATUS ERRORS
after_terminal() {
    if ! await test -e "$work/status"; then
        kill -9 "$(cat "$work/pid")" 2> /dev/null
        exec 6>&-
        ended
        fail "$1" 'it did not end'
        return
    fi
    exec 6>&-
    ended
    status=$(cat "$work/status")
    if [ "$(cat "$work/before")" != "$(cat "$work/after")" ]; then
        fail "$1" 'the terminal is not as it was before'
    else
        verdict "$1" "$2" "$3"
    fi
}

test_terminal() {
    if ! command -v script > /dev/null; then
        skip 'ctrl_a_x_ends_the_vm_and_restores_the_terminal' 'script (bsdutils) is not installed'
        return
    fi
    local help='hostvm: Ctrl-a x ends the VM, Ctrl-a a sends Ctrl-a, Ctrl-a h shows this'

    on_terminal "$hostvm" run "$hello" --append hang
    if await has_said 'command line: hang' && await is_raw; then pass 'terminal_is_raw_while_a_guest_runs'
    else fail 'terminal_is_raw_while_a_guest_runs' "it is not: $(stty -F "$(cat "$work/tty")" -a)"; fi
    printf '\001h' >&6
    if await has_said "$help"; then pass 'ctrl_a_h_shows_help'; else fail 'ctrl_a_h_shows_help' 'there is no help'; fi
    printf '\001x' >&6
    after_terminal 'ctrl_a_x_ends_the_vm_and_restores_the_terminal' 0 ''

    on_terminal "$hostvm" run "$hello" --append hang --cpus 2
    await has_said 'command line: hang'
    printf 'the guest takes nothing of this' >&6
    printf '\001x' >&6
    after_terminal 'ctrl_a_x_is_seen_behind_input_that_the_guest_does_not_take' 0 ''

    on_terminal "$hostvm" run "$hello" --append hang
    await has_said 'command line: hang'
    printf '\003\032\034' >&6
    printf '\001h' >&6
    await has_said "$help"
    kill -TERM "$(cat "$work/pid")"
    after_terminal 'keys_for_signals_are_the_guests_and_SIGTERM_restores_the_terminal' 143 \
        'hostvm: ended by signal 15 (Terminated)'

    on_terminal "$hostvm" run "$hello"
    after_terminal 'power_off_restores_the_terminal' 0 ''
    on_terminal "$hostvm" run "$work/none"
    after_terminal 'error_restores_the_terminal' 66 "hostvm: cannot load kernel '$work/none': No such file or directory"
    on_terminal "$hostvm" run "$hello" --append hang
    await has_said 'command line: hang'
    kill -SEGV "$(cat "$work/pid")"
    await test -e "$work/status"
    sed -i '/^Segmentation fault/d; /^AddressSanitizer/d' "$work/err"
    has_sanitizer && echo 139 > "$work/status" && : > "$work/err"
    after_terminal 'death_by_a_fault_restores_the_terminal' 139 ''

    on_terminal "$hostvm" run "$hello" --append hang
    await has_said 'command line: hang'
    await is_raw
    kill -TSTP "$(cat "$work/pid")"
    if await is_stopped && is_cooked; then pass 'SIGTSTP_stops_the_vm_and_gives_the_terminal_back'
    else fail 'SIGTSTP_stops_the_vm_and_gives_the_terminal_back' "state $(process_state "$(cat "$work/pid")")"; fi
    kill -CONT "$(cat "$work/pid")"
    if await is_raw; then pass 'SIGCONT_makes_the_terminal_raw_again'
    else fail 'SIGCONT_makes_the_terminal_raw_again' 'it is not'; fi
    printf '\001x' >&6
    after_terminal 'ctrl_a_x_works_after_SIGCONT' 0 ''
}

# --- tables ---

table() {
    head -c 4 "$work/acpi/$1"
}

test_refusals() {
    local text='hostvm: a PC has no device tree: --dtb and --dump-dtb are for arm64 machines'
    complains 'device_tree_of_a_pc_is_64' 64 "$text" "$hostvm" run --dtb "$hello" "$hello"
    complains 'dump_of_a_pcs_device_tree_is_64' 64 "$text" "$hostvm" run --dump-dtb "$work/dtb"
    complains 'performance_counters_of_a_pc_are_64' 64 \
        'hostvm: a PC has the performance counters that KVM gives it: --pmu is for arm64 machines' "$hostvm" run --pmu "$hello"
}

test_dump_acpi() {
    mkdir "$work/acpi"
    complains 'dump_acpi_needs_no_kernel' 0 '' "$hostvm" run --dump-acpi "$work/acpi" --cpus 3
    : > "$work/out"
    if [ "$(ls "$work/acpi")" = $'APIC.aml\nDSDT.aml\nFACP.aml\nXSDT.aml\nrsdp.aml' ] &&
        [ "$(table APIC.aml)$(table DSDT.aml)$(table FACP.aml)$(table XSDT.aml)$(table rsdp.aml)" = APICDSDTFACPXSDT'RSD ' ]
    then pass 'dump_acpi_writes_a_file_per_table'; else fail 'dump_acpi_writes_a_file_per_table' "$(ls -l "$work/acpi")"; fi
    complains 'dump_acpi_to_a_missing_directory_is_71' 71 \
        "hostvm: cannot write ACPI tables to '$work/none': No such file or directory" "$hostvm" run --dump-acpi "$work/none"
    complains 'dump_acpi_to_what_is_no_directory_is_71' 71 \
        "hostvm: cannot write ACPI tables to '/dev/null': Not a directory" "$hostvm" run --dump-acpi /dev/null
    if ! can_unshare; then
        skip 'dump_acpi_to_a_full_disk_is_71' 'mounting needs root'
        return
    fi
    complains 'dump_acpi_to_a_full_disk_is_71' 71 \
        "hostvm: cannot write ACPI tables to '$work/full': No space left on device" \
        unshare -m sh -c "mkdir '$work/full' && mount -t tmpfs -o size=4k full '$work/full' &&
            head -c 4096 /dev/zero > '$work/full/it' && exec '$hostvm' run --dump-acpi '$work/full'"
}

# --- hosts that refuse ---

can_unshare() {
    [ "$(id -u)" -eq 0 ] && unshare -m true 2> /dev/null
}

# without_kvm NAME REASON HELP PREPARATION [WRAPPER...]: for run and check, where /dev is what the preparation makes it.
without_kvm() {
    local name=$1 reason=$2 help="hostvm: what would help: $3" prepare=$4
    shift 4
    complains "run_with_$name" 69 "hostvm: $reason"$'\n'"$help" \
        unshare -m sh -c "$prepare && exec \"\$@\"" sh "$@" "$hostvm" run "$hello"
    complains "check_with_$name" 69 "hostvm: no VM can run here: $reason"$'\n'"$help" \
        unshare -m sh -c "$prepare && exec \"\$@\"" sh "$@" "$hostvm" check
}

test_no_kvm() {
    if ! can_unshare; then
        skip 'run_with_no_kvm_device' 'hiding /dev/kvm needs root'
        return
    fi
    local load='load the module kvm_intel or kvm_amd' minor
    minor=$(sed -n 's/^ *\([0-9]*\) kvm$/\1/p' /proc/misc)
    without_kvm 'no_kvm_device' 'cannot open /dev/kvm: No such file or directory' \
        "$load, enable virtualisation in the firmware, or enable nested virtualisation when this machine is itself virtual" \
        'mount -t tmpfs none /dev'
    without_kvm 'another_device_in_its_place' 'cannot use /dev/kvm: it does not answer as KVM: Inappropriate ioctl for device' \
        "another device has its name; remove that, then $load" \
        'mount -t tmpfs none /dev && mknod /dev/kvm c 1 3'
    without_kvm 'a_device_without_driver' 'cannot open /dev/kvm: No such device or address' \
        'enable virtualisation in the firmware; no processor extension answers' \
        'mount -t tmpfs none /dev && mknod /dev/kvm c 249 77'
    without_kvm 'no_permission_on_kvm' 'cannot open /dev/kvm: Permission denied' \
        'add your user to the group kvm and log in again, or run as root' \
        "mount -t tmpfs none /dev && mknod -m 600 /dev/kvm c 10 ${minor:-232}" \
        setpriv --reuid=65534 --regid=65534 --clear-groups
}

has_kvm() {
    "$hostvm" check > /dev/null 2>&1
}

has_sanitizer() {
    grep -q __asan_init "$hostvm"
}

# From three descriptors on (what a shared library takes is not ours), until there are enough.
test_few_descriptors() {
    local n
    for ((n = 3; n < 40; n++)); do
        run prlimit --nofile=$n "$hostvm" run "$hello"
        [ $status -ne 0 ] || break
        [ $status -ne 127 ] || continue
        if [ $status -ne 71 ] || ! [[ $(cat "$work/err") =~ ^"hostvm: cannot "[^$'\n']+": Too many open files"[^$'\n']*$ ]]; then
            fail 'too_few_descriptors_are_71_and_one_line' "with $n descriptors, status $status"
            return
        fi
    done
    if [ $n -gt 4 ] && [ $n -lt 40 ]; then pass 'too_few_descriptors_are_71_and_one_line'
    else fail 'too_few_descriptors_are_71_and_one_line' "$n are enough?"; fi
}

test_little_memory() {
    if has_sanitizer; then
        skip 'too_few_addresses_are_71_and_one_line' 'the sanitizer itself needs terabytes of them'
        return
    fi
    local mib
    for mib in 20 200 1000 4000 10000 16500; do
        run prlimit --as=${mib}000000 "$hostvm" run "$hello" --mem 1G
        if [ $status -ne 71 ] || ! [[ $(cat "$work/err") =~ ^"hostvm: cannot "[^$'\n']+"ulimit -v"[^$'\n']*$ ]]; then
            fail 'too_few_addresses_are_71_and_one_line' "with $mib MiB, status $status"
            return
        fi
    done
    pass 'too_few_addresses_are_71_and_one_line'
}

# --- the rest ---

test_two_at_a_time() {
    local first second
    start "$hostvm" run "$hello" --append hang
    first=$pid
    await has_said 'command line: hang'
    prints 'vm_runs_beside_another' 0 "$(greeting multiboot)" "$hostvm" run "$hello"
    cp "$work/live" "$work/first"
    "$hostvm" run "$guests/spin" > /dev/null 2>&1 < /dev/null &
    second=$!
    started+=($second)
    await has_vcpu $second
    kill -KILL $second
    wait $second 2> /dev/null
    pid=$first
    cp "$work/first" "$work/live"
    if kill -0 $first; then dies_of 'vm_outlives_another_that_was_killed' TERM true
    else fail 'vm_outlives_another_that_was_killed' 'it is gone'; fi
}

# In a directory and with a TMPDIR that are its own.
test_nothing_is_left() {
    local before after
    mkdir "$work/own"
    before=$(ls -A /dev/shm "$work/own")
    run sh -c "cd '$work/own' && TMPDIR='$work/own' HOME='$work/own' exec '$hostvm' run '$hello' --cpus 2"
    after=$(ls -A /dev/shm "$work/own")
    if [ "$before" = "$after" ]; then verdict 'no_file_is_left_behind' 0 ''; else fail 'no_file_is_left_behind' "$after"; fi
    # A new session: whatever hostvm started and left would still be in it.
    run setsid -w sh -c "echo \$\$ > '$work/session.id'; exec '$hostvm' run '$hello' --cpus 2"
    if [ -z "$(ps -o pid= -s "$(cat "$work/session.id")")" ]; then verdict 'no_process_is_left_behind' 0 ''
    else fail 'no_process_is_left_behind' "$(ps -s "$(cat "$work/session.id")")"; fi
}

test_check() {
    run "$hostvm" check
    if [ "$(head -n 1 "$work/out")" != 'VMs can run here.' ] || [ "$(wc -l < "$work/out")" -ne 7 ]; then
        fail 'check_tells_what_kvm_can_do' 'another text'
    else
        verdict 'check_tells_what_kvm_can_do' 0 ''
    fi
}

test_information
test_usage
test_output_that_cannot_be_written
test_refusals
test_dump_acpi
test_no_kvm
if has_kvm; then
    test_check
    test_bad_kernels
    test_debian_kernel
    test_bad_initrds
    test_sockets_and_folders
    test_boots
    test_ends
    test_crashes
    test_signals
    test_standard_input
    test_standard_output
    test_closed_descriptors
    test_terminal
    test_few_descriptors
    test_little_memory
    test_two_at_a_time
    test_nothing_is_left
else
    skip 'everything_that_runs_a_guest' "$("$hostvm" check 2>&1 | head -n 1)"
fi
[ $failures -eq 0 ]
