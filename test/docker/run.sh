#!/bin/bash
# The integration tests against the containers of docker-compose.yml: first its one member, then its three.
# Needs a Docker engine that answers (`docker info`), and Compose v2 or v1. If no registry answers, the image is built
# from Debian's etcd (build-image.sh). All containers and volumes are removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/../.."

if docker compose version > /dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
# A separate project: containers that a developer has started with the same file stay.
compose+=(--project-name etcd-election-test --profile cluster)

take_down() { "${compose[@]}" down --volumes --timeout 1 > /dev/null 2>&1; }
trap take_down EXIT

until_healthy() { # services; etcd needs about 2 s
  local attempt service health
  for service in "$@"; do
    for attempt in {1..60}; do
      health=$(docker inspect --format '{{.State.Health.Status}}' "$("${compose[@]}" ps -q "$service")")
      [ "$health" != healthy ] || continue 2
      sleep 0.5
    done
    echo "$service is $health after 30 s" >&2
    "${compose[@]}" logs --tail 50 "$service" >&2
    return 1
  done
}

status=0
test_against() { # endpoints names...
  local endpoints=$1
  shift
  echo "--- integration tests against the containers at $endpoints"
  # Tests of candidates and observers on an existing etcd. Tests that start their own etcd, or none, need
  # no second and third run.
  ETCD_ENDPOINTS=$endpoints npx vitest run --project integration "${@/#/test/integration/}" || status=$?
}

docker info > /dev/null
take_down || true # leftovers of a killed run
image=$(sed -n 's/^ *image: *//p' docker-compose.yml | head -1)
docker image inspect "$image" > /dev/null 2>&1 ||
  timeout 60 docker pull --quiet "$image" ||
  test/docker/build-image.sh

"${compose[@]}" up --detach etcd
until_healthy etcd
test_against http://127.0.0.1:2379 {callbacks,ending,interop,loss,observe,queue,term}.test.ts

"${compose[@]}" up --detach etcd1 etcd2 etcd3
until_healthy etcd1 etcd2 etcd3
# Several members differ in how a client finds another one.
test_against http://127.0.0.1:23791,http://127.0.0.1:23792,http://127.0.0.1:23793 {loss,observe,queue}.test.ts

exit $status
