#!/bin/sh
# unpack-shop RELEASE: lays a release of the demo's shop out below ~/releases and tells what it does.
# Sleeps $PACE seconds between two lines; ~/.demo/fault says what goes wrong here.
set -eu
release=$1
to=$HOME/releases/$release
pace=${PACE:-0}
fault=
[ ! -s "$HOME/.demo/fault" ] || read -r fault < "$HOME/.demo/fault"
naps=1
[ "$fault" != slow ] || naps=8

nap() {
    [ "$pace" != 0 ] || return 0
    left=$(($1 * naps))
    while [ "$left" -gt 0 ]; do
        sleep "$pace"
        left=$((left - 1))
    done
}

noise() {
    printf '\033]0;a title\007\033]52;c;cm0gLXJmIC8=\007\033[2J\033[31mred\033[0m \2331mC1\2330m \302\2337mC1 in UTF-8\n'
    printf 'Latin-1: caf\351 na\357ve   cut UTF-8: \342\202   NUL: \000   bidi: \342\200\256gnp.exe\n'
    line=0
    while [ "$line" -lt 20000 ]; do
        line=$((line + 1))
        printf '%05d  debug: %s compiled a template in %d us\n' "$line" "$release" "$((line * 7919 % 997))"
    done
    printf 'progress 10%%\rprogress 55%%\rprogress 100%%\n'
}

echo "fetching shop-$release.tar.gz"
nap 2
echo "shop-$release.tar.gz: 48.2 MB, checksum ok"
rm -rf "$to.part"
mkdir -p "$to.part/bin" "$to.part/lib" "$to.part/static" "$to.part/templates" "$to.part/locale"
number=0
for file in bin/shop bin/shop-worker lib/cart.so lib/catalogue.so lib/payment.so lib/search.so static/shop.css \
    static/shop.js static/logo.svg templates/cart.html templates/checkout.html templates/index.html \
    templates/product.html locale/de.mo locale/en.mo locale/fr.mo; do
    number=$((number + 1))
    echo "$release" > "$to.part/$file"
    printf '%2d/16  %s\n' "$number" "$file"
    nap $((number % 2 + 1))
    case $fault:$number in
    hang:6)
        echo "waiting for the lock on the package cache, held by pid 4711"
        while :; do sleep 1; done
        ;;
    drop:8) [ -e "$HOME/.demo/dropped" ] || : > "$HOME/.demo/drop" ;;
    noisy:4) noise ;;
    esac
done
[ "$release" != 2.0.0 ] || echo "cannot reach the payment service: bad certificate" > "$to.part/UNHEALTHY"
echo "$release" > "$to.part/REVISION"
rm -rf "$to"
mv "$to.part" "$to"
echo "unpacked 16 files to releases/$release"
