#!/bin/sh
# shop-stats NUMBER [--last 60s]: prints one number about this target's shop, from ~/shop.log. Pages are counted that
# were answered within the last 60 s (or another time, 10m at most), and since the shop last started.
set -eu

usage() {
    echo "shop-stats: $1" >&2
    cat >&2 <<'END'
usage: shop-stats NUMBER [--last 60s]
  requests, errors  pages, and those of them with a status of 500 or more
  mean, p50, p99    milliseconds that a page took; NaN if there was none
  memory            megabytes, as of the last page
END
    exit 2
}

[ $# = 1 ] || [ $# = 3 ] || usage "name one number, and a time after --last"
case $1 in
requests | errors | mean | p50 | p99 | memory) ;;
*) usage "there is no number '$1'" ;;
esac
last=${3:-60s}
[ "${2:---last}" = --last ] || usage "there is no option '$2'"
case ${last%[sm]} in
'' | *[!0-9]* | ????*) usage "'$last' is not a time such as 60s or 5m" ;;
esac
longest=600
[ "$last" = "${last%m}" ] || longest=10
[ "${last%[sm]}" -le "$longest" ] || usage "'$last' is longer than 10m, and ~/shop.log tells no more"

now=$(date +%s.%N)
case $now in
*[!0-9.]* | *.) now=$(date +%s) ;; # a date that knows whole seconds only
esac

cat "$HOME/shop.log.1" "$HOME/shop.log" 2>/dev/null | LC_ALL=C awk -v number="$1" -v last="$last" -v now="$now" '
    BEGIN { since = now - last * (last ~ /m$/ ? 60 : 1) }
    $2 == "start" { requests = errors = sum = slowest = 0; split("", pages) }
    { memory = $4 }
    $2 != "start" && $1 >= since {
        requests++
        if ($2 >= 500) errors++
        sum += $3
        tenths = int($3 * 10 + 0.5)
        pages[tenths]++
        if (tenths > slowest) slowest = tenths
    }
    function quantile(percent,    rank, tenths) {
        rank = int((percent * requests + 99) / 100)
        for (tenths = 0; tenths < slowest && (rank -= pages[tenths]) > 0;) tenths++
        return sprintf("%.1f", tenths / 10)
    }
    function milliseconds() {
        if (!requests) return "NaN"
        if (number == "mean") return sprintf("%.2f", sum / requests)
        return quantile(number == "p50" ? 50 : 99)
    }
    END {
        if (number == "requests") print requests + 0
        else if (number == "errors") print errors + 0
        else if (number == "memory") print (memory == "" ? "NaN" : sprintf("%.1f", memory / 1000000))
        else print milliseconds()
    }
'
