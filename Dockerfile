# The image: one binary, a numeric user, neither shell nor package manager.
#   docker build --build-arg KOMBO_MIRROR_COMMIT="$(git rev-parse HEAD)" -t kombo-mirror .
# Needs BuildKit, which Docker has by default, for the caches of crates and npm packages.

# GraphiQL is built with Node, by the crate's build script
FROM node:22-bookworm-slim AS node

FROM rust:1.95-slim-bookworm AS build
COPY --from=node /usr/local/bin/node /usr/local/bin/node
COPY --from=node /usr/local/lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
# cargo wants to see every target that Cargo.toml names
COPY benches benches
COPY migrations migrations
COPY src src
ARG KOMBO_MIRROR_COMMIT
# Dependencies stay compiled in the cache; what is the crate's own is made anew, since times of files say little here.
# Elsewhere a build without npm has a plain page instead of GraphiQL; an image without it is a mistake.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/root/.npm \
    --mount=type=cache,target=/build/target,sharing=locked \
    rm -rf target/release/build/kombo-mirror-* target/release/.fingerprint/kombo-mirror-* \
    && cargo build --locked --release --bin kombo-mirror \
    && grep -q '^Some(' target/release/build/kombo-mirror-*/out/graphiql.rs \
    && cp target/release/kombo-mirror /usr/local/bin/kombo-mirror

# glibc, the CA certificates for Kombo's API, and nothing to log in to
FROM gcr.io/distroless/cc-debian12:nonroot
ARG KOMBO_MIRROR_COMMIT=unknown
LABEL org.opencontainers.image.title="kombo-mirror" \
      org.opencontainers.image.description="Keeps a Postgres mirror of Kombo LMS data and serves it as a GraphQL API" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${KOMBO_MIRROR_COMMIT}"
COPY --from=build /usr/local/bin/kombo-mirror /usr/local/bin/kombo-mirror
# by number, so that Kubernetes can see that it is not root
USER 65532:65532
ENV LISTEN_ADDR=0.0.0.0:8080
EXPOSE 8080
# Whether the process lives. Whether the database does, too, is `health --ready`: restarting would not bring it back.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/kombo-mirror", "health"]
ENTRYPOINT ["/usr/local/bin/kombo-mirror"]
CMD ["serve"]
