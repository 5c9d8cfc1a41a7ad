#!/bin/sh
# The entry point of the images: serve every bundle of $MODELS. Arguments are options of `attnexport serve`.
set -eu
set -- --host 0.0.0.0 --http-port 8000 --grpc-port 8001 --metrics-port 8002 "$@"
for bundle in "${MODELS:=/models}"/*.attn; do
    if [ ! -e "$bundle" ]; then
        echo "attnexport: no bundle *.attn in $MODELS: mount the folder that holds them there, read-only" >&2
        exit 2
    fi
    set -- "$@" "$bundle"
done
exec attnexport serve "$@"
