# The entry to kiln for those who work on it. Nothing here needs root but installing what
# scripts/setup names; whoever is root gets a user of its own for all that builds.

.PHONY: help demo test test-all bench check fmt

help:
	@echo 'make demo      build kiln, a distribution, and a real package in a jail'
	@echo 'make test      what has to pass before a change lands'
	@echo 'make test-all  that, and the slow lanes: real packages, each twice; attacks; bad input;'
	@echo '               every attack of the contest on jails, the quick ones on machines'
	@echo 'make bench     the figures of docs/bench.md, beside rpmbuild, rpm and dnf'
	@echo 'make check     formatting, lints, licences'

demo:
	@scripts/demo

# Tarballs lie beside the trial distribution, in the home of the user that builds: that user makes
# the folder. Each '&&' counts: a trial distribution that could not be made must not end in tests
# that skip what they need it for.
SOURCES = KILN_SOURCES=$${KILN_SOURCES:-$$(scripts/as-user --home)/.cache/kiln-sources} && \
    export KILN_SOURCES && scripts/as-user mkdir -p "$$KILN_SOURCES" &&
KERNEL = KILN_GUEST_KERNEL=$$(scripts/guest-kernel) && export KILN_GUEST_KERNEL &&
TRIAL = KILN_TRIAL=$$(scripts/trial $(1)) && export KILN_TRIAL &&

# All targets at once: with fewer, what tests alone ask of a library would have it compiled twice.
test:
	@scripts/setup test
	cargo fmt --check
	cargo build --locked --workspace --all-targets
	@$(SOURCES) scripts/fetch-sources hello figlet attr perl-Try-Tiny
	$(SOURCES) $(call TRIAL,small) cargo nextest run --locked --workspace

# Machines are emulated where there is no KVM: the quick attacks then take some ten minutes, and all
# of them more than an hour ('kiln contest --backend microvm').
test-all: test
	@scripts/setup microvm
	@$(SOURCES) scripts/fetch-sources
	$(SOURCES) $(KERNEL) $(call TRIAL,wide) KILN_NO_SKIP=1 \
	    cargo nextest run --locked --workspace --profile all --run-ignored all
	$(SOURCES) $(KERNEL) $(call TRIAL,wide) KILN_NO_SKIP=1 \
	    cargo run --locked --package kiln-packages -- all
	scripts/contest
	cargo run --locked --package kiln-fuzz -- --seconds 60

bench:
	@scripts/setup bench
	@scripts/bench
	@scripts/load

check:
	@scripts/setup demo
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; \
	else echo 'licences: skipped, because cargo-deny is not installed'; fi

fmt:
	cargo fmt
