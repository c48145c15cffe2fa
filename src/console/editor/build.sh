#!/bin/sh
# Makes ../assets/editor.js and its notices from editor.js and the packages of package-lock.json. Needs Node and npm;
# dtgate itself is built without them, from what is committed.
set -eu
cd "$(dirname "$0")"
npm ci --ignore-scripts --no-audit --no-fund
npx --no-install esbuild editor.js --bundle --minify --format=iife --target=es2020 --legal-comments=none --metafile=node_modules/meta.json \
  --outfile=../assets/editor.js --log-level=warning
# Of every package of which something is in it: its licence as it came.
node notices.js node_modules/meta.json > ../assets/THIRD-PARTY.txt
wc -c ../assets/editor.js
gzip -9 -c ../assets/editor.js | wc -c
