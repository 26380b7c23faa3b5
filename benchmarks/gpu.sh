#!/bin/sh
# Our engine, TRL and flash-pref with 8 billion weights on one card, in eight minutes: benchmarks/gpu.py says what for.
#
#   sh benchmarks/gpu.sh                   on the card; words behind it go to gpu.py: --out FILE, lora nf4, --help
#   sh benchmarks/gpu.sh --tiny            every part on a CPU: shows that it works and measures nothing
#   sh benchmarks/gpu.sh wheels 3.12       beforehand, on a machine with a network: the libraries that flash-pref needs, for
#                                          the card's Python, into .wheels
#   sh benchmarks/gpu.sh wheels 3.12 130   the same, and what annot needs beside PyTorch and a usual set of libraries, for
#                                          CUDA 13.0: for a machine where nothing can be installed
#
# PYTHON names the interpreter: by default the one of .venv, else python3.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}

if [ "${1:-}" = wheels ]; then
    version=${2:-}
    [ -n "$version" ] || { echo "wheels: say the Python of the card's machine, for example: wheels 3.12" >&2; exit 2; }
    fetch() {
        folder=$1
        shift
        rm -rf "$folder"
        for number in 17 24 27 28 31 34; do set -- "$@" --platform "manylinux_2_${number}_x86_64"; done
        "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
            --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --dest "$folder" "$@"
    }
    fetch .wheels/flash_pref flash-pref==0.1.1 transformers==4.51.3 tokenizers==0.21.4 huggingface_hub==0.36.2 peft==0.15.2
    if [ -n "${3:-}" ]; then
        names='accelerate|annotated-types|bitsandbytes|datasets|dill|httpcore2|httpx2|huggingface-hub|multiprocess|peft|pycountry|pydantic|pydantic-core|tokenizers|tomlkit|transformers|trl|truststore|typing-inspection'
        # shellcheck disable=SC2046
        fetch .wheels/ours $(grep -E "^($names)==" constraints.txt)
        # Of bitsandbytes' libraries, one for each CUDA, that of the card's is enough.
        for wheel in .wheels/ours/bitsandbytes-*.whl; do
            "$PYTHON" - "$wheel" "libbitsandbytes_cuda$3.so" <<'END'
import sys, zipfile
from pathlib import Path

path, wanted = Path(sys.argv[1]), sys.argv[2]
with zipfile.ZipFile(path) as old:
    names = [n for n in old.namelist() if not n.endswith((".so", ".dll")) or n.endswith((wanted, "libbitsandbytes_cpu.so"))]
    if not any(name.endswith(wanted) for name in names):
        raise SystemExit(f"{path.name} has no {wanted}")
    with zipfile.ZipFile(path.with_suffix(".new"), "w", zipfile.ZIP_DEFLATED) as new:
        for name in names:
            new.writestr(name, old.read(name))
path.with_suffix(".new").replace(path)
END
        done
    fi
    echo "$version" > .wheels/python
    du -sh .wheels/ours .wheels/flash_pref 2>/dev/null || true
    exit
fi

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
fetched=$(cat .wheels/python 2>/dev/null || true)
here=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
folders="ours flash_pref"
if [ -n "$fetched" ] && [ "$fetched" != "$here" ]; then
    echo "gpu.sh: .wheels is for Python $fetched and this is $here, so it is left out" >&2
    folders=""
fi
for folder in $folders; do
    for wheel in .wheels/"$folder"/*.whl; do
        [ -e "$wheel" ] && "$PYTHON" -m zipfile -e "$wheel" "$home/$folder"
    done
done
# 4-bit weights are bitsandbytes' on both sides.
if [ -e "$home/flash_pref" ]; then
    for part in "$home"/ours/bitsandbytes*; do [ -e "$part" ] && cp -r "$part" "$home/flash_pref/"; done
    set -- --flash-pref "$home/flash_pref" "$@"
fi
export PYTHONPATH="$home/ours:$PWD"
# The first process only asks whether there is a card, and has one thread: it parts into one process an arm.
export PYTORCH_NVML_BASED_CUDA_CHECK=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1
"$PYTHON" benchmarks/gpu.py "$@"
