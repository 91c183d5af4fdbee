#!/bin/bash
# Here lives a session on a Debian guest's console: until its login, in, some commands, and its power off.
#
#   tests/linux/debian_session.sh [--limit S] [--log FILE] [--name NAME] [--run CHECK=COMMAND]... [--] VMM [ARGUMENT]...
#
# VMM is a command whose standard input and output are a serial console of the guest, and that ends with status 0 when
# the guest powers off. Each COMMAND must end with status 0. A line per check: NAME (debian, unless told) and what it
# is about; with when it was done, in seconds from the start, or what was seen instead. --limit is for all of it (240);
# --log keeps what came from the console. Exit 1 on a failure.
set -u
export LC_ALL=C

limit=240
log=
name=debian
checks=()
while [ $# -gt 0 ]; do
    case $1 in
    --limit) limit=$2; shift 2 ;;
    --log) log=$2; shift 2 ;;
    --name) name=$2; shift 2 ;;
    --run) checks+=("$2"); shift 2 ;;
    --) shift; break ;;
    -*) echo "debian_session: there is no option $1" >&2; exit 64 ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || { echo "debian_session: no command of a VMM given" >&2; exit 64; }

work=$(mktemp -d "${TMPDIR:-/tmp}/debian_session.XXXXXX")
pid=
started=${EPOCHREALTIME/./}

clean_up() {
    [ -z "$pid" ] || kill -9 "$pid" 2> /dev/null
    [ -z "$log" ] || tr -d '\r' < "$work/screen" > "$log"
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 143' INT TERM

# In ms, since the start.
now() {
    echo $(((${EPOCHREALTIME/./} - started) / 1000))
}

pass() {
    local ms
    ms=$(now)
    printf 'ok - %s_%s\n# after %d.%01d s\n' "$name" "$1" $((ms / 1000)) $((ms % 1000 / 100))
}

# fail CHECK TEXT: ends the session; with what the console showed last, and the VMM's first words.
fail() {
    printf 'not ok - %s_%s\n# %s\n' "$name" "$1" "$2"
    tail -n 12 "$work/screen" | tr -cd '\n\t -~' | sed 's/^/#   /'
    head -n 8 "$work/err" | sed 's/^/#   standard error: /'
    exit 1
}

# expect TEXT [WORDS]: leaves in $seen what the console shows up to TEXT; status 1, and why in $reason, when that does
# not come. WORDS say what it is that is waited for.
expect() {
    local text=$1 what=${2:-show \'$1\'} chunk left status
    seen=
    while [[ $seen != *"$text" ]]; do
        left=$((limit * 1000 - $(now)))
        status=142
        chunk=
        [ $left -le 0 ] || {
            IFS= read -r -t "$((left / 1000)).$((left % 1000 / 100))1" -d "${text: -1}" -u 7 chunk
            status=$?
        }
        seen+=$chunk
        printf '%s' "$chunk" >> "$work/screen"
        if [ $status -ne 0 ]; then
            reason="the machine ended; it did not $what"
            [ $status -le 128 ] || reason="it did not $what within $limit s, the time limit"
            return 1
        fi
        seen+=${text: -1}
        printf '%s' "${text: -1}" >> "$work/screen"
    done
}

say() {
    printf '%s\n' "$1" >&6
}

# Standard input stays open for the VMM until it ends: its end may be the end of the console.
start() {
    trap '' PIPE
    mkfifo "$work/keys" "$work/lines"
    "$@" < "$work/keys" > "$work/lines" 2> "$work/err" &
    pid=$!
    exec 6> "$work/keys" 7< "$work/lines"
    : > "$work/screen"
}

log_in() {
    expect ' login: ' || fail reaches_its_login "$reason"
    pass reaches_its_login
    say root
    expect 'Password: ' || fail lets_root_in "$reason"
    say debian
    # A shell that neither edits nor colours, then one that shows nothing but what commands print.
    expect '# ' || fail lets_root_in "$reason"
    say 'exec sh'
    expect '# ' || fail lets_root_in "$reason"
    say "stty -echo; PS1=; echo '=re''ady='"
    expect '=ready=' || fail lets_root_in "$reason"
    pass lets_root_in
}

# run CHECK COMMAND: what it prints is shown, as remarks. In one line: apt throws away what was typed ahead.
run() {
    local status
    say "$2; echo \"=\$?=\""
    expect $'\n=' 'come to its end' || fail "$1" "$reason"
    printf '%s' "${seen%=}" | tr -d '\r' | sed '/^$/d; s/^/# /'
    expect '=' 'come to its end' || fail "$1" "$reason"
    status=${seen%=}
    [ "$status" = 0 ] || fail "$1" "'$2' ended with status $status"
    pass "$1"
}

power_off() {
    local status=0
    say poweroff
    # A byte that no console shows: until there is no more.
    expect $'\x01' || true
    [[ $reason != *limit* ]] || fail powers_off "it did not end within $limit s, the time limit"
    wait "$pid" || status=$?
    pid=
    [ $status -eq 0 ] || fail powers_off "the VMM ended with status $status, not 0"
    [[ $(tr -d '\r' < "$work/screen") == *'Power down'* ]] || fail powers_off 'its kernel did not say so'
    pass powers_off
}

start "$@"
log_in
for check in "${checks[@]}"; do
    run "${check%%=*}" "${check#*=}"
done
power_off
