# The part of canary-tui that lives on a target: it starts a step once, keeps what it prints, and knows how it ended.
#
#   sh RUNNER hello  NONCE [ROLLOUT WHO SINCE [FROM]]       look around, tidy up; take the lock if a rollout is named,
#                                                           be it from FROM
#   sh RUNNER unlock NONCE ROLLOUT                          let go of the lock, unless something of it runs here
#   sh RUNNER run    NONCE ID TIMEOUT CAP DIGEST [ROLLOUT [PLACE]]
#                                                           start a step (payload on stdin), follow it to its end
#   sh RUNNER attach NONCE ID OFFSET                        follow from that byte on, counted from 0
#   sh RUNNER void   NONCE ID                               make sure that it never starts, unless it has
#   sh RUNNER cancel NONCE ID GRACE                         the same, and if it has: stop it, and look
#   sh RUNNER plain  NONCE TIMEOUT [ROLLOUT]                a command that dies with its connection
#   sh RUNNER put    NONCE TOKEN SIZE SHA256 MODE [ROLLOUT] a file: its path is the first line of stdin; after "SEND at=N"
#                                                           the second says from which byte on the rest follows, N or 0
#   sh RUNNER discard NONCE TOKEN [ROLLOUT]                 nobody goes on with that: away with what has come of it
#
# Answers are lines on stderr: "CTUI1 NONCE WORD key=value ...". A step's output is on stdout, raw, after the line
# "CTUI1 NONCE DATA": whatever a login shell says before that is not ours. A plain command's stderr is its own after the
# same line there, until the answer; its stdout ends with "CTUI1 NONCE DONE". A payload is a line "LINES BYTES", then as
# many lines that export the environment, then as many bytes of script ("plain": lines of script, for it has no file
# to put them in). A payload that was cut off never runs.
#
# Files of one run, in runs/ beside this script (ID is the controller's, so that a repeated start finds the first):
#   ID.go         "pid start boot digest rollout" of the supervisor: a start makes it, by link(), and nothing else does
#   ID.child      the same three of the command, leader of its own session and process group, and perhaps WHY it is being
#                 stopped; blank until the command exists: its place on the disk is taken before the start
#   ID.out        what it printed, both streams in order
#   ID.exit       ID.go under another name, once its second line says "rc=N why=WORD"
#   ID.why  ID.cancelled  ID.acked    small marks
#   TOKEN.part    the beginning of the names of what has come of a file that was cut, for the next try
#   NONCE.now     "pid start boot rollout" of a plain command or upload of a rollout, while it is at work
# and of all runs: born, the folder's name for itself.
# Beside runs/, in this folder: starts.BOOT, the register. Its first line is its own name; each start of this boot adds
# "ID go pid start boot digest rollout ." and then "ID child ..." of its command, before that command runs.
#
# A file that is not there proves nothing: a cleaner, or a step, may have removed it. So each start leaves its trace in
# two places of different kinds and names, the run's own files and the register, and:
#   - A start happens only where none of them knows the run: it makes ID.go, adds its line, and then reads that its own
#     line is the run's first. Whoever was before it has the run, even if ID.go was removed in between.
#   - "absent" and "void" are said only where all of them agree. Where one has a trace and ID.go is gone, the run is lost
#     (why=removed), unless ID.exit proves how it ended.
#   - Where the register itself is removed, the next one has another name, as has the next runs/. Both names are parts of
#     what is told as "boot": "absent" of another place is no proof to the controller, and a start that was meant for
#     another PLACE is refused. Power that fails may take the last lines with it: that is another boot, and so another place.
#
# The lock, beside this script: "rollout who since" of the one rollout that may start anything here ("last": of the one
# that had it before; "breaking" exists for the moment in which it is taken from somebody). Two never
# act at once: a start shows itself first (ID.go, NONCE.now) and looks at the lock then; who takes the lock writes it
# first and looks for starts of others then. Whichever order these four come in, one of the two sees the other.
#
# Files are made by "true", never by ":", whose failing redirection ends the whole shell. So does a failing fork: what
# must outlive a time without new processes begins again by exec, which needs none ("again", in a trap of EXIT).
# Nothing here may be newer than POSIX sh of 2001, and forks are counted: a step that does nothing must cost little.

