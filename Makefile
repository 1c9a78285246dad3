# Ursa: what a person types here. `make` alone prints this list.
# Everything asks nothing; what needs root says so with the one command to type.

PREFIX  ?= /usr/local
DESTDIR ?=
ONLY    ?=
SECONDS ?= 60
export PREFIX DESTDIR ONLY

.DEFAULT_GOAL := help
.PHONY: help packages build demo picture test bench fuzz campaign lab format lint install uninstall clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  make bench ONLY=network     one family of benchmarks: network firewall start ps keeper image bare boot lab"
	@echo "  make install PREFIX=/usr    somewhere else than /usr/local; DESTDIR= is for packagers"

packages:
	@scripts/install-packages build run

build: packages ## the programs, optimized: .build-release/release/ursa, ursa-keeper, ursa-rootless, ursa-vmm
	@scripts/build

demo: ## two machines on a NAT network that know each other by name
	@scripts/demo

picture: ## the demo's real output into README.md and docs/images/demo.svg (root)
	@scripts/demo-picture

test: ## lint, then every test; what needs root is skipped, by name, without it
	@scripts/test

bench: ## the figures of docs/benchmarks.md, ours and a peer's in the same run (root)
	@scripts/bench $(ONLY)

fuzz: ## search for inputs that break a parser, a minute for each; ONLY=Spec SECONDS=600
	@scripts/fuzz $(or $(ONLY),all) $(SECONDS)

lab: packages ## a Linux with a real /dev/kvm on any machine: boots it and says what is there (root)
	@scripts/lab report

campaign: ## the long tests: kill -9 at every step of every plan, ten million steps through each device (root)
	@URSA_SLOW=1 URSA_CAMPAIGN=1 scripts/test
	@scripts/fuzz --steps 10000000

format: ## format all Swift sources in place
	@scripts/lint --mend

lint: ## format, imports and words; changes nothing
	@scripts/lint

install: ## programs, completions and man pages under PREFIX
	@scripts/install install

uninstall: ## exactly what install wrote
	@scripts/install uninstall

clean: ## everything that was built here
	rm -rf .build .build-release .build-keeper .build-engine .build-demo .build-bench .build-fuzz .build-lab .build-peers Benchmarks/.build
