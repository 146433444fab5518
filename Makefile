# `make demo` and `make test` are all that a fresh machine needs: both install what is
# missing (see .ci/install), build and run.

# One target directory for every checkout on this machine, and one profile (dev) for
# everything, so that RocksDB's C++ is compiled once: it takes 17 to 20 minutes on 2 cores.
export CARGO_TARGET_DIR ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/relay/target
RELAY := $(CARGO_TARGET_DIR)/debug/relay
PYTHON := python3
DENY := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/relay/tools/bin/cargo-deny --locked

.DEFAULT_GOAL := help
.PHONY: help demo test run bench crash kills fire storms faults soak fuzz deny deny-lists lint build install-build install-peers

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: build install-peers ## A whole cutover before your eyes, with proof at the end
	@$(PYTHON) tests/demo/demo.py --relay $(RELAY)

test: install-build ## Run all tests, with real mail servers on loopback
	cargo test --locked --no-run
	@.ci/install peers
	cargo test --locked

run: build ## Start a relay from this checkout: port 2525, spool in spool/
	@echo
	@echo "Once it is ready, in another terminal:"
	@echo "  send      swaks --server 127.0.0.1:2525 --from you@example.org --to bob@example.com"
	@echo "  look      $(RELAY) --config conf/relay.toml status"
	@echo "            $(RELAY) --config conf/relay.toml list"
	@echo "  release   $(RELAY) --config conf/relay.toml release example.com --to HOST:PORT"
	@echo "conf/relay.toml says what it takes and where to; Ctrl-C stops it."
	@echo
	@exec $(RELAY) --config conf/relay.toml serve

bench: build install-peers ## Measure all beside its peers; ONLY=hold_queue ARGS="--help" for one
	@cargo build --locked --examples
	@for bench in $(or $(ONLY),hold_queue mover scale); do \
		$(PYTHON) benches/$$bench.py --relay $(RELAY) $(ARGS) || exit; \
	done
	@$(if $(ONLY),,$(PYTHON) benches/record.py $(CARGO_TARGET_DIR)/bench)

crash: install-build install-peers ## Cut the power and kill, N times each (N=1000), and compare
	RELAY_CRASH_CYCLES=$(or $(N),100) RELAY_POWER_CUTS=$(or $(N),100) \
		cargo test --locked --test crash -- --nocapture

kills: install-build install-peers ## Kill a release N times (N=500), at each of its steps, near and far
	RELAY_RELEASE_KILLS=$(or $(N),500) cargo test --locked --test once killed -- --nocapture

fire: install-build install-peers ## Release N messages (N=100000) to a server that does everything wrong
	RELAY_FIRE_MESSAGES=$(or $(N),100000) cargo test --locked --test fire -- --nocapture

storms: install-build ## Play N releases (N=10000) on simulated time, each in a storm of its own
	RELAY_SEEDS=$(or $(N),10000) cargo test --locked --lib simulation::every -- --nocapture

faults: install-build install-peers ## Break disk and system in every way, and write src/manual/faults.md
	RELAY_FAULTS=$(or $(N),8) RELAY_FAULTS_TABLE=src/manual/faults.md \
		cargo test --locked --test faults -- --nocapture

soak: install-build install-peers ## Live for H hours (H=1) under load, with restarts and kills
	RELAY_SOAK_SECONDS=$$(( $(or $(H),1) * 3600 )) \
		cargo test --locked --test soak -- --nocapture

fuzz: install-build ## Feed each target of fuzz/ with anything for T seconds (T=60)
	@fuzz/run $(or $(T),60) $(TARGETS)

deny: deny-lists ## Check licences, sources and advisories of all dependencies
	$(DENY) check advisories

# Without the advisories, which come with the days and not with a change.
deny-lists:
	@.ci/install deny
	$(DENY) check licenses bans sources

lint: install-build ## Check the format, and clippy with warnings denied
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

build: install-build ## Build the binary and say where it is
	@cargo build --locked
	@echo "built $(RELAY)"

install-build:
	@.ci/install build

install-peers:
	@.ci/install peers
