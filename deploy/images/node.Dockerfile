# The inference node; Triton runs beside it in NVIDIA's container (deploy/compose). Build from the repository's root:
#   docker build -f deploy/images/node.Dockerfile -t viseme-node .
# PyAV's wheel bundles GPL encoders (x264, x265): images made from this file fall under the GPL's terms for them.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE viseme.py ./
COPY shared ./shared
COPY inference_node ./inference_node
COPY edge_gateway/__init__.py ./edge_gateway/__init__.py
RUN python -m venv /opt/viseme \
    && /opt/viseme/bin/pip install --no-cache-dir '.[node]'

FROM python:3.11-slim-bookworm
# It writes to /data and /tmp alone: run it with a root that is read-only (compose, kubernetes).
RUN groupadd --gid 10001 viseme \
    && useradd --uid 10001 --gid 10001 --create-home viseme \
    && install -d -o viseme -g viseme /data
COPY --from=build /opt/viseme /opt/viseme
USER 10001:10001
VOLUME /data
EXPOSE 50061 9465
ENTRYPOINT ["/opt/viseme/bin/viseme-node", "--data", "/data"]
CMD ["--listen", "0.0.0.0:50061", "--metrics", "0.0.0.0:9465", "--triton-url", "triton:8001", "--insecure"]
