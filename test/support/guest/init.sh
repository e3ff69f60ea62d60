#!/bin/busybox sh
# First process of the test guest. ttyS0 is the kernel's console, ttyS1 the control channel: one shell command a line in,
# its output and then ". RC" out.
export PATH=/bin:/sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" || echo "insmod $module failed"; done < /modules/order
mkdir -p /mnt

# A disk whose first 64 KiB are zero gets a file system; anything else must be ext4 already.
disk() {
  if [ "$(head -c 65536 /dev/vda | tr -d '\000' | wc -c)" = 0 ]; then
    /sbin/mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 /dev/vda || return 1
  fi
  mount -t ext4 -o discard /dev/vda /mnt
}
# write N COUNT KIB: deterministic files a-N-*, the bytes follow from the name
fill() {
  i=0
  while [ $i -lt "$2" ]; do
    name="a-$1-$i"
    yes "$name" | head -c "$(($3 * 1024))" > "/mnt/$name" || return 1
    i=$((i + 1))
  done
}
# random NAME KIB
random() { head -c "$(($2 * 1024))" /dev/urandom > "/mnt/$1"; }
# sums: one line a file, sorted; files named churn-* are still being written
sums() { (cd /mnt && find . -type f ! -name 'churn-*' | sort | xargs -r sha256sum); }
# endless rewriting in the background
churn() {
  if [ "$1" = on ]; then
    (
      n=0
      while [ -e /tmp/churn ]; do
        head -c 262144 /dev/urandom > "/mnt/churn-$((n % 8))"
        [ $((n % 5)) = 4 ] && rm -f "/mnt/churn-$((n % 8))"
        n=$((n + 1))
      done
    ) > /dev/null 2>&1 &
  else
    rm -f /tmp/churn
    wait
  fi
}

mkdir -p /tmp
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
stty raw -echo < /dev/ttyS1
echo READY
while read -r line; do
  [ "$line" = "churn on" ] && : > /tmp/churn
  eval "$line"
  echo ". $?"
done