protocol=CTUI1
op=$1 nonce=$2
folder=${0%/*}
runs=$folder/runs
shell=${CANARY_TUI_SHELL:-/bin/sh}
acting= # the file that shows it
CANARY_TUI_KILL=${CANARY_TUI_KILL-} # what is known of "kill" must outlive an exec: to find it out may be a fork

say() { printf '%s\n' "$protocol $nonce $*" >&"${told:-2}"; }
die() { rest; say "ERR $*"; exit 97; }

# --- who is who: pid, start time and boot together name a process for ever --------------------------------------------

boot_id() {
    boot=
    read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id && return
    boot=$(sysctl -n kern.boottime 2>/dev/null || who -b 2>/dev/null)
    boot=$(printf '%s' "$boot" | tr -c 'A-Za-z0-9' '_')
}

know_place() { # in $place: the boot, and the names of runs/ and of the register, which an emptied one does not know
    boot_id
    read_name "$runs/born"; born=$name_
    register=$folder/starts.$boot
    read_name "$register"
    place=$boot.$born.$name_
}

read_name() { # FILE: its first line, "none" where that is no name
    name_=
    read -r name_ 2>/dev/null <"$1"
    [ -n "$name_" ] && is_word "$name_" || name_=none
}

give_name() { # FILE: by a link, so that of two that come at once one gives the name
    printf '%s\n' "$$-$nonce" 2>/dev/null >"$1.$$" && {
        ln "$1.$$" "$1" 2>/dev/null || { read_name "$1"; [ "$name_" != none ] || mv -f "$1.$$" "$1"; }
    }
    rm -f "$1.$$"
}

read_stat() { # PID: its state letter, group, start time; all empty if it is gone
    letter= group= start=
    stat_=
    { while IFS= read -r line_ || [ -n "$line_" ]; do stat_="$stat_$line_ "; done; } 2>/dev/null <"/proc/$1/stat" || return
    own=${stat_%% *}
    set -f
    set -- ${stat_##*") "} # a program's name may hold anything, even ") "
    set +f
    letter=$1 group=$3 start=${20}
}

start_of() { # PID: when it started, in $start; empty if it is gone or only waits to be buried
    if [ -r /proc/self/stat ]; then
        read_stat "$1"
        case $letter in Z | X | '') start= ;; esac
    else
        start=$(ps -o lstart= -p "$1" 2>/dev/null | tr -c 'A-Za-z0-9\n' '_')
    fi
}

who_am_i() { # this very process, even in a subshell, where $$ is somebody else
    if [ -r /proc/self/stat ]; then
        read_stat self
    else
        own=$("$shell" -c 'echo $PPID')
        start_of "$own"
    fi
}

alive() { # PID START BOOT
    [ "$3" = "$boot" ] && [ -n "$2" ] || return 1
    start_of "$1"
    [ "$start" = "$2" ]
}

own_folder() { [ -d "$1" ] && [ -O "$1" ] && [ ! -h "$1" ]; }

size_of() { # FILE: in $size
    size=$(wc -c 2>/dev/null <"$1") || size=0
    size=$((size)) # some print blanks around it
}

# --- what is known of a run -------------------------------------------------------------------------------------------

note() { # WHAT: add a line about this very process to the register; a line that was cut off before begins no other
    printf '\n%s\n' "$id $1 ${own:--} ${start:--} ${boot:--} ${digest:--} ${rollout:--} ." 2>/dev/null >>"$register"
}

recall() { # what the register and "forgotten" know of this run: in $noted and $noted_child its first start, in $forgotten
    noted= noted_child= noted_digest= forgotten= old_= id_=${run##*/}
    [ ! -e "$folder/forgotten" ] || old_=$folder/forgotten
    known_=$(LC_ALL=C sed -n -e "/^$id_ [gc].* \.\$/p" -e "/^$id_\$/p" "$register" ${old_:+"$old_"} 2>/dev/null) || return
    set -f
    set -- $known_
    set +f
    while [ $# -gt 0 ]; do
        case $#:$2 in
        [1-7]:*) forgotten=yes; shift ;;
        *:go) [ -n "$noted" ] || noted="$3 $4 $5" noted_digest=$6; shift 8 ;;
        *:child) [ -n "$noted_child" ] || noted_child="$3 $4 $5"; shift 8 ;;
        *) forgotten=yes; shift ;;
        esac
    done
}

has_trace() { # any file that only a start makes; an empty ID.out and a blank ID.child may be of one that was refused
    [ -e "$run.go" ] || has_child || [ -e "$run.exit" ] || [ -s "$run.out" ]
}
has_child() { # one that is empty, not blank, has lost what it said
    [ -e "$run.child" ] || return
    word_=
    read -r word_ _ 2>/dev/null <"$run.child"
    [ -n "$word_" ] || [ ! -s "$run.child" ]
}

read_go() {
    go_pid= go_start= go_boot= go_digest= go_rollout=
    read -r go_pid go_start go_boot go_digest go_rollout _ 2>/dev/null <"$run.go"
}
read_child() { # of the run's own file, or else of the register
    c_pid= c_start= c_boot=
    read -r c_pid c_start c_boot _ 2>/dev/null <"$run.child" && [ -n "$c_boot" ] && return
    recall
    set -- $noted_child
    c_pid=$1 c_start=$2 c_boot=$3
    [ -n "$c_boot" ]
}
child_alive() { read_child && alive "$c_pid" "$c_start" "$c_boot"; }
read_exit() { record=; { read -r _ && read -r record; } 2>/dev/null <"$run.exit"; }

look() { # in $state
    read_go
    if [ -z "$go_boot" ] && [ "$go_pid" != void ] || [ ! -e "$run.go" ]; then look_without_go; return; fi
    if [ "$go_pid" = void ]; then look_at_void; return; fi
    if read_exit; then state="done $record"; return; fi
    if alive "$go_pid" "$go_start" "$go_boot"; then state=running; return; fi
    # Gone without a record, unless it wrote one while we looked.
    if read_exit; then state="done $record"; return; fi
    if [ "$go_boot" != "$boot" ]; then state='lost why=reboot'; else lose supervisor; fi
}

lose() { # WHY
    if ! read_child; then state="lost why=$1 child=unrecorded"
    elif child_alive; then state="lost why=$1 child=alive pid=$c_pid"
    else state="lost why=$1 child=gone"
    fi
}

look_without_go() { # only where all other places agree is that no start
    if read_exit; then state="done $record"; return; fi
    recall || { lose unreadable; return; }
    if [ -n "$forgotten" ]; then state=forgotten
    elif [ -n "$noted$noted_child" ] || has_trace; then
        if read_exit; then state="done $record"; else lose removed; fi
    else state=absent
    fi
}

look_at_void() { # a start leaves none of these where the gate was closed before it
    recall || { lose unreadable; return; }
    if [ -n "$forgotten" ]; then state=forgotten
    elif read_exit; then state="done $record"
    elif [ -n "$noted$noted_child" ] || has_child || [ -s "$run.out" ]; then lose removed
    else state=void
    fi
}

void() { # close the gate for this id for good; fails if somebody passed it before
    printf 'void\n' >"$run.void.$$" || die "no room in $runs"
    ln "$run.void.$$" "$run.go" 2>/dev/null
    passed=$?
    rm -f "$run.void.$$"
    return "$passed"
}

# --- the lock ---------------------------------------------------------------------------------------------------------

read_lock() { # all three empty where nobody holds it; "?" is what no rollout of ours has written
    lock= lock_who= lock_since=
    if [ -f "$folder/lock" ]; then read -r lock lock_who lock_since _ 2>/dev/null <"$folder/lock"
    elif no_file "$folder/lock"; then lock='?' # to open a pipe would wait for ever
    fi
    [ "$lock" != none ] && is_word "$lock" || lock='?'
    is_word "$lock_who" || lock_who='?'
    is_word "$lock_since" || lock_since='?'
}

no_file() { # each asks for a kind: a file that is made or removed between two questions is none of them
    [ -d "$1" ] || [ -h "$1" ] || [ -p "$1" ] || [ -S "$1" ] || [ -c "$1" ] || [ -b "$1" ]
}

