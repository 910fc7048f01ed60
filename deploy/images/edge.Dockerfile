# The edge gateway: no torch, no GPU. Build from the repository's root:
#   docker build -f deploy/images/edge.Dockerfile -t viseme-edge .
# PyAV's wheel bundles GPL encoders (x264, x265): images made from this file fall under the GPL's terms for them.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE NOTICE viseme.py ./
COPY shared ./shared
COPY edge_gateway ./edge_gateway
COPY inference_node/__init__.py ./inference_node/__init__.py
RUN python -m venv /opt/viseme \
    && /opt/viseme/bin/pip install --no-cache-dir '.[edge]'

FROM python:3.11-slim-bookworm
# It writes to /data and /tmp alone: run it with a root that is read-only (compose, kubernetes).
RUN groupadd --gid 10001 viseme \
    && useradd --uid 10001 --gid 10001 --create-home viseme \
    && install -d -o viseme -g viseme /data
COPY --from=build /opt/viseme /opt/viseme
USER 10001:10001
VOLUME /data
EXPOSE 50051 7860 9464
ENTRYPOINT ["/opt/viseme/bin/viseme-edge", "--data", "/data"]
CMD ["--listen", "0.0.0.0:50051", "--web", "0.0.0.0:7860", "--metrics", "0.0.0.0:9464", "--insecure", "--keys", "/etc/viseme/keys.json"]
