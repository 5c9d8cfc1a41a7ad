# `attnexport serve` on a CPU: Triton's server and Python backend, ONNX Runtime, attnexport's runtime; no torch.
#
#   docker build -f docker/cpu.Dockerfile -t attnexport:cpu .
#   docker run --read-only --tmpfs /tmp -v "$PWD/bundles:/models:ro" -p 127.0.0.1:8000:8000 attnexport:cpu
#
# Both images can be replaced by images with the same layout, as `make image` does without a registry of images.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.08-py3
ARG BASE_IMAGE=ubuntu:noble-20260905

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
        -r /requirements/runtime.txt -r /requirements/cpu.txt \
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
ENV PATH=/opt/attnexport/bin:/opt/tritonserver/bin:/usr/local/bin:/usr/bin:/bin \
    LD_LIBRARY_PATH=/opt/tritonserver/lib \
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
