#!/bin/sh
# The words of eNcore's encore.sh and splencore.sh, for tools and habits that use them. Each becomes a command of
# estreamer; its exit codes are those of estreamer (eNcore's were nearly always 0).
#
# Put it where encore.sh was, beside estreamer.conf. A copy or link called splencore.sh behaves as that one does:
# start stays in the foreground, because Splunk owns the process, and nothing is asked.
#
#   ESTREAMER=/path/to/estreamer   the command, if it is not in the PATH
#   ENCORE_CONFIG=estreamer.conf   the configuration

set -u

cd "$(dirname "$0")" || exit 1
bin=${ESTREAMER:-estreamer}
conf=${ENCORE_CONFIG:-estreamer.conf}
word=${1:-}

case $(basename "$0") in
splencore*) splunk=1 ;;
*) splunk=0 ;;
esac

value() {
    "$bin" configure "$conf" --print "$1"
}

usage() {
    cat <<END
Usage: $0 {start | stop | restart | foreground | status | test | setup | archive | clean}

    start       run in the background
    stop        stop it
    restart     stop, start
    foreground  run here
    status      say whether it runs
    test        connect to the management center and say what happens
    setup       choose the output
    archive     pack the log file (ts does the same)
    clean       delete data files older than 12 hours
END
}

# What has to be there before anything else. A copied default.conf asks for the output once.
preflight() {
    if [ ! -f "$conf" ]; then
        if [ -f default.conf ]; then
            cp default.conf "$conf" || exit 1
            [ "$word" = setup ] || [ "$splunk" = 1 ] || "$bin" setup --config "$conf" || exit 1
        elif [ "$word" != setup ]; then
            echo "There is no $conf. Write one with: $0 setup, or $bin config init"
            exit 1
        else
            return 0
        fi
    fi
    host=$(value host) || exit 1
    case $host in
    '' | 1.2.3.4)
        echo "You have not configured your FMC host"
        if [ "$splunk" = 1 ] || [ ! -t 0 ]; then
            exit 1
        fi
        printf 'Please enter it here (enter blank host to ignore) '
        read -r host
        if [ -z "$host" ]; then
            echo "Exiting"
            exit 1
        fi
        "$bin" configure "$conf" --host "$host" || exit 1
        echo "Host updated to $host"
        ;;
    esac
}

case $word in
start)
    preflight
    [ "$splunk" = 1 ] && exec "$bin" foreground --config "$conf"
    exec "$bin" start --config "$conf"
    ;;
stop)
    if [ "$splunk" = 1 ]; then
        pid=$(value pid) || exit 1
        if [ "$pid" = -1 ]; then
            echo "Splencore not running"
            exit 0
        fi
        echo "Splencore found pid. Terminating \"$bin\" ($pid)"
        exec "$bin" stop --config "$conf" >/dev/null
    fi
    exec "$bin" stop --config "$conf"
    ;;
restart)
    preflight
    exec "$bin" restart --config "$conf"
    ;;
foreground)
    preflight
    exec "$bin" foreground --config "$conf"
    ;;
test)
    preflight
    exec "$bin" test --config "$conf"
    ;;
setup)
    preflight
    exec "$bin" setup --config "$conf"
    ;;
status)
    [ "$splunk" = 1 ] && exec "$bin" configure "$conf" --print splunkstatus
    exec "$bin" status --config "$conf"
    ;;
archive | ts)
    exec "$bin" archive --config "$conf"
    ;;
clean)
    [ "$splunk" = 1 ] && exec "$bin" clean --config "$conf" >/dev/null
    exec "$bin" clean --config "$conf"
    ;;
*)
    usage
    [ -z "$word" ] || echo "$word"
    exit 1
    ;;
esac
