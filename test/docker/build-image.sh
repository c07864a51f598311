#!/bin/bash
# Builds the image that docker-compose.yml names, for a Docker engine that reaches no image registry. It contains
# etcd 3.5 from Debian's package and its linked libraries. Like etcd's own image it has the same paths and no shell.
# The patch version is Debian's; a label says so.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=$(sed -n 's/^ *image: *//p' docker-compose.yml | head -1)
[ -f dist/dev/index.js ] || npm run --silent build
etcd=$(node --input-type=module -e "
  import { etcdPath } from 'etcd-election/dev';
  console.log(await etcdPath({ series: '3.5' }));
")

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
install -D -t "$root/usr/local/bin" "$etcd" "$(dirname "$etcd")/etcdctl"
for library in $(ldd "$etcd" | grep -o '/[^ ]*'); do
  install -D "$(readlink -f "$library")" "$root$library"
done

version=$("$etcd" --version | sed -n 's/^etcd Version: //p')
tar -C "$root" -c . | docker import \
  --change 'CMD ["/usr/local/bin/etcd"]' \
  --change 'ENV PATH=/usr/local/bin' \
  --change "LABEL org.opencontainers.image.version=$version" \
  --change 'LABEL org.opencontainers.image.source=debian' \
  - "$image" > /dev/null
echo "built $image from Debian's etcd $version"
