# podrt: build, run and test with one command each. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# --- what a machine needs ---------------------------------------------------
# Debian packages, named here and nowhere else.
BUILD_PACKAGES := gcc musl-tools busybox-static
TEST_PACKAGES  := iproute2 util-linux procps
# Programs that use podrt as their runtime, and one that podrt uses; without one
# its tests are skipped. Whoever has such a program from elsewhere keeps it.
CALLER_PACKAGES := podman catatonit containerd runc buildah criu
VM_PACKAGES    := qemu-system-x86 e2fsprogs xz-utils
# Fetched and unpacked below target/vm, not installed.
VM_KERNEL      := linux-image-cloud-amd64
FUZZ_PACKAGES  := g++
SYSTEMD_PACKAGES := systemd dbus
PEER_PACKAGES  := crun runc podman conmon catatonit skopeo umoci containerd strace
RUST_ARCH      := $(shell uname -m)
MUSL_TARGET    := $(RUST_ARCH)-unknown-linux-musl
GNU_TARGET     := $(RUST_ARCH)-unknown-linux-gnu

# musl where the target is there or can be had; glibc, linked statically, where not.
TARGET  = $(shell rustup target list --installed 2>/dev/null | grep -qx $(MUSL_TARGET) && echo $(MUSL_TARGET) || echo $(GNU_TARGET))
OUT     = target/$(TARGET)
RELEASE = $(OUT)/release
DEBUG   = $(OUT)/debug
PREFIX ?= /usr/local
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
FIXTURE := target/fixtures/rootfs
FIXTURE_IMAGE := podrt.local/fixture:latest
SKIPPED_HOST := target/skipped-tests
SKIPPED_VM   := target/vm/out/skipped-tests
# The Debian release whose kernel the virtual machine runs, e.g. trixie.
KERNEL_RELEASE ?= own
# All of the tests there take a third of it on two cores.
VM_SECONDS ?= 2400

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{ printf "  %-14s %s\n", $$1, $$2 }'

.PHONY: deps
deps: ## Install the Debian packages and the Rust target that building and testing need
	@integration/tools/packages $(BUILD_PACKAGES) $(TEST_PACKAGES)
	@rustup target list --installed 2>/dev/null | grep -qx $(MUSL_TARGET) \
	  || rustup target add $(MUSL_TARGET) \
	  || echo "make: no $(MUSL_TARGET) here, building for $(GNU_TARGET), linked statically" >&2

.PHONY: build
build: deps ## Build the release executables
	@$(MAKE) --no-print-directory compile

# A second make, so that TARGET is looked up after deps installed it.
.PHONY: compile
compile:
	cargo build --release --target $(TARGET)

.PHONY: fixtures
fixtures: deps ## Build the root file system of the fixture image
	@rootfs-fixtures/build.sh

.PHONY: load
load: build fixtures ## Load the fixture image into the image store
	@$(MAKE) --no-print-directory load-image

.PHONY: load-image
load-image:
	$(SUDO) $(RELEASE)/podrt image import $(FIXTURE) $(FIXTURE_IMAGE)

EXAMPLE ?= docs/examples/hello.yaml
.PHONY: run
run: load ## Set everything up and run an example pod (EXAMPLE=pod.yaml for another)
	@$(MAKE) --no-print-directory run-pod

.PHONY: run-pod
run-pod:
	$(SUDO) $(RELEASE)/podrt run --rm $(EXAMPLE)

# What another hierarchy of cgroups may change. The life of pods is the same
# there, but ten times slower than its tests allow for: `make test-vm` tries it.
VM_TESTS := podman_limits containerd_hears limits_ oci_ pod_config pod_machine pod_shared

.PHONY: test
test: test-unit test-host ## Set everything up and pass all tests
	@$(MAKE) --no-print-directory test-vm FILTER="$(VM_TESTS)"
	@integration/tools/skipped $(SKIPPED_HOST) $$(ls $(SKIPPED_VM) 2>/dev/null) | tail -n 1

.PHONY: test-unit
test-unit: deps ## Unit and property tests
	@$(MAKE) --no-print-directory cargo-test ARGS=--lib

.PHONY: callers
callers:
	@for package in $(CALLER_PACKAGES); do \
	  command -v $$package >/dev/null || integration/tools/packages $$package \
	    || echo "make: cannot install $$package" >&2; \
	done

.PHONY: test-host
test-host: deps callers fixtures ## Black-box tests of the built command on this machine, as root (FILTER=name)
	@rm -f $(SKIPPED_HOST)
	@integration/tools/leftovers note target/leftovers
	@$(MAKE) --no-print-directory cargo-test ARGS="--test integration -- $(FILTER)"
	@integration/tools/leftovers check target/leftovers
	@integration/tools/skipped $(SKIPPED_HOST)

.PHONY: test-vm
test-vm: deps callers ## The same in a virtual machine with cgroup v2 alone (FILTER=name, KERNEL_RELEASE=trixie)
	@$(MAKE) --no-print-directory in-vm

.PHONY: test-systemd
test-systemd: deps callers ## Tests of limits in a machine that systemd runs (FILTER=name)
	@$(MAKE) --no-print-directory in-vm VM_PACKAGES="$(VM_PACKAGES) $(SYSTEMD_PACKAGES)" \
	  VM_FLAGS=--systemd FILTER="$(or $(FILTER),limits_ oci_systemd)"

.PHONY: test-reboot
test-reboot: deps ## Pods after a power failure of a virtual machine
	@mkdir -p target/vm
	@if reason=$$(integration/vm/possible $(VM_KERNEL) $(KERNEL_RELEASE) $(VM_PACKAGES)); \
	  then $(MAKE) --no-print-directory build fixtures \
	    && $(SUDO) integration/vm/reboot $(RELEASE) $(FIXTURE) target/vm/kernel-$(KERNEL_RELEASE); \
	  else echo "skipped: the power failure: $$reason"; fi

