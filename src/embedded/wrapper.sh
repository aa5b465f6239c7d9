# Starts one private Postgres and ends it when the program that asked for it is gone.
#
# Standard input is a pipe whose other end only that program holds: however it dies, the pipe closes.
# Standard output is the locked data folder; the server inherits it, so the folder stays locked exactly
# as long as a server process lives. Standard error is the log.
#
# Arguments: folder of the binaries, data folder, run folder (removed at the end), signal that ends the
# server, extra option for initdb or nothing; the rest goes to the server.
exec 3<&0 4<&1 1>&2 </dev/null
trap '' HUP INT TERM
bin=$1 data=$2 run=$3 signal=$4 sync=$5
shift 5

finish() {
    # A server process that outlives its postmaster by a moment may still write: try again.
    for _ in 1 2 3 4 5; do
        rm -rf -- "$run" && break
        sleep 1
    done
    exit "$1"
}

if [ ! -s "$data/PG_VERSION" ]; then
    # $sync is one word or nothing at all.
    "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --no-locale $sync 3<&- || finish $?
fi

"$bin/postgres" -D "$data" "$@" 3<&- &
server=$!

# The watcher repeats the signal, because a server that is just starting has no handler yet and loses
# the first one; after twenty of them it stops being polite. It must not hold the lock (4).
(
    read -r _ <&3
    sent=0
    while kill -"$signal" "$server" 2>/dev/null; do
        sleep 1
        sent=$((sent + 1))
        [ "$sent" -lt 20 ] || signal=QUIT
    done
) 4<&- &
watcher=$!

wait "$server"
status=$?
kill -KILL "$watcher" 2>/dev/null
finish "$status"
