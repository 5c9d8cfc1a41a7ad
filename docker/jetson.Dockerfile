# `attnexport serve` on a Jetson Orin with JetPack 6.1 or 6.2: TensorRT 10.3, Python 3.10, CUDA 12.6, the same as on the device, so that
# an engine that `attnexport rebuild` builds on the device runs in the image, and the reverse. Build it on the device, or for linux/arm64.
#
#   docker build -f docker/jetson.Dockerfile -t attnexport:jetson .
#   docker run --runtime nvidia --read-only --tmpfs /tmp -v "$PWD/bundles:/models:ro" -p 127.0.0.1:8000:8000 attnexport:jetson
#
# Triton 2.49 is the last month of Triton's Jetson images with this Python and TensorRT; it has published advisories: keep it off open networks.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:24.08-py3-igpu
ARG BASE_IMAGE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime

FROM ${TRITON_IMAGE} AS triton
COPY docker/collect-triton.sh /collect-triton.sh
RUN sh /collect-triton.sh /collected

FROM ${BASE_IMAGE} AS packages
# The base is pinned by its version; Ubuntu drops the old versions of packages from its archive.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY docker/requirements/*.txt /requirements/
RUN python3 -m venv --system-site-packages /opt/attnexport \
    && /opt/attnexport/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /requirements/jetson.txt \
    && /opt/attnexport/bin/pip install --no-cache-dir --require-hashes --target /build-tools -r /requirements/build.txt
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
ENV PATH=/opt/attnexport/bin:/opt/tritonserver/bin:/usr/local/cuda/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/opt/tritonserver/lib:/usr/local/cuda/lib64 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    MODELS=/models
# TensorRT can be imported only with the device's driver, so the build only checks that it is installed.
RUN attnexport --version \
    && python3 -c "import importlib.util as u, onnx, onnxruntime, tritonclient.grpc; assert u.find_spec('tensorrt'), 'no TensorRT bindings'" \
    && rm -rf /tmp/cache
USER 10001:10001
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["tini", "--", "serve-models"]