is_word() { case $1 in *[!A-Za-z0-9._~@-]*) return 1 ;; esac; [ "${#1}" -le 160 ]; }

holds_lock() { # ROLLOUT. Without one there is nothing to hold.
    [ -n "$1" ] || return 0
    read_lock
    [ "$lock" = "$1" ]
}

act_for() { # ROLLOUT: show that it acts here, in this very process, until "rest"; if it must not: why, in $refusal
    [ -n "$1" ] || return 0
    acting=$runs/$nonce.now
    refusal="ERR no room in $runs"
    boot_id
    who_am_i
    umask 077
    printf '%s\n' "$own $start $boot $1" 2>/dev/null >"$acting" || return 1
    holds_lock "$1" && return
    refusal="FENCED lock=${lock:-none} by=${lock_who:-none}"
    return 1
}

rest() { [ -z "$acting" ] || rm -f "$acting"; } # before the last word: who hears that may let go of the lock

drop_lock() { # ROLLOUT: away with it, but only with its own: it is moved, looked at, and put back if it is another's
    mv -f "$folder/lock" "$folder/last" 2>/dev/null || return
    dropped_=
    read -r dropped_ _ 2>/dev/null <"$folder/last"
    [ "$dropped_" = "$1" ] || ln "$folder/last" "$folder/lock" 2>/dev/null
    return 0
}

take_over() { # ROLLOUT: its lock away. One at a time, or the second would hit what the first has put in its place.
    who_am_i
    printf '%s\n' "$own $start $boot" 2>/dev/null >"$folder/breaking.$nonce"
    for try_ in 1 2; do
        if ln "$folder/breaking.$nonce" "$folder/breaking" 2>/dev/null; then
            read_lock
            [ "$lock" != "$1" ] || drop_lock "$1"
            rm -f "$folder/breaking"
            break
        fi
        read -r pid_ start_ boot_ 2>/dev/null <"$folder/breaking" && alive "$pid_" "$start_" "$boot_" && break
        rm -f "$folder/breaking" # killed in the act
    done
    rm -f "$folder/breaking.$nonce"
}

take_lock() { # ROLLOUT WHO SINCE FROM: in $claim how that went, in $busy which other rollout has something running here
    read_lock
    if [ "$lock" = '?' ]; then claim=strange; return
    elif [ -n "$lock" ]; then
        if [ "$lock" = "$4" ] && [ "$4" != "$1" ]; then
            look_for own "$4" # who is not to have it does no harm
            [ -z "$busy" ] || { claim=busy; return; }
            take_over "$4"
        fi
    elif [ -e "$folder/lock" ]; then # somebody is about to write it, or a loss of power has emptied it or left NULs
        nap 1 100
        read_lock
        [ -n "$lock" ] || take_over ''
    fi
    claim=held
    # A file that is made or not made is a lock without a fork; link() and what goes with it cost each target two.
    set -C
    { true >"$folder/lock"; } 2>/dev/null && claim=ours
    set +C
    if [ "$claim" = ours ]; then
        printf '%s\n' "$1 $2 $3" 2>/dev/null >"$folder/lock" || { rm -f "$folder/lock"; claim=room; return; }
    fi
    read_lock
    if [ -z "$lock" ] && [ -e "$folder/lock" ]; then nap 0.2 20; read_lock; fi # made by somebody at this moment
    if [ "$lock" != "$1" ]; then
        if [ -e "$folder/lock" ]; then claim=held; else claim=room; fi
        return
    fi
    claim=ours
    look_for others "$1"
    [ -z "$busy" ] || claim=busy
}

