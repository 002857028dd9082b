# SPDX-License-Identifier: MIT
# What packaging/run and packaging/test share. Sourced by bash, with the project's root as the current folder.

export DEBIAN_FRONTEND=noninteractive
export LC_ALL=C.UTF-8

# What a build needs. Both Debian 12 and 13 know these names.
BUILD_PACKAGES="gcc libc6-dev libsystemd-dev meson ninja-build pkgconf python3"

say() {
	printf '%s\n' "$*"
}

fail() {
	printf 'packaging/%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo -- "$@"
	else
		fail "this needs root, and there is no sudo: $*"
	fi
}

is_installed() {
	[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

apt_install() {
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet --no-install-recommends "$@"
}

# Installs those of the packages that are missing. The package lists are fetched only when apt cannot do with
# those that are there. LOG gets what apt says.
install_packages() {
	local log=$1 missing="" package
	shift

	for package; do
		is_installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null || fail "not a Debian system; please install:$missing"
	say "Installing:$missing"
	# shellcheck disable=SC2086
	if ! apt_install $missing >"$log" 2>&1 </dev/null; then
		as_root apt-get update --quiet >>"$log" 2>&1 </dev/null || true
		apt_install $missing >>"$log" 2>&1 </dev/null || {
			tail -n 20 "$log" >&2
			fail "apt-get could not install them; all it said is in $log"
		}
	fi
}

# Configures a build folder once, and builds it: build FOLDER OPTION…
build() {
	local folder=$1
	shift

	[ -f "$folder/build.ninja" ] || meson setup "$@" "$folder" || return
	ninja -C "$folder"
}
