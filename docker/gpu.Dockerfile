# `attnexport serve` on a GPU: as cpu.Dockerfile, with ONNX Runtime's CUDA and TensorRT providers, and TensorRT 10; no torch.
# The CUDA libraries come as wheels; the driver comes from the host, by the NVIDIA container toolkit (CUDA 13: driver 580 or later).
#
#   docker build -f docker/gpu.Dockerfile -t attnexport:gpu .
#   docker run --gpus all --read-only --tmpfs /tmp -v "$PWD/bundles:/models:ro" -p 127.0.0.1:8000:8000 attnexport:gpu --session ort-cuda
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.08-py3
ARG BASE_IMAGE=ubuntu:noble-20260905
# The TensorRT 10 that ONNX Runtime 1.31's TensorRT provider is linked to. Its package is a source archive that fetches the libraries: no hashes.
ARG TENSORRT=10.16.1.11

FROM ${TRITON_IMAGE} AS triton
COPY docker/collect-triton.sh /collect-triton.sh
RUN sh /collect-triton.sh /collected

FROM ${BASE_IMAGE} AS packages
# The base is pinned by its date; Debian and Ubuntu drop the old versions of packages from their archives.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY docker/requirements/*.txt /requirements/
RUN python3 -m venv /opt/attnexport \
    && /opt/attnexport/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r /requirements/runtime.txt -r /requirements/gpu.txt -r /requirements/cuda.txt \
    && /opt/attnexport/bin/pip install --no-cache-dir --require-hashes --target /build-tools -r /requirements/build.txt
ARG TENSORRT
RUN /opt/attnexport/bin/pip install --no-cache-dir "tensorrt-cu13==${TENSORRT}" \
    && ln -s /opt/attnexport/lib/python3*/site-packages/tensorrt_libs /opt/attnexport/tensorrt
COPY . /source
RUN PYTHONPATH=/build-tools /opt/attnexport/bin/pip install --no-cache-dir --no-deps --no-build-isolation /source \
    && /opt/attnexport/bin/pip uninstall --yes setuptools pip

FROM ${BASE_IMAGE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin attnexport \
    && mkdir /models
COPY --from=triton /collected/ /
COPY --from=packages /opt/attnexport /opt/attnexport
COPY docker/serve-models.sh /usr/local/bin/serve-models
# The server writes only under /tmp, a tmpfs; the rest of the file system is read-only.
ENV PATH=/opt/attnexport/bin:/opt/tritonserver/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/opt/tritonserver/lib:/opt/attnexport/tensorrt \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    MODELS=/models
# Incompatible libraries fail in the build, not when the image starts. `tritonserver --help` exits with 1.
RUN (tritonserver --help 2> /tmp/help || grep -q -e --model-repository /tmp/help) \
    && attnexport --version \
    && python3 -c "import onnxruntime, tritonclient.grpc, tritonclient.http" \
    && rm -rf /tmp/help /tmp/cache
USER 10001:10001
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["tini", "--", "serve-models"]
