#!/bin/sh
# Runs the browser test against a server that is already up:
#   BASE_URL=http://127.0.0.1:8080 TOKEN=... tests/browser/run.sh
# Needs Node 20 and a Chromium (apt-get install chromium, or CHROMIUM=/path/to/chrome).
set -eu
cd "$(dirname "$0")"

if [ -z "${CHROMIUM:-}" ]; then
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        if CHROMIUM=$(command -v "$name"); then break; fi
    done
fi
if [ -z "${CHROMIUM:-}" ]; then
    echo "no Chromium found: install one or set CHROMIUM" >&2
    exit 2
fi
export CHROMIUM

# A lock file newer than what is installed, or nothing installed yet.
if [ ! node_modules/.package-lock.json -nt package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund
fi
exec node graphiql.mjs
