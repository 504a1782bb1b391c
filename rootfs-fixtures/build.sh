#!/usr/bin/env bash
# Builds target/fixtures/rootfs, the root file system of podrt.local/fixture:
# busybox and the payload, and nothing else. Import it with
#   podrt image import target/fixtures/rootfs podrt.local/fixture:latest
# Does nothing when its sources have not changed. The same sources, compiler and
# busybox give the same files, times included, so the image's id stays as well.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../target/fixtures
busybox=${BUSYBOX:-/bin/busybox}
arch=$(uname -m)
target=$arch-unknown-linux-musl
rustc --print target-libdir --target "$target" 2>/dev/null | xargs -r test -d ||
  target=$arch-unknown-linux-gnu

fail() { echo "build.sh: $1" >&2; exit 1; }
[ -x "$busybox" ] || fail "$busybox is missing: install Debian's busybox-static"

mkdir -p "$out"
exec 9>"$out/.lock"
flock 9

# Everything that decides the result, in one word.
inputs=$({
  cat "$here/build.sh" "$here"/payload/*.rs "$busybox"
  rustc -V
  echo "$target"
} | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/.inputs" 2>/dev/null)" = "$inputs" ] && [ -d "$out/rootfs" ]; then
  exit 0
fi

new=$out/rootfs.new
rm -rf "$new" "$out/.inputs"
mkdir -p "$new"/{bin,dev,etc,home/user,proc,root,run,srv,sys,tmp,usr/bin,var/log,var/tmp}

rustc --edition 2024 --target "$target" --crate-name payload \
  -C opt-level=s -C lto=fat -C codegen-units=1 -C panic=abort -C strip=symbols \
  -C target-feature=+crt-static -C relocation-model=static \
  -C link-arg=-Wl,--build-id=none --remap-path-prefix "$here=." \
  -D warnings -o "$new/bin/payload" "$here/payload/main.rs"

install -m 755 "$busybox" "$new/bin/busybox"
"$new/bin/busybox" --list | while read -r applet; do
  [ "$applet" = busybox ] || ln -s busybox "$new/bin/$applet"
done

cat >"$new/etc/passwd" <<'PASSWD'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/:/bin/false
user:x:1000:1000:user:/home/user:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
PASSWD
cat >"$new/etc/group" <<'GROUP'
root:x:0:
daemon:x:1:
user:x:1000:
extra:x:2000:user
more:x:3000:user,root
nobody:x:65534:
GROUP
echo 'hosts: files dns' >"$new/etc/nsswitch.conf"
printf 'NAME="podrt fixture"\nID=podrt-fixture\n' >"$new/etc/os-release"

chmod 755 "$new"
chmod 1777 "$new/tmp" "$new/var/tmp"
chmod 700 "$new/root"
if [ "$(id -u)" = 0 ]; then
  chown -R 0:0 "$new"
  chown -R 1000:1000 "$new/home/user"
fi
find "$new" -exec touch -h -d @1700000000 {} +

rm -rf "$out/rootfs"
mv "$new" "$out/rootfs"
echo "$inputs" >"$out/.inputs"
