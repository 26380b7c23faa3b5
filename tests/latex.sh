#!/bin/sh
# pdfLaTeX for the tests of papers: there already, or installed with the system's package manager, or said to be missing.
set -u
if command -v pdflatex >/dev/null 2>&1 && command -v bibtex >/dev/null 2>&1 && kpsewhich booktabs.sty >/dev/null 2>&1; then
  exit 0
fi
if command -v apt-get >/dev/null 2>&1; then
  as_root=""
  [ "$(id -u)" -eq 0 ] || as_root="sudo -n"
  echo "Installing pdfLaTeX for the tests of papers ..."
  if $as_root apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends texlive-latex-recommended texlive-fonts-recommended >/dev/null 2>&1; then
    exit 0
  fi
fi
echo "No pdfLaTeX here and it could not be installed: the tests that build a PDF will be skipped (in CI: they fail)."