look_for() { # WHOSE ROLLOUT: name in $busy what "others" have running here, or what is its "own"; empty if nothing is
    busy=
    for mark_ in "$runs"/*.go "$runs"/*.now; do
        case $mark_ in
        *.go) run=${mark_%.go}; [ ! -e "$run.exit" ] || [ -e "$run.cancelled" ] || [ -e "$run.why" ] || continue; read_go ;;
        *) go_rollout=; read -r go_pid go_start go_boot go_rollout _ 2>/dev/null <"$mark_" || continue ;;
        esac
        case $1 in
        own) [ "$go_rollout" = "$2" ] || continue ;;
        *) [ "$go_rollout" != "$2" ] || continue ;;
        esac
        case $mark_ in
        *.go) still_runs || continue ;;
        *) alive "$go_pid" "$go_start" "$go_boot" || { rm -f "$mark_"; continue; } ;;
        esac
        busy=${go_rollout:-another}
        return
    done
    look_for_lost "$1" "$2"
}

look_for_lost() { # WHOSE ROLLOUT: the same for starts whose own files are gone: the newest in the register
    whose_=$1 of_=$2
    known_=$(tail -n 100 "$register" 2>/dev/null | sed -n '/^[A-Za-z0-9]* [gc].* \.$/p')
    set -f
    set -- $known_
    set +f
    while [ $# -ge 8 ]; do
        run=$runs/$1 go_rollout=$7
        [ "$go_rollout" != - ] || go_rollout=
        if [ ! -e "$run.go" ] && [ ! -e "$run.exit" ] && alive "$3" "$4" "$5"; then
            case $whose_ in
            own) [ "$go_rollout" != "$of_" ] || busy=${go_rollout:-another} ;;
            *) [ "$go_rollout" = "$of_" ] || busy=${go_rollout:-another} ;;
            esac
        fi
        [ -z "$busy" ] || return 0
        shift 8
    done
}

still_runs() { # its supervisor, its command, or what a stop left of its group
    [ ! -e "$run.go" ] && return 1
    if [ ! -e "$run.exit" ]; then alive "$go_pid" "$go_start" "$go_boot" || child_alive; return; fi
    read_child && [ "$c_boot" = "$boot" ] || return 1
    start_of "$c_pid"
    case $start in '' | "$c_start") group_alive ;; *) return 1 ;; esac
}

unlock() { # ROLLOUT
    read_lock
    [ "$lock" = "$1" ] || { say UNLOCKED; return; }
    know_place
    look_for own "$1"
    [ -z "$busy" ] || { say 'KEPT why=running'; return; }
    if ! drop_lock "$1"; then
        read_lock
        [ "$lock" != "$1" ] || { say 'KEPT why=failed'; return; } # else a target that shares this folder was first
    fi
    say UNLOCKED
}

# --- time without the wall clock and without forks --------------------------------------------------------------------

now=0
clock() { # hundredths of a second, in $now; where there is no /proc, nap counts
    read -r up_ _ 2>/dev/null </proc/uptime && now=${up_%.*}${up_#*.}
}
nap() { # SECONDS HUNDREDTHS
    sleep "$1" 2>/dev/null || sleep 1 # some know whole seconds only
    now=$((now + $2))
    clock
}

# --- stopping: never a signal without knowing whom it hits ------------------------------------------------------------

signal_group() { # NAME. Without a group of its own (no setsid anywhere) there is only the leader.
    case $c_pid in '' | 0 | 1 | *[!0-9]*) return 1 ;; esac
    know_kill
    case $CANARY_TUI_KILL in
    dashes) kill -s "$1" -- "-$c_pid" 2>/dev/null && return ;;
    builtin) kill -s "$1" "-$c_pid" 2>/dev/null && return ;;
    esac
    kill -s "$1" "$c_pid" 2>/dev/null
}

know_kill() { # Without "--" only a builtin is asked: procps' own kill reads -12345 as -1, which is everybody.
    [ -z "$CANARY_TUI_KILL" ] || return 0
    if kill -s 0 -- $$ 2>/dev/null; then CANARY_TUI_KILL=dashes; return; fi
    case $(command -v kill) in kill) CANARY_TUI_KILL=builtin ;; *) CANARY_TUI_KILL=program ;; esac
}

group_alive() { # does anything live in the group of the child? A zombie does not.
    signal_group 0 || return 1
    [ -r /proc/self/stat ] || return 0
    for file_ in /proc/[0-9]*; do
        read_stat "${file_#/proc/}"
        [ "$group" = "$c_pid" ] && case $letter in Z | X) ;; *) return 0 ;; esac
    done
    return 1
}


again() { # WORDS: a fork failed, and so this shell ends: its pid goes on with these words, after a pause without a fork
    trap - EXIT
    export CANARY_TUI_KILL
    if command -v perl >/dev/null 2>&1; then
        exec perl -e 'select undef, undef, undef, 0.2; exec @ARGV' "$shell" "$0" "$@"
    fi
    clock; until_=$((now + 20))
    [ ! -r /proc/uptime ] || while [ "$now" -lt "$until_" ]; do clock; done
    exec "$shell" "$0" "$@"
}

termed=
stop_group() { # GRACE in seconds: TERM, wait, KILL, look. 0 if the group is gone. Begun before: since $termed.
    if [ -z "$termed" ]; then
        alive "$c_pid" "$c_start" "$c_boot" || return 0
        signal_group TERM
        clock; termed=$now
    fi
    until_=$((termed + $1 * 100))
    clock
    while group_alive && [ "$now" -lt "$until_" ]; do nap 0.05 5; done
    group_alive || return 0
    signal_group KILL
    [ "$now" -lt "$((until_ + 300))" ] || until_=$now
    until_=$((until_ + 300))
    while group_alive; do
        [ "$now" -lt "$until_" ] || return 1
        nap 0.05 5
    done
}

# --- starting ---------------------------------------------------------------------------------------------------------

leader() { # become "$@" as the leader of a new session
    for setsid_ in /usr/bin/setsid /bin/setsid /usr/local/bin/setsid; do
        [ -x "$setsid_" ] && exec "$setsid_" "$@"
    done
    command -v perl >/dev/null 2>&1 && exec perl -e 'use POSIX "setsid"; setsid(); exec @ARGV' "$@"
    command -v python3 >/dev/null 2>&1 &&
        exec python3 -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"
    trap '' HUP
    exec "$@"
}

read_lines() { # HOW_MANY: into $text
    text= left_=$1
    while [ "$left_" -gt 0 ]; do
        IFS= read -r line_ || return 1
        text="$text$line_
"
        left_=$((left_ - 1))
    done
}

read_payload_head() { # $count, and the environment into memory: it never has a name on a disk
    read -r lines_ count _ || return 1
    case $lines_:$count in *[!0-9:]* | :* | *:) return 1 ;; esac
    read_lines "$lines_" && environment=$text
}

take() { # BYTES FILE: exactly so many from stdin, and not one further; 2 where it cannot be written
    true >"$2" || return 2
    left_=$1
    while [ "$left_" -gt 0 ]; do
        case $(LC_ALL=C dd bs="$left_" count=1 2>&1 >>"$2") in
        1+0*) return 0 ;; # one whole block: nothing to count
        0+1*) ;;          # a pipe gives what it has
        0+0*) return 1 ;;
        *) return 2 ;;
        esac
        size_of "$2"
        left_=$(($1 - size))
    done
}

become_step() { # SCRIPT: with the login's own umask and locale, as if it had been typed
    read -r first_ <"$1"
    case $first_ in
    '#!'*) set -- ${first_#??} "$1" ;;
    *) set -- "$shell" "$1" ;;
    esac
    umask "$mask"
    if [ -n "$locale" ]; then LC_ALL=$locale; else unset LC_ALL; fi
    eval "$environment"
    leader "$@"
}

supervise() { # TIMEOUT CAP DIGEST ROLLOUT PLACE. stdin: the payload. stdout: the follower's ear, which may be gone at any time.
    trap : PIPE TERM INT HUP QUIT # handled here, but not ignored in what we start
    know_place
    if has_trace; then meet_other "$3"; return; fi
    mask=$(umask) locale=${LC_ALL-}
    umask 077
    LC_ALL=C
    own_folder "$runs" || die "$runs is not a folder of ours"
    [ -z "$5" ] || [ "$5" = "$place" ] || { say "MOVED boot=$place"; return; }
    [ "$name_" != none ] || die "no room in $folder"
    script=$run.$$.sh why='the step did not arrive whole'
    read_payload_head && take "$count" "$script" || {
        [ $? -ne 2 ] || why="no room in $runs"
        rm -f "$script"
        die "$why"
    }
    exec 4<&- 0</dev/null
    who_am_i
    digest=$3 rollout=$4 identity="$own $start $boot $3 $4" first_out= first_child=
    [ -e "$run.out" ] || first_out=$run.out
    # Room for the exit record is taken before anything runs, so that a full disk cannot lose it.
    # And for ID.child: who cannot note the command can neither stop it nor hold it to its limits.
    printf '%-319s\n%-255s\n' "$identity" reserved >"$run.$$" && true >>"$run.out" && reserve_child || {
        give_back
        die "no room in $runs"
    }
    # The gate: link() either makes the name, with our identity already inside, or fails.
    if ! ln "$run.$$" "$run.go" 2>/dev/null; then
        rm -f "$run.$$" "$script"
        has_trace || { give_back; die "no room in $runs, or it knows no hard links"; }
        meet_other "$3"
        return
    fi
    # The second gate: a name can be removed and made again, the first line of a run in the register is one for ever.
    noted_=yes
    note go || noted_=
    if [ -n "$noted_" ] && ! came_first; then
        read_go
        [ "$go_pid $go_start $go_boot" != "$own $start $boot" ] || rm -f "$run.go"
        rm -f "$run.$$" "$script"
        [ -z "$first_out" ] || [ -s "$run.out" ] || rm -f "$run.out"
        meet_other "$3"
        return
    fi
    printf 'begun\n'
    exec 2>/dev/null
    if [ -z "$noted_" ]; then
        rm -f "$script"
        conclude 'rc=126 why=no-room'
        return
    fi
    if ! holds_lock "$4"; then
        rm -f "$script"
        conclude "rc=126 why=fenced lock=${lock:-none} by=${lock_who:-none}"
        return
    fi
    ending='rc=126 why=no-process' # no fork fails unnoticed: it ends this shell
    trap 'again conclude "$nonce" "$id" "$identity" "$ending"' EXIT
    exec 8>>"$run.out"
    know_kill
    watch "$1" "$2" '' '' & watcher=$!
    ( # a foreground job: the shell would have made it deaf to INT and QUIT for good with "&"
        who_am_i
        c_pid=$own c_start=$start c_boot=$boot
        mark_child ''
        note child
        [ -e "$run.cancelled" ] && exit 143
        become_step "$script"
    ) >&8 2>&8 8>&-
    rc=$?
    [ "$rc" -gt 384 ] && rc=$((rc - 256)) # yash and ksh93 count signals from elsewhere
    [ "$rc" -gt 256 ] && rc=$((rc - 128))
    ending="rc=$rc why=exit"
    # A watcher that has begun to stop the group must see it through: the leader is not all of it.
    # KILL, because a new subshell has our handlers for an instant, and would take TERM for nothing.
    why_stopped
    case $why in timeout | output-cap) ;; *) kill -s KILL "$watcher" ;; esac
    wait "$watcher"
    why_stopped
    [ -s "$run.child" ] && ! has_child && rc=126 why=no-process # it was to become the command, and could not
    ending="rc=$rc why=${why:-exit}"
    conclude "$ending"
}

reserve_child() { # never over that of a start that was before
    set -C
    { printf '%-255s\n' '' >"$run.child"; } 2>/dev/null && first_child=$run.child
    set +C
    [ -s "$run.child" ]
}

give_back() { # what was taken for a start that does not happen
    rm -f "$run.$$" "$script"
    [ -z "$first_out" ] || [ -s "$run.out" ] || rm -f "$run.out"
    [ -z "$first_child" ] || has_child || rm -f "$run.child"
}

mark_child() { # WHY: who the command is, and why it is being stopped, in place
    printf '%-255s\n' "$c_pid $c_start $c_boot $1" 2>/dev/null 1<>"$run.child"
}

why_stopped() { # in $why; empty if nobody stops it
    why=
    [ ! -e "$run.why" ] || read -r why 2>/dev/null <"$run.why"
    [ -n "$why" ] || read -r _ _ _ why _ 2>/dev/null <"$run.child"
    [ ! -e "$run.cancelled" ] || why=cancelled
}

conclude() { # RECORD: in place, in space that we have; then one rename publishes it
    until printf '%-319s\n%-255s\n' "$identity" "$1" 1<>"$run.$$" && mv -f "$run.$$" "$run.exit"; do
        [ -d "$runs" ] || break # nobody will ever look for it
        sleep 2
    done
    trap - EXIT
    [ ! -e "$run.exit" ] || printf 'done\n'
}

came_first() { # is the register the one that we found, our line the first of this run, and the gate still ours?
    registered=$name_
    read_name "$register"
    [ "$name_" = "$registered" ] && recall && [ -z "$forgotten" ] && [ "$noted" = "$own $start $boot" ] || return 1
    read_go
    [ "$go_pid $go_start $go_boot" = "$own $start $boot" ]
}

meet_other() { # DIGEST: the start has happened before; follow that one, if it was this very step
    look
    case $state in absent | void | forgotten) say "STATE $state boot=$place"; return ;; esac
    digest_=$go_digest
    [ -n "$digest_" ] || read -r _ _ _ digest_ _ 2>/dev/null <"$run.exit"
    [ -n "$digest_" ] || { recall && digest_=$noted_digest; }
    case $digest_ in "$1" | '') printf 'exists\n'; exec 4<&- 2>/dev/null; tick_away ;; *) say OTHER ;; esac
}

watch() { # TIMEOUT CAP BEGAN TERMED: hold the limits, and beat time for the follower while it listens
    trap : PIPE
    limit=$1 cap=$2 began=$3 termed=$4
    trap 'again watch "$nonce" "$id" "$limit" "$cap" "$began" "$termed"' EXIT
    clock; beaten=$now looked=$now pause=0.1 hundredths=10
    : "${began:=$now}"
    why_stopped # before a fork failed
    case $why in timeout | output-cap) : "${termed:=$now}"; overrun "$why" ;; esac
    while :; do
        # First what needs no fork: after a failed one all of it begins here again.
        if [ "$limit" -gt 0 ] && [ $((now - began)) -ge "$limit" ]; then overrun timeout; fi
        if [ "$cap" -gt 0 ] && { read -r _ size; } 2>/dev/null </proc/self/fdinfo/8 && [ "$size" -gt "$cap" ]; then
            overrun output-cap
        fi
        nap "$pause" "$hundredths"
        if [ "$pause" != 1 ]; then
            if [ $((now - beaten)) -ge 400 ]; then beaten=$now word=beat; else word=tick; fi
            printf '%s\n' "$word" || { pause=1 hundredths=100; }
        fi
        [ $((now - looked)) -ge 100 ] || continue
        looked=$now
        if [ "$cap" -gt 0 ]; then
            size_of "$run.out" # another way to the same file is not seen above
            [ "$size" -gt "$cap" ] && overrun output-cap
        fi
        # Without its supervisor a command is still held to its limits, as long as it lives.
        remember
        alive "$go_pid" "$go_start" "$go_boot" || alive "$c_pid" "$c_start" "$c_boot" || break
    done
    trap - EXIT
    exit 0
}

remember() { # who is at work, as it was last seen where somebody has emptied the folder since: the limits hold all the same
    [ ! -e "$run.go" ] || read_go
    [ ! -e "$run.child" ] && [ -n "$c_boot" ] || read_child
}

overrun() { # WHY
    remember
    if [ -z "$termed" ]; then
        alive "$c_pid" "$c_start" "$c_boot" || return
        printf '%s\n' "$1" 2>/dev/null >"$run.why"
        [ ! -e "$run.child" ] || mark_child "$1"
    fi
    stop_group 5
    trap - EXIT
    exit 0
}

# --- following --------------------------------------------------------------------------------------------------------

tick_away() { # where no supervisor of ours beats the time
    beaten=0
    while :; do
        printf 'tick\n' || return
        nap 0.1 10
        if [ $((now - beaten)) -ge 400 ]; then beaten=$now; printf 'beat\n' || return; fi
    done
}

show() { # what is new: all cats share one open file, each goes on where the last one stopped
    [ -s "$run.out" ] || [ ! -e "$run.out" ] || return 0 # one that was removed is still open here
    cat <&3 || exit 1
}

show_if_new() { # a look at two times saves a fork where nothing has been written
    [ "$run.out" -ot "$run.mark.$nonce" ] && return
    [ -s "$run.out" ] || return
    { true >"$run.mark.$nonce"; } 2>/dev/null # without it there is a look each time
    show
}

skip() { # BYTES
    whole_=$(($1 / 65536)) rest_=$(($1 % 65536))
    [ "$whole_" -eq 0 ] || dd bs=65536 skip="$whole_" count=0 <&3 >/dev/null 2>&1
    [ "$rest_" -eq 0 ] || dd bs="$rest_" count=1 <&3 >/dev/null 2>&1
}

sha256() { # of stdin
    if command -v sha256sum >/dev/null 2>&1; then sha256sum
    elif command -v sha256 >/dev/null 2>&1; then sha256 -q
    elif command -v shasum >/dev/null 2>&1; then shasum -a 256
    fi
}

measure() { # $size and $sum of exactly what was shown: a daemon may go on writing to the same file
    size=
    if [ ! -e "$run.out" ]; then # nobody can say that nothing was missed
        { read -r _ size; } 2>/dev/null </proc/self/fdinfo/3
        size=${size:-0} sum=removed
        return
    fi
    if [ ! -s "$run.out" ]; then size=0 sum=none; return; fi
    { read -r _ size; } 2>/dev/null </proc/self/fdinfo/3
    [ -n "$size" ] || size_of "$run.out"
    exec 5<"$run.out"
    sum=$(sha256 <&5)
    hashed=$size
    { read -r _ hashed; } 2>/dev/null </proc/self/fdinfo/5
    [ "$hashed" = "$size" ] || sum=$(head -c "$size" "$run.out" | sha256)
    sum=${sum%% *}
}

follow() { # OFFSET. stdin: tick, beat, done
    umask 077
    [ -r "$run.out" ] || die 'its output is gone'
    exec 3<"$run.out"
    skip "$1"
    printf '%s\n' "$protocol $nonce DATA" || exit 1
    while read -r event; do
        case $event in
        tick) show_if_new ;;
        beat) say TICK || exit 1; show ;;
        *) break ;;
        esac
        [ "$event" = tick ] && [ "$watched" = own ] && continue # its own supervisor will say "done"
        look
        [ "$state" = running ] || break
    done
    look # before the last read, so that this read sees everything
    show
    measure
    say "END size=$size sum=${sum:-none} $state"
    [ ! -e "$run.mark.$nonce" ] || rm -f "$run.mark.$nonce"
    while read -r word <&4; do
        if [ "$word" = "ack $nonce" ]; then { true >"$run.acked"; } 2>/dev/null; return; fi
    done
}

begin() { # follow what "supervise" tells on stdin
    read -r event || exit 1 # it has said why on stderr
    know_place
    if [ "$event" = begun ]; then watched=own; else watched=other; fi
    say "BEGUN boot=$place $event"
    follow 0
}

leave() { kill -s KILL $$; exit 1; } # the other end is gone: so are we, and the shell that waits for us

# --- ending -----------------------------------------------------------------------------------------------------------

tidy() { # finished runs: a day after their output arrived, a week after they ended. Never what runs or was lost.
    tidy_parts
    day=$(find "$runs" -name '*.exit' -mtime +0 2>/dev/null)
    [ -n "$day" ] || return
    week=$(find "$runs" -name '*.exit' -mtime +6 2>/dev/null)
    while read -r file; do
        run=${file%.exit}
        case $week in *"$file"*) ;; *) [ -e "$run.acked" ] || continue ;; esac
        # First the note that it was, then away with it: a forgotten run must never look like one that never began.
        printf '%s\n' "${run##*/}" >>"$folder/forgotten" && rm -f "$run".*
    done <<END