.PHONY: in-vm
in-vm:
	@mkdir -p target/vm/out && rm -f $(SKIPPED_VM)
	@if reason=$$(integration/vm/possible $(VM_KERNEL) $(KERNEL_RELEASE) $(VM_PACKAGES)); \
	  then $(MAKE) --no-print-directory build fixtures && $(MAKE) --no-print-directory vm-tests; \
	  else echo "skipped: all tests in the virtual machine: $$reason"; fi

# Cargo starts the test program by way of vm/run. Unoptimised code crawls there,
# so it is given the release executables.
.PHONY: vm-tests
vm-tests: export PODRT_TEST_BIN = $(CURDIR)/$(RELEASE)
vm-tests: export CARGO_TARGET_$(shell echo $(TARGET) | tr a-z- A-Z_)_RUNNER = \
  $(CURDIR)/integration/vm/run --kernel $(CURDIR)/target/vm/kernel-$(KERNEL_RELEASE) \
  --rw $(CURDIR)/target/vm/out --timeout $(VM_SECONDS) $(VM_FLAGS) --
vm-tests:
	@$(MAKE) --no-print-directory cargo-test SKIP_LOG=$(SKIPPED_VM) \
	  ARGS="--test integration -- --test-threads=2 $(FILTER)"
	@integration/tools/skipped $(SKIPPED_VM)

# The black-box tests need root, so a user who is not runs all of cargo under sudo.
.PHONY: cargo-test
cargo-test:
	$(if $(SUDO),$(SUDO) --preserve-env,env) PODRT_SKIP_LOG=$(CURDIR)/$(or $(SKIP_LOG),$(SKIPPED_HOST)) \
	  cargo test --target $(TARGET) $(ARGS)

ROUNDS ?= 3
COPIES ?= 4
.PHONY: stress
stress: deps fixtures ## Black-box tests ROUNDS (3) times, COPIES (4) at once: what depends on speed? (FILTER=name)
	@program=$$($(SUDO) cargo test --target $(TARGET) --test integration --no-run 2>&1 \
	  | sed -n 's/.*Executable .*(\(.*\))$$/\1/p') \
	  && $(SUDO) integration/tools/stress $(ROUNDS) $(COPIES) "$$program" $(FILTER)

MINUTES ?= 10
PODS ?= 200
.PHONY: soak
soak: build fixtures ## Keep PODS (200) pods coming and going for MINUTES (10), and look for what is left
	@$(SUDO) integration/soak/run $(RELEASE)/podrt $(FIXTURE) $(MINUTES) $(PODS)

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?=
.PHONY: fuzz
fuzz: deps ## Fuzz each parser for FUZZ_SECONDS (600), or only FUZZ_TARGETS
	@integration/tools/packages $(FUZZ_PACKAGES)
	@integration/fuzz/run $(FUZZ_SECONDS) $(FUZZ_TARGETS)

.PHONY: sizes
sizes: build fixtures ## Hold the release executables to their sizes, start-up time and memory
	@$(MAKE) --no-print-directory measure

.PHONY: measure
measure: export PODRT_TEST_BIN = $(CURDIR)/$(RELEASE)
measure:
	@$(MAKE) --no-print-directory cargo-test ARGS="--test integration -- --ignored --nocapture --test-threads=1 sizes::"

.PHONY: figures
figures: build fixtures ## Print what probes, restarts and 200 idle pods cost
	@$(MAKE) --no-print-directory print-figures

.PHONY: print-figures
print-figures: export PODRT_TEST_BIN = $(CURDIR)/$(RELEASE)
print-figures:
	@$(MAKE) --no-print-directory cargo-test ARGS="--test integration -- --ignored --nocapture --test-threads=1 figures::"
	@$(MAKE) --no-print-directory cargo-test ARGS="--release --lib -- --ignored --nocapture --test-threads=1 driver::rate::"

.PHONY: check
check: deps ## Format, lints and documentation
	cargo fmt --check
	@$(MAKE) --no-print-directory lint

.PHONY: lint
lint:
	cargo clippy --all-targets --target $(TARGET) -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --no-deps --document-private-items --lib --target $(TARGET)

.PHONY: bench
bench: build fixtures ## Compare with crun, runc, podman, umoci and containerd in one run; prints Markdown tables
	@integration/tools/packages $(PEER_PACKAGES)
	@$(MAKE) --no-print-directory bench-run

.PHONY: bench-run
bench-run:
	$(if $(SUDO),$(SUDO) --preserve-env) cargo bench --bench compare --target $(TARGET)

.PHONY: install
install: build ## Install podrt, its shim, its TLS helper and its systemd unit below PREFIX (/usr/local)
	$(SUDO) install -D -m 0755 $(RELEASE)/podrt $(DESTDIR)$(PREFIX)/bin/podrt
	$(SUDO) install -D -m 0755 $(RELEASE)/podrt-shim $(DESTDIR)$(PREFIX)/bin/podrt-shim
	$(SUDO) install -D -m 0755 $(RELEASE)/podrt-net $(DESTDIR)$(PREFIX)/bin/podrt-net
	sed 's|@PREFIX@|$(PREFIX)|' docs/podrt-node.service > target/podrt-node.service
	$(SUDO) install -D -m 0644 target/podrt-node.service $(DESTDIR)$(PREFIX)/lib/systemd/system/podrt-node.service

.PHONY: clean
clean: ## Remove what was built
	cargo clean
