# A stand-in for Triton's image, from the wheel nvidia-pytriton: Triton 2.51 for a CPU, in the layout of Triton's own image.
# For tests and for `make image` without a registry of images. Not for a service: it has published advisories.
ARG BASE_IMAGE=debian:bookworm-20260824-slim

FROM ${BASE_IMAGE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-pip libpython3.11 \
    && rm -rf /var/lib/apt/lists/*
COPY docker/requirements/triton-wheel.txt /requirements/
RUN pip download --no-cache-dir --no-deps --require-hashes --dest /wheel -r /requirements/triton-wheel.txt \
    && python3 -m zipfile -e /wheel/*.whl /unpacked \
    && mkdir -p /opt/tritonserver \
    && cp -R /unpacked/pytriton/tritonserver/bin /unpacked/pytriton/tritonserver/backends /opt/tritonserver/ \
    && cp -R /unpacked/nvidia_pytriton.libs /opt/tritonserver/lib \
    && cp /unpacked/pytriton/tritonserver/python_backend_stubs/3.11/triton_python_backend_stub /opt/tritonserver/backends/python/ \
    && chmod +x /opt/tritonserver/bin/tritonserver /opt/tritonserver/backends/python/triton_python_backend_stub \
    && echo 2.51.0 > /opt/tritonserver/TRITON_VERSION \
    && rm -rf /wheel /unpacked
