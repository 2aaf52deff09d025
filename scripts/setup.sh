#!/usr/bin/env bash
# Makes .venv with everything for working on the suite. `make setup` calls this when a requirement file has changed.
#
# PYTHON          interpreter of the new environment; default python3.11, else python3
# PIP_FIND_LINKS  folder or page with wheels to prefer, such as a CPU build of torch; uv is told of it too
# UV_TORCH_BACKEND  as uv reads it (cpu, cu126, auto, …); default cpu where no NVIDIA driver is found
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: error: %s\n' "$*" >&2; exit 1; }

venv=.venv
python=${PYTHON:-$(command -v python3.11 || command -v python3 || true)}
[ -n "$python" ] || die "no python3.11 and no python3 on the path; set PYTHON to a Python 3.11 or newer"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || die "$("$python" --version) is too old: set PYTHON to a Python 3.11 or newer"

say "system libraries: none are needed"
if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
fi
if [ ! -x "$venv/bin/uv" ]; then
    say "installing uv, which installs the rest several times faster than pip"
    "$venv/bin/python" -m pip install --quiet uv
fi

# uv reads neither pip's variables nor pip's configuration, and separates links by commas where pip uses spaces.
links=${PIP_FIND_LINKS:-$("$venv/bin/python" -m pip config get global.find-links 2>/dev/null || true)}
if [ -n "$links" ]; then
    export UV_FIND_LINKS=${UV_FIND_LINKS:-${links// /,}}
    say "preferring the wheels in $UV_FIND_LINKS"
elif [ -z "${UV_TORCH_BACKEND:-}" ] && [ "$(uname -s)" = Linux ] && [ ! -e /proc/driver/nvidia/version ] \
    && ! command -v nvidia-smi >/dev/null; then
    export UV_TORCH_BACKEND=cpu
    say "no NVIDIA driver found, so torch comes as its CPU build (UV_TORCH_BACKEND=auto or cu126 overrides)"
fi

say "installing the packages of requirements-dev.txt"
"$venv/bin/uv" pip install --python "$venv/bin/python" --constraints constraints.txt --requirements requirements-dev.txt

say "installing liger-kernel for the oracle tests, without triton (1 GB), which its losses do not need on a CPU"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps 'liger-kernel==0.8.5'

say "installing the soundfont synthesiser of the sound demonstration, without the audio device it can play on"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps 'tinysoundfont==0.3.7'

say "installing the weights of Basic Pitch, without TensorFlow, which they do not need"
"$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --no-deps 'basic-pitch==0.4.0'

# The published torchaudio is built for CUDA; beside a CPU build of torch it cannot be imported until this has run.
"$venv/bin/python" -m prefalign.cli.main audio repair-torchaudio

"$venv/bin/python" scripts/check_environment.py
say "done; activate with: source $venv/bin/activate"
