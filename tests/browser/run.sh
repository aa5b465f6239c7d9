#!/bin/sh
# Runs a browser test against a server that is already up: the query page, or a scenario of the console.
#   BASE_URL=http://127.0.0.1:8080 TOKEN=... tests/browser/run.sh
#   BASE_URL=http://127.0.0.1:8080 TOKEN=... INTEGRATION=... tests/browser/run.sh console.mjs themes
# Needs Node 20 and a Chromium (apt-get install chromium, or CHROMIUM=/path/to/chrome).
set -eu
cd "$(dirname "$0")"

# A lock file newer than what is installed, or nothing installed yet.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund
fi
if [ $# -eq 0 ]; then
    set -- graphiql.mjs
fi
exec node "$@"
