#!/bin/sh
# tools/setup.sh [build|test|fuzz|ci] - installs what is missing on a Debian machine; silent when nothing is.
#
#   build  what the program needs (packages-build.txt); the default
#   test   that, packages-test.txt, and a venv in build/venv with tests/requirements.txt
#   fuzz   build and packages-ci.txt
#   ci     test and packages-ci.txt
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}

case "${1:-build}" in
build) lists="build" ;;
test) lists="build test" ;;
fuzz) lists="build ci" ;;
ci) lists="build test ci" ;;
*) echo "usage: tools/setup.sh [build|test|fuzz|ci]" >&2; exit 2 ;;
esac

missing_packages() {
	for list in $lists; do
		sed 's/#.*//' "tools/packages-$list.txt"
	done | while read -r package; do
		[ -n "$package" ] || continue
		status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
		[ "$status" = installed ] || echo "$package"
	done
}

install_packages() {
	root=""
	if [ "$(id -u)" -ne 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "setup: these Debian packages are missing, and neither root nor sudo is there to install them:" >&2
			echo "setup:   apt-get install" "$@" >&2
			exit 1
		fi
		root="sudo"
	fi
	echo "setup: installing" "$@" >&2
	log=$(mktemp)
	if ! { $root env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
		$root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
		>"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" >&2
		rm -f "$log"
		echo "setup: apt-get could not install them" >&2
		exit 1
	fi
	rm -f "$log"
}

# One stamp per content of the requirements: made once, made anew when they change.
make_venv() {
	stamp="$build/venv/.$(sha256sum tests/requirements.txt | cut -c 1-16)"
	[ ! -e "$stamp" ] || return 0
	echo "setup: making $build/venv" >&2
	python=/usr/bin/python3
	[ -x "$python" ] || python=python3
	rm -rf "$build/venv"
	mkdir -p "$build"
	"$python" -m venv "$build/venv"
	"$build/venv/bin/pip" install --quiet --disable-pip-version-check --no-input --no-deps \
		-r tests/requirements.txt
	touch "$stamp"
}

if ! command -v dpkg-query >/dev/null; then
	echo "setup: not a Debian system; the packages are listed in tools/packages-*.txt" >&2
	exit 1
fi
missing=$(missing_packages)
if [ -n "$missing" ]; then
	# shellcheck disable=SC2086
	install_packages $missing
fi
case " $lists " in
*" test "*) make_venv ;;
esac
