#!/bin/sh
# Copy Triton's server, its Python backend and the shared libraries that they load into the folder $1, with the paths of the final image:
# a hundredth of the size of Triton's image. The C and C++ runtimes come from the final image, the GPU's driver from the host.
set -eu
out=$1/opt/tritonserver
mkdir -p "$out/bin" "$out/lib" "$out/backends"
cp /opt/tritonserver/bin/tritonserver "$out/bin/"
cp -R /opt/tritonserver/backends/python "$out/backends/"
for file in LICENSE TRITON_VERSION; do
    if [ -e "/opt/tritonserver/$file" ]; then cp "/opt/tritonserver/$file" "$out/"; fi
done

export LD_LIBRARY_PATH="/opt/tritonserver/lib:${LD_LIBRARY_PATH:-}"
linked=$(ldd "$out/bin/tritonserver" "$out"/backends/python/*.so "$out/backends/python/triton_python_backend_stub")
missing=$(printf '%s\n' "$linked" | awk '/not found/ && !/libcuda\.so|libnvidia-ml\.so/ {print $1}' | sort -u)
if [ -n "$missing" ]; then
    echo "collect-triton: libraries of Triton that are not in its image: $missing" >&2
    exit 1
fi
printf '%s\n' "$linked" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|libgcc_s|libstdc\+\+)\.so' |
    xargs -I {} cp -L {} "$out/lib/"
