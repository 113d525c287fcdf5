# One command for each thing a developer does. `make` alone lists them.
# `.ci/run` runs `make test` on a fresh checkout.

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
SERVERS := $(or $(FAULTLINE_SERVERS),.servers)
DENY_VERSION := 0.20.2
DENY := $(SERVERS)/bin/cargo-deny-$(DENY_VERSION)
DEPLOY_LINT := $(SERVERS)/deploy-lint.venv

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz chaos reference fmt deploy-lint lint unit doc deny check-examples audit fast bench machine scenario clean-servers

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: ## Replay the bundled orders incident through the whole engine
	$(CARGO) run --bin faultline -- demo

# In this order: what fails quickest first, and clippy before tests so that the test run is not lost to a warning.
test: machine fmt deploy-lint lint unit doc deny check-examples ## Everything that must hold before a merge (real servers included)

fast: ## Unit tests of contracts and operators, no servers
	$(CARGO) test -p faultline-contracts -p faultline-operators

# Property tests whose names say fuzz: every decoder, and the escaper against a real Gremlin Server.
FUZZ_CASES ?= 100000
fuzz: machine ## Every decoder and the Gremlin escaper, FUZZ_CASES (100,000) inputs each
	PROPTEST_CASES=$(FUZZ_CASES) $(CARGO) test --locked --workspace fuzz_

KILLS ?= 200
chaos: machine ## Kills at random moments under load, KILLS (200) of them
	FAULTLINE_KILLS=$(KILLS) $(CARGO) test --locked --workspace --test chaos -- --nocapture

reference: ## Write the configuration reference of docs/OPERATIONS.md anew
	$(CARGO) run --locked --quiet --bin faultline -- configuration > $(TARGET)/configuration.md
	sed -i -e '/^<!-- made by `make reference` -->$$/,/^<!-- end -->$$/{//!d}' \
		-e '/^<!-- made by `make reference` -->$$/r $(TARGET)/configuration.md' docs/OPERATIONS.md

bench: machine ## Operators in short, then throughput and latency beside a real broker (docs/BENCHMARKS.md)
	$(CARGO) build --locked --release --bin faultline --bin wire --bin latency
	$(CARGO) bench --locked -p faultline-benches --benches -- --warm-up-time 0.3 --measurement-time 1 --sample-size 10
	$(TARGET)/release/wire --out $(TARGET)/wire.md
	$(TARGET)/release/latency --seconds 10 --out $(TARGET)/latency.md

audit: $(DENY) ## Known vulnerabilities of dependencies (fetches the RustSec database from GitHub)
	$(DENY) check advisories

scenario: ## Write contracts/examples/orders anew after a change of its generator
	$(CARGO) run -p faultline-tests --bin orders-scenario

machine: ## Install the system packages that are missing
	@.ci/install-missing

fmt:
	$(CARGO) fmt --all -- --check

deploy-lint: machine $(DEPLOY_LINT)/requirements.txt ## The files of deploy/: image, manifests, units, IAM policy (deploy/README.md)
	$(DEPLOY_LINT)/bin/python -B deploy/lint/lint.py deploy
	$(DEPLOY_LINT)/bin/python -B deploy/lint/broken.py deploy

# The list is copied last, so that an environment with it is complete.
$(DEPLOY_LINT)/requirements.txt: deploy/lint/requirements.txt
	python3 -m venv --clear $(DEPLOY_LINT)
	$(DEPLOY_LINT)/bin/pip install --quiet --disable-pip-version-check --no-input --no-deps -r $<
	cp $< $@

lint:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings

unit:
	$(CARGO) test --locked --workspace --no-fail-fast

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# Advisories are `make audit`: their database is not in a package registry.
deny: $(DENY)
	$(DENY) --log-level error check bans licenses sources

# An unoptimised cargo-deny is as good here and compiles in a minute or two.
$(DENY):
	$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --debug --no-track --force --root $(SERVERS)
	mv $(SERVERS)/bin/cargo-deny $@

# The last one reads a configuration, with no record to judge and, without credentials, nobody to ask.
check-examples:
	@set -e; for catalog in contracts/examples/*/catalog.yaml; do \
		echo "faultline check $${catalog%/catalog.yaml}"; \
		$(CARGO) run --locked --quiet --bin faultline -- check "$${catalog%/catalog.yaml}"; \
	done
	@echo "faultline reads deploy/msk/faultline.yaml"
	@env -u AWS_ACCESS_KEY_ID -u AWS_PROFILE AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null \
		AWS_EC2_METADATA_DISABLED=true $(CARGO) run --locked --quiet --bin faultline -- --log error replay \
		--config deploy/msk/faultline.yaml --catalog contracts/examples/payments --input /dev/null > /dev/null

clean-servers: ## Remove the servers that tests have installed
	rm -rf $(SERVERS)
