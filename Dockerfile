# One image with both programs; docker-compose.yml says which one runs.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG COMMIT=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.commit=${COMMIT}" -o /out/ ./cmd/addons ./cmd/statsd-relay

# A shell-less image with certificates and a user of its own; Dockerflow asks for uid 10001.
FROM gcr.io/distroless/static-debian12
COPY --from=build /out/addons /out/statsd-relay /usr/local/bin/
COPY --from=build --chown=10001:10001 /src/README.md /data/
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000 8001 9102 9103 8125/udp 8125/tcp
ENTRYPOINT ["/usr/local/bin/addons"]
CMD ["up", "--data", "/data", "--admin", ":8001", "--relay-http", ":9102"]
