#!/usr/bin/env bash
# What the tests use besides Node: real peers of NBD, a real S3 server, Redis, a browser, a guest. Debian or Ubuntu, as root.
# Every step is skipped when its result is there already. MinIO is built once from the Go module proxy into a cache folder.
set -euo pipefail

packages=(qemu-utils qemu-system-x86 nbdkit libnbd-bin fio redis-server e2fsprogs busybox-static chromium procps python3-venv faketime)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

cache="${VARVE_CACHE:-$HOME/.cache/varve}"
minio="$cache/bin/minio"
if [ ! -x "$minio" ]; then
  command -v go > /dev/null || { echo "Go is needed to build the MinIO server for tests: install golang 1.24 or newer" >&2; exit 1; }
  echo "building the MinIO server (some minutes, once)"
  mkdir -p "$cache/bin"
  GOBIN="$cache/bin" go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
fi

# Checkers of the compose file and of the Kubernetes manifests.
kustomize="$cache/bin/kustomize"
if [ ! -x "$kustomize" ]; then
  command -v go > /dev/null || { echo "Go is needed to build kustomize for tests: install golang 1.24 or newer" >&2; exit 1; }
  GOBIN="$cache/bin" go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1
fi
python="$cache/python"
if [ ! -x "$python/bin/kubernetes-validate" ] || [ ! -x "$python/bin/check-jsonschema" ]; then
  python3 -m venv "$python"
  "$python/bin/pip" install --quiet --disable-pip-version-check check-jsonschema==0.39.0 kubernetes-validate==1.37.0
fi

# The kernel of the test guest: only downloaded and unpacked, never installed.
guest="$cache/guest"
if ! ls "$guest"/root/boot/vmlinuz-* > /dev/null 2>&1; then
  mkdir -p "$guest/deb" "$guest/root"
  [ ${#missing[@]} -gt 0 ] || apt-get update -qq
  kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/{print $2; exit}')
  (cd "$guest/deb" && apt-get download -qq "$kernel")
  dpkg -x "$guest"/deb/linux-image-*.deb "$guest/root"
  rm -rf "$guest/deb"
fi
echo "test tools are in place"
