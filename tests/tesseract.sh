#!/bin/sh
# Tesseract for the tests of scanned exams: there already, or installed with the system's package manager, or said to
# be missing.
set -u
if command -v tesseract >/dev/null 2>&1 && tesseract --list-langs 2>&1 | grep -qx spa; then
  exit 0
fi
if command -v apt-get >/dev/null 2>&1; then
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  echo "Installing tesseract for the tests of scanned exams ..."
  if $as_root apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y tesseract-ocr tesseract-ocr-spa tesseract-ocr-por >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "No tesseract here and it could not be installed: the tests of scanned exams will be skipped (in CI: they fail)."
