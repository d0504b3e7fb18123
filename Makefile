# What a developer types. CI calls `check` and `test` and nothing else (.ci/run).
.PHONY: deb demo filters packages languages tools test check bench fmt

# See it work: upstreams, a proxy, filters, one of them replaced under traffic.
demo: filters
	cargo build --release --package spliceway
	target/release/spliceway demo

# All filters of the project, and those that exist for tests, as components: target/filters, target/guests.
filters:
	scripts/wasm-target
	scripts/build-filters

# What Debian has of what the tests run and the filters are built with.
packages:
	scripts/apt-packages

# The same filter in C, JavaScript and Python: target/languages.
languages: packages
	scripts/build-languages

# What the tests run and Debian does not have: target/tools.
tools: packages
	scripts/test-tools

# Unit tests, then the real binary between real programs, with every feature. nextest runs each test as a process and ends those that hang;
# it runs no doctests, hence the second command.
test: filters languages tools
	cargo build --package spliceway --features otel
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --features spliceway/otel; \
	else \
		cargo test --workspace --features spliceway/otel --lib --bins --tests; \
	fi
	cargo test --workspace --features spliceway/otel --doc

# With every feature, and the proxy as it is released, without. The documentation is for those who read the code, so it may
# link to what is private.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	cargo clippy --package spliceway -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items

# A Debian package of the release, in target/.
deb:
	cargo build --release --package spliceway
	packaging/build-deb target/release/spliceway target

# What a filter adds to a request, to a connection and to bulk, what a call costs, and what it costs to choose a server
# and a route.
bench: filters
	cargo build --release --package spliceway
	cargo bench --package spliceway-tests --bench filters
	cargo bench --package spliceway --bench filters
	cargo bench --package spliceway --bench pick
	cargo bench --package spliceway --bench routes

fmt:
	cargo fmt --all
