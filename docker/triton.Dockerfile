# Triton's image with attnexport's runtime for models of the Python backend; it includes the native backends onnxruntime and tensorrt.
# For a repository from `attnexport triton`, mounted at /models, and for KServe, docker/kserve/. No torch. Large: Triton's image has tens of GB.
#
#   docker build -f docker/triton.Dockerfile -t attnexport:triton .
#   docker run --gpus all --read-only --tmpfs /tmp -v "$PWD/repository:/models:ro" -p 127.0.0.1:8000:8000 attnexport:triton
#
# Plans for the tensorrt backend must be built with its TensorRT, 11.2.1 in 26.08; the Python backend runs ONNX Runtime 1.31 on its CUDA 13.
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:26.08-py3

FROM ${TRITON_IMAGE} AS packages
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/*
COPY docker/requirements/*.txt /requirements/
RUN python3 -m venv /opt/attnexport \
    && /opt/attnexport/bin/pip install --no-cache-dir --require-hashes --only-binary :all: \
        -r /requirements/runtime.txt -r /requirements/gpu.txt \
    && /opt/attnexport/bin/pip install --no-cache-dir --require-hashes --target /build-tools -r /requirements/build.txt
COPY . /source
RUN PYTHONPATH=/build-tools /opt/attnexport/bin/pip install --no-cache-dir --no-deps --no-build-isolation /source \
    && /opt/attnexport/bin/pip uninstall --yes setuptools pip

FROM ${TRITON_IMAGE}
COPY --from=packages /opt/attnexport /opt/attnexport
# The Python backend's processes use the first Python on PATH, with its packages.
ENV PATH=/opt/attnexport/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache
RUN attnexport --version && python3 -c "import onnxruntime, tritonclient.grpc" && rm -rf /tmp/cache
# triton-server in Triton's image; as a number, so that Kubernetes can see that it is not root.
USER 1000:1000
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
# A broken new version must not take the old one out of service: query readiness by model, /v2/models/NAME/ready.
CMD ["tritonserver", "--model-repository=/models", "--strict-readiness=false", "--disable-auto-complete-config", "--exit-timeout-secs=30"]
