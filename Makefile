# What a developer types. CI calls `check` and `test` and nothing else (.ci/run).
.PHONY: deb demo filters packages languages test check bench fmt

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

# Unit tests, then the real binary between real programs. nextest runs each test as a process and ends those that hang;
# it runs no doctests, hence the second command.
test: filters languages
	cargo build --package spliceway
	if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace; \
	else \
		cargo test --workspace --lib --bins --tests; \
	fi
	cargo test --workspace --doc

# The documentation is for those who read the code, so it may link to what is private.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
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
