#!/usr/bin/env bash
# The tools that the bench compares with, from package registries only (Debian or Ubuntu, as root). What cannot be had is said and left out;
# the bench skips it with the reason. Other binaries by path: VARVE_BENCH_RESTIC, VARVE_BENCH_BENJI, VARVE_BENCH_KOPIA (kopia is in no registry).
set -uo pipefail

packages=(libnbd-bin qemu-utils e2fsprogs fio util-linux restic borgbackup
  virtnbdbackup libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing ${missing[*]}"
  apt-get update -qq
  install=(apt-get install -y -qq --no-install-recommends)
  export DEBIAN_FRONTEND=noninteractive
  # One by one only when one of them can't be had.
  "${install[@]}" "${missing[@]}" > /dev/null 2>&1 || for package in "${missing[@]}"; do
    "${install[@]}" "$package" > /dev/null || echo "left out: $package"
  done
fi

# Benji asks for an old ruamel.yaml that does not build on newer Pythons; a later one works.
peers="${VARVE_CACHE:-$HOME/.cache/varve}/peers"
if [ ! -x "$peers/benji/bin/benji" ]; then
  echo "installing Benji"
  mkdir -p "$peers"
  needs=('ruamel.yaml<0.18' 'setuptools<80' 'sqlalchemy<2' alembic boto3 python-dateutil cerberus colorama diskcache dateparser semantic_version
    'prettytable<1' psycopg2-binary 'pycryptodome<4' pydash sparsebitfield structlog zstandard 'argcomplete<2' 'attrs>=21.4,<22' 'pyparsing<3' 'setproctitle<2')
  if ! { python3 -m venv "$peers/benji" \
    && "$peers/benji/bin/pip" install -q --no-deps benji==0.17.0 \
    && "$peers/benji/bin/pip" install -q "${needs[@]}" \
    && "$peers/benji/bin/benji" --help > /dev/null; }; then
    rm -rf "$peers/benji"
    echo "left out: Benji"
  fi
fi
# Xen Orchestra's NBD client. Of its dependencies some are not in the registry in the versions it names; what reading needs is.
if [ ! -e "$peers/vates/node_modules/@vates/nbd-client/multi.mjs" ]; then
  echo "installing @vates/nbd-client"
  rm -rf "$peers/vates"
  mkdir -p "$peers/vates/node_modules/@vates/nbd-client"
  if ! (cd "$peers/vates" \
    && npm install --no-audit --no-fund --loglevel=error promise-toolbox@0.21.0 @vates/read-chunk@1.2.1 @vates/async-each@1.0.3 @xen-orchestra/log@0.7.2 > /dev/null \
    && tarball=$(npm pack --silent @vates/nbd-client@3.6.0) \
    && mkdir -p node_modules/@vates/nbd-client \
    && tar xzf "$tarball" --strip-components=1 -C node_modules/@vates/nbd-client \
    && rm "$tarball" \
    && node --input-type=module -e "await import('$peers/vates/node_modules/@vates/nbd-client/multi.mjs')"); then
    rm -rf "$peers/vates"
    echo "left out: @vates/nbd-client"
  fi
fi
echo "peers are in place"