$day
END
    size_of "$folder/forgotten"
    [ "$size" -le 4000000 ] ||
        { tail -n 50000 "$folder/forgotten" >"$folder/forgotten.$$" && mv -f "$folder/forgotten.$$" "$folder/forgotten"; }
    # Registers of other boots are no proof any more. One that is cut short has another name from then on.
    find "$folder" -name 'starts.*' -mtime +30 -exec rm -f {} + 2>/dev/null
    size_of "$register"
    [ "$size" -gt 4000000 ] || return
    { printf '%s\n' "$$-$nonce" && tail -n 5000 "$register"; } >"$register.$$" && mv -f "$register.$$" "$register"
}

tidy_parts() { # of uploads that nobody has gone on with for a week
    for file in "$runs"/*.part; do
        [ -e "$file" ] && [ -n "$(find "$file" -mtime +6 2>/dev/null)" ] || continue
        id_=${file##*/}
        discard "${id_%.part}" '' 2>/dev/null
    done
}

hello() { # ROLLOUT WHO SINCE FROM
    umask 077
    [ -d "$runs" ] || mkdir -p "$runs" 2>/dev/null
    case $(ls -ldn "$folder") in drwx------*) ;; *) chmod 700 "$folder" || die "$folder is open to others" ;; esac
    own_folder "$folder" && own_folder "$runs" || die "$folder is not a folder of ours"
    disk=$(df -Pk "$folder" 2>/dev/null)
    { read -r _; read -r _ _ _ free _; } <<END
