# An image with one static program and nothing else: no shell, no package manager, no libc. docs/image.md says how to
# run it.
#
#   docker build --build-arg COMMIT=$(git rev-parse HEAD) --tag riskshare .
#
# Where nothing can be fetched, lay a program out that is built already, and build the last stage alone:
#
#   deploy/image/lay-out PROGRAM FOLDER
#   buildah bud --format docker --build-context build=FOLDER --tag riskshare .
#
# tests/image/run does this and looks at what comes out.

FROM rust:1.95-bookworm AS build
# Beside the program's own packages, so that it is made anew only when its version changes.
RUN cargo install --locked --version 0.5.9 cargo-cyclonedx
WORKDIR /src
COPY . .
ARG COMMIT=""
# static-pie with glibc: it resolves names as other programs do, and addresses are still drawn by lot.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    target=$(rustc -vV | sed -n 's/^host: //p') \
    && RISKSHARE_COMMIT=$COMMIT RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --release --locked --bin riskshare --target "$target" \
    && deploy/image/lay-out "target/$target/release/riskshare" /image

FROM scratch
ARG COMMIT=""
ARG VERSION=""
LABEL org.opencontainers.image.title="riskshare" \
      org.opencontainers.image.description="Shares insider risk severity with DLP alert queues and Defender incidents" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$COMMIT"
COPY --from=build /image/ /
# Whoever mounts a volume here need not change its owner first.
COPY --from=build --chown=65532:65532 /data/ /var/lib/
# A number, for orchestrators that refuse root cannot look names up.
USER 65532:65532
WORKDIR /var/lib/riskshare
# The weakest place that settings come from, so that variables and flags still win.
ENV RISKSHARE_CONFIG=/etc/riskshare/riskshare.toml
EXPOSE 50051
# Whether the process lives. Whether to send it calls is for a balancer to ask, which names a service.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["/riskshare", "healthcheck", "--address", "127.0.0.1:50052", "--service", "live"]
ENTRYPOINT ["/riskshare"]
CMD ["serve"]
