#!/bin/sh
# Chromium for the browser test: there already, or installed with the system's package manager, or said to be missing.
set -u
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  command -v "$name" >/dev/null 2>&1 && exit 0
done
if command -v apt-get >/dev/null 2>&1; then
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  echo "Installing Chromium for the browser test ..."
  if $as_root apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y chromium >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "No Chromium here and it could not be installed: the browser test will be skipped (in CI: it fails)."