$disk
END
    session=none
    for name in setsid perl python3; do command -v "$name" >/dev/null 2>&1 && session=$name && break; done
    seconds=$(date +%s.%N)
    know_place
    registered=$name_ # giving a name reads one
    if [ "$born" = none ] || [ "$registered" = none ]; then
        [ "$born" != none ] || give_name "$runs/born"
        [ "$registered" != none ] || give_name "$register"
        know_place
    fi
    claim=none busy=
    if [ -n "$1" ]; then take_lock "$@"; else read_lock; fi
    held="lock=${lock:-none} by=${lock_who:-none} at=${lock_since:-0} busy=${busy:-none}"
    say "HELLO boot=$place now=$seconds free=$free session=$session claim=$claim $held folder=$folder"
}

cancel() { # GRACE
    look
    if [ "$state" = absent ]; then void; look; fi
    case $state in
    running | *child=alive*) ;;
    done*) # its leader has ended; nobody else of the group is hit, for by now its number may be a stranger's
        # These never had a command.
        case $state in *why=fenced* | *why=no-room* | *why=no-process*) say "STATE $state"; return ;; esac
        if ! read_child; then say "STATE $state stopped=unrecorded"
        elif [ "$c_boot" = "$boot" ] && group_alive; then say "STATE $state stopped=no"
        else say "STATE $state"
        fi
        return
        ;;
    *child=gone*) if read_child && group_alive; then gone=no; else gone=yes; fi; say "STATE $state stopped=$gone"; return ;;
    *) say "STATE $state boot=$place"; return ;;
    esac
    { true >"$run.cancelled"; } 2>/dev/null || { read_child && mark_child cancelled; } || die "no room in $runs"
    clock; until_=$((now + 300))
    until read_child || [ "$now" -ge "$until_" ]; do nap 0.05 5; done
    gone=no
    read_child && stop_group "$1" && ! group_alive && gone=yes
    clock; until_=$((now + 700)) # the supervisor has its own grace to see through
    look
    while [ "$state" = running ] && [ "$now" -lt "$until_" ]; do nap 0.05 5; look; done
    say "STATE $state stopped=$gone"
}

