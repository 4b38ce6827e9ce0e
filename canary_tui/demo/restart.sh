#!/bin/sh
# restart-shop: makes this target's shop run what ~/current points at. ~/.demo/fault says what goes wrong here.
set -eu
fault=
[ ! -s "$HOME/.demo/fault" ] || read -r fault < "$HOME/.demo/fault"
read -r release < "$HOME/current/REVISION"

not_started() {
    echo "shop.service: main process exited, code=exited, status=1/FAILURE" >&2
    echo "shop[$$]: config/shop.toml: unknown key 'cart.timeout', did release $release rename it?" >&2
    echo "restart-shop: shop $release did not start" >&2
    exit 1
}

echo "stopping shop.service"
[ "${PACE:-0}" = 0 ] || sleep "$PACE"
echo "starting shop.service with $(readlink "$HOME/current")"
case $fault:$release in
*:1.4.1) ;;
fail:*) not_started ;;
flaky:*)
    if [ ! -e "$HOME/.demo/failed" ]; then
        : > "$HOME/.demo/failed"
        not_started
    fi
    ;;
esac
echo "shop.service runs $release"
