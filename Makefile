# tongyun: a page of targets over Meson and Ninja, on Debian 12 or later. `make help` lists them.
BUILD ?= build
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
, := ,

# Release: -O2, debug information, asserts on, for any CPU of the architecture (kernels choose by themselves).
RELEASE = --buildtype=debugoptimized -Dtests=false
SANITIZER = --buildtype=debugoptimized -Db_lundef=false
CLANG = CC="$(if $(shell command -v ccache),ccache )clang-14"
PROGRAM = $(if $(wildcard src/cmd/main.c),src/cmd/tongyun)
NINJA = ninja -j$(JOBS) --quiet -C

# $(call setup,FLAVOUR,OPTIONS): a build folder, silent unless it fails.
setup = mkdir -p $(BUILD) && $(3) meson setup $(BUILD)/$(1) $(2) >$(BUILD)/$(1).log 2>&1 || { cat $(BUILD)/$(1).log; exit 1; }

.PHONY: all run test test-real unit clang bench fuzz ci clean help

all: $(BUILD)/release/build.ninja
	@$(NINJA) $(BUILD)/release $(PROGRAM)
	@test -z "$(PROGRAM)" || ln -f $(BUILD)/release/$(PROGRAM) $(BUILD)/tongyun

run: all
	@python3 tools/demo.py

test: all
	@BUILD=$(BUILD) tools/setup.sh test
	@test -e $(BUILD)/release/.tests || { $(call setup,release,--reconfigure -Dtests=true); }
	@touch $(BUILD)/release/.tests
	@$(NINJA) $(BUILD)/release
	@tools/test.py --build $(BUILD)/release

test-real: all
	@BUILD=$(BUILD) tools/setup.sh test
	@TONGYUN_BUILD=$(BUILD)/release $(BUILD)/venv/bin/python -m pytest -q -rs tests/real

unit: $(BUILD)/debug/build.ninja $(BUILD)/tsan/build.ninja
	@$(NINJA) $(BUILD)/debug
	@tools/test.py --build $(BUILD)/debug --unit-only
	@$(NINJA) $(BUILD)/tsan threaded
	@tools/test.py --build $(BUILD)/tsan --unit-only --suite threads

clang: $(BUILD)/clang/build.ninja
	@$(NINJA) $(BUILD)/clang

bench: all
	@test -e $(BUILD)/release/.bench || { $(call setup,release,--reconfigure -Dbench=true); }
	@touch $(BUILD)/release/.bench
	@$(NINJA) $(BUILD)/release bench/kernels bench/server_load bench/workers
	@$(BUILD)/release/bench/kernels
	@$(BUILD)/release/bench/workers
	@$(BUILD)/release/bench/server_load
	@$(BUILD)/tongyun bench

fuzz: $(BUILD)/fuzz/build.ninja
	@$(NINJA) $(BUILD)/fuzz fuzzers
	@tools/fuzz.sh $(BUILD)/fuzz $(FUZZ_SECONDS)

ci:
	@.ci/run

clean:
	@rm -rf $(BUILD)

help:
	@echo "make         the release program, $(BUILD)/tongyun; missing Debian packages are installed"
	@echo "make run     serves the model inside, sends one paid request, shows the answer and the money"
	@echo "make test    all tests; closes with N passed, N failed, N skipped"
	@echo "make test-real  a real small model, if it can be had, against transformers and llama.cpp"
	@echo "make unit    unit tests under ASan and UBSan, the threaded ones under TSan (clang)"
	@echo "make clang   everything once more with clang, for its warnings"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS=$(FUZZ_SECONDS) (clang)"
	@echo "make bench   operations and the model inside, as shares of bandwidth and peak; the server under load"
	@echo "make ci      what CI does: both compilers, all tests, sanitizers"
	@echo "make clean   removes $(BUILD)"

$(BUILD)/release/build.ninja:
	@BUILD=$(BUILD) tools/setup.sh build
	@$(call setup,release,$(RELEASE))

$(BUILD)/clang/build.ninja:
	@BUILD=$(BUILD) tools/setup.sh ci
	@$(call setup,clang,--buildtype=debugoptimized,$(CLANG))

$(BUILD)/debug/build.ninja:
	@BUILD=$(BUILD) tools/setup.sh ci
	@$(call setup,debug,$(SANITIZER) -Db_sanitize=address$(,)undefined,$(CLANG))

$(BUILD)/tsan/build.ninja:
	@BUILD=$(BUILD) tools/setup.sh ci
	@$(call setup,tsan,$(SANITIZER) -Db_sanitize=thread,$(CLANG))

$(BUILD)/fuzz/build.ninja:
	@BUILD=$(BUILD) tools/setup.sh fuzz
	@$(call setup,fuzz,$(SANITIZER) -Db_sanitize=address$(,)undefined -Dfuzz=true -Dtests=false,$(CLANG))