# --- plain commands ---------------------------------------------------------------------------------------------------

listen_for_end() {
    while read -r _ <&4; do :; done
    trap '' TERM # nobody listens any more
    end_plain
}

end_plain() { # see it through, also where no nap can be had
    trap 'signal_group KILL' EXIT
    stop_group 2
    trap - EXIT
    exit 3
}

hold_limit() { # SECONDS
    # KILL, by $! alone: TERM may come before a variable is set, or before the child has become sleep.
    trap 'trap - EXIT; kill -KILL "$!" 2>/dev/null; exit 0' TERM
    trap 'signal_group KILL' EXIT
    sleep "$1" & wait "$!"
    trap '' TERM
    end_plain
}

plain() { # TIMEOUT ROLLOUT. stdin: "child PID START", then "rc N" or "refused WHY"
    exec 9>&2 2>/dev/null # the shell's own words would stand among the command's
    told=9
    know_kill
    read -r _ c_pid c_start || { say 'ERR no process could be made for it'; exit 97; } # or it has said why before
    trap 'signal_group KILL; say "ERR no process could be made to hold its limit, so it was killed"' EXIT
    [ -z "$2" ] || acting=$runs/$nonce.now
    boot_id; c_boot=$boot
    listen_for_end >/dev/null 9>&- & listener=$!
    hold_limit "$1" >/dev/null 4<&- 9>&- & limit=$!
    why=exit
    read -r word rc
    rest
    kill "$limit" "$listener" 2>/dev/null
    wait "$limit" 2>/dev/null
    [ $? -eq 3 ] && why=timeout
    wait "$listener" 2>/dev/null
    trap - EXIT
    case $word in
    refused) say "$rc" ;;
    *) say "END rc=${rc:-unknown} why=$why" ;;
    esac
}

start_plain() { # ROLLOUT. stdin: the payload. fd 6: where its stdout goes.
    trap : PIPE
    mask=$(umask) locale=${LC_ALL-}
    LC_ALL=C
    read_payload_head || die 'the command did not arrive whole'
    read_lines "$count" || die 'the command did not arrive whole'
    script=$text
    printf '%s\n' "$protocol $nonce DATA" >&6
    say DATA
    exec 7>&2 2>/dev/null # the shell's own word about how it ended is not the command's
    (
        who_am_i
        printf 'child %s\n' "$own $start"
        act_for "$1" || { printf 'refused %s\n' "$refusal"; exit; }
        umask "$mask"
        if [ -n "$locale" ]; then LC_ALL=$locale; else unset LC_ALL; fi
        set -- "$shell" -c "$script" sh
        eval "$environment"
        leader "$@" >&6 6>&- 2>&7 7>&- 4<&-
    ) </dev/null
    rc=$?
    printf '%s\n' "$protocol $nonce DONE" >&6
    printf 'rc %s\n' "$rc"
}

