#!/bin/bash
# Here live the tests of debian_session.sh, with a script in the place of a guest: what it says when a guest goes wrong.
set -u
export LC_ALL=C

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/test_session.XXXXXX")
trap 'rm -rf "$work"' EXIT
failures=0

# A console as a guest with systemd has it; WRONG names what goes wrong.
cat > "$work/guest" <<'GUEST'
#!/bin/bash
[ "$WRONG" != no_login ] || { echo 'Kernel panic'; echo 'no room for a guest' >&2; exit 3; }
printf 'Booting\r\n\r\nDebian GNU/Linux 12 debian ttyS0\r\n\r\ndebian login: '
read -r user
printf 'Password: '
read -r password
if [ "$user-$password" != root-debian ] || [ "$WRONG" = password ]; then
    printf '\r\nLogin incorrect\r\ndebian login: '
    exec sleep 100
fi
printf '\r\nroot@debian:~# '
read -r _
printf 'exec sh\r\n# '
while read -r line; do
    case $line in
    *=re*) printf '%s\r\n=ready=\r\n' "$line" ;;
    poweroff) break ;;
    *) [ "$WRONG" != silence ] || exec sleep 100
       eval "$line" | sed 's/$/\r/' ;;
    esac
done
[ "$WRONG" = no_power_down ] || printf 'reboot: Power down\r\n'
[ "$WRONG" != status ] || exit 5
[ "$WRONG" != no_end ] || exec sleep 100
GUEST
chmod +x "$work/guest"

# session NAME WRONG STATUS TEXT...: the session ends with the status, and says each text in a line.
session() {
    local name=$1 wrong=$2 status=$3 ended=0 text missing=
    shift 3
    WRONG=$wrong tests/linux/debian_session.sh --limit "${limit:-60}" --log "$work/log" --name it --run 'adds=echo $((1 + 2))' \
        --run "${run:-ends=true}" -- "$work/guest" > "$work/output" 2>&1 || ended=$?
    for text; do
        grep -qxF -e "$text" "$work/output" || missing+=" '$text'"
    done
    if [ $ended -eq "$status" ] && [ -z "$missing" ]; then
        echo "ok - $name"
    else
        echo "not ok - $name"
        { echo "status $ended, not $status; missing:$missing"; cat "$work/output"; } | sed 's/^/# /'
        failures=$((failures + 1))
    fi
}

session 'session_goes_through' '' 0 'ok - it_reaches_its_login' 'ok - it_lets_root_in' '# 3' 'ok - it_adds' 'ok - it_ends' \
    'ok - it_powers_off'
if [ "$(grep -c 'login: ' "$work/log")" -eq 1 ] && ! grep -q $'\r' "$work/log"; then echo 'ok - log_has_the_console'
else echo 'not ok - log_has_the_console'; failures=$((failures + 1)); fi
session 'machine_that_ends_early_is_told' no_login 1 'not ok - it_reaches_its_login' \
    "# the machine ended; it did not show ' login: '" '#   Kernel panic' '#   standard error: no room for a guest'
limit=2 session 'password_that_is_refused_is_told' password 1 'not ok - it_lets_root_in' \
    "# it did not show '# ' within 2 s, the time limit" '#   Login incorrect'
limit=2 session 'command_without_end_is_told' silence 1 'not ok - it_adds' \
    '# it did not come to its end within 2 s, the time limit'
run='fails=echo why; (exit 4)' session 'command_that_fails_is_told' '' 1 '# why' 'not ok - it_fails' \
    "# 'echo why; (exit 4)' ended with status 4"
session 'power_off_without_a_word_is_told' no_power_down 1 'not ok - it_powers_off' '# its kernel did not say so'
session 'status_of_the_machine_is_told' status 1 'not ok - it_powers_off' '# the VMM ended with status 5, not 0'
limit=2 session 'machine_that_does_not_end_is_told' no_end 1 'not ok - it_powers_off' \
    '# it did not end within 2 s, the time limit'
[ $failures -eq 0 ]