# --- files ------------------------------------------------------------------------------------------------------------

same_bytes() { # FILE SIZE SHA256
    size_of "$1"
    [ "$size" = "$2" ] || return 1
    sum=$(sha256 <"$1")
    [ "${sum%% *}" = "$3" ]
}

put() { # TOKEN SIZE SHA256 MODE ROLLOUT
    IFS= read -r path || die 'no path'
    mask=$(umask)
    trap 'rm -f ${temporary:+"$temporary"} ${acting:+"$acting"}' EXIT
    trap 'exit 1' HUP INT TERM PIPE
    temporary=
    act_for "$5" || { rest; say "$refusal"; exit; }
    umask "$mask"
    case $path in /*) ;; *) path=./$path ;; esac
    [ -d "$path" ] && die 'a folder is in its place'
    parent=${path%/*}
    if [ -f "$path" ] && same_bytes "$path" "$2" "$3"; then
        chmod "$4" "$path" || die 'cannot set its mode'
        rest
        say HAVE
        return
    fi
    mkdir -p "${parent:-/}" || die 'cannot make its folder'
    umask 077
    case $parent in /* | '') ;; *) parent=$PWD/$parent ;; esac
    temporary=$parent/.canary-tui.$1.$nonce part=$runs/$1.part
    set -C # a new file or none: never through a link that was there first
    true >"$temporary" || die 'cannot write to its folder'
    set +C
    exec 9>>"$temporary" # opened once: when it is discarded meanwhile, what still comes makes no other
    printf '%s\n' "$parent/.canary-tui.$1" 2>/dev/null >"$part" # without it a part that is left is only never tidied
    pick_up "$parent/.canary-tui.$1" "$2"
    # What has come is for the next try; of one that was hung up on before anything came nothing is left.
    trap '[ -s "$temporary" ] || rm -f "$temporary"; rm -f ${acting:+"$acting"}' EXIT
    say "SEND at=$size sum=${sum:-none}"
    read -r from || cut_off
    [ "$from" = "$size" ] || [ ! -e "$temporary" ] || true >"$temporary" || spoiled 'cannot write it'
    cat >&9 || spoiled 'cannot write it'
    size_of "$temporary"
    [ "$size" -ge "$2" ] || cut_off
    same_bytes "$temporary" "$2" "$3" || spoiled 'it did not arrive whole'
    if ! holds_lock "$5"; then
        rm -f "$temporary" "$part"
        rest
        say "FENCED lock=${lock:-none} by=${lock_who:-none}"
        return
    fi
    chmod "$4" "$temporary" && mv -f "$temporary" "$path" || spoiled 'cannot put it in its place'
    rm -f "$part"
    rest
    say STORED
}

spoiled() { rm -f "$temporary" "$part"; die "$1"; } # nothing is left of it when that is heard

cut_off() { die 'it did not arrive whole'; }

pick_up() { # PARTS SIZE: into $temporary what an earlier try has brought; its $size and $sum
    largest_= longest_=0
    for part_ in "$1".*; do
        [ "$part_" != "$temporary" ] && [ -f "$part_" ] && [ ! -h "$part_" ] && [ -O "$part_" ] || continue
        size_of "$part_"
        [ "$size" -gt "$longest_" ] && [ "$size" -le "$2" ] && largest_=$part_ longest_=$size
    done
    # A copy: an earlier try that is still at it may go on writing to its own.
    [ -z "$largest_" ] || cat "$largest_" >&9 || true >"$temporary"
    for part_ in "$1".*; do [ "$part_" = "$temporary" ] || rm -f "$part_"; done
    size=0 sum=
    [ -z "$largest_" ] || { size_of "$temporary"; sum=$(sha256 <"$temporary"); sum=${sum%% *}; }
}

discard() { # TOKEN ROLLOUT
    left_=none
    if ! holds_lock "$2"; then
        left_=kept
    elif IFS= read -r parts_ 2>/dev/null <"$runs/$1.part"; then
        rm -f "$parts_".* "$runs/$1.part" && left_=removed || left_=kept
    fi
    say "GONE left=$left_"
}

# --- what was asked for -----------------------------------------------------------------------------------------------

case $nonce in '' | *[!A-Za-z0-9]*) exit 97 ;; esac
case $op in
run | supervise | attach | void | cancel | watch | conclude)
    id=$3 run=$runs/$3
    case $id in '' | *[!A-Za-z0-9]*) die 'not an id' ;; esac
    ;;
esac

case $op in
hello) hello "$3" "$4" "$5" "$6"; tidy ;;
unlock) unlock "$3" ;;
run)
    exec 4<&0
    { leader "$shell" "$0" supervise "$nonce" "$id" "$4" "$5" "$6" "$7" "$8"; } | { trap leave PIPE; begin || leave; }
    ;;
supervise) supervise "$4" "$5" "$6" "$7" "$8" ;;
watch) know_place; umask 077; watch "$4" "$5" "$6" "$7" ;;
conclude) # of the supervisor, whose pid this still is
    trap : PIPE TERM INT HUP QUIT
    umask 077
    identity=$4 ending=$5
    trap 'again conclude "$nonce" "$id" "$identity" "$ending"' EXIT
    conclude "$ending"
    ;;
attach)
    know_place
    look
    say "STATE $state boot=$place"
    case $state in absent | forgotten | void) exit 0 ;; esac
    exec 4<&0
    watched=other
    { tick_away 2>/dev/null; } | { trap leave PIPE; follow "$4" || leave; }
    ;;
void)
    know_place
    umask 077
    look
    [ "$state" = absent ] && { void; look; }
    say "STATE $state boot=$place"
    ;;
cancel) know_place; umask 077; cancel "$4" ;;
plain)
    exec 4<&0 6>&1
    { start_plain "$4"; } | { exec 6>&-; plain "$3" "$4"; }
    ;;
put) put "$3" "$4" "$5" "$6" "$7" ;;
discard)
    case $3 in '' | *[!A-Za-z0-9]*) die 'not a token' ;; esac
    discard "$3" "$4"
    ;;
*) die 'not an operation' ;;
esac
