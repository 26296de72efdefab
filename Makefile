# SPDX-License-Identifier: MIT
# llmsweep. `make help` lists the targets; `make V=1` shows the commands.

BUILD    ?= build
ifeq ($(origin CC),default)
CC        = gcc
endif
OPT      ?= -O3
WERROR   ?= $(if $(CI),-Werror)
SANITIZE ?=
Q        := $(if $(V),,@)
say       = $(if $(V),,@echo '  $(1)')

PACKAGES = hwloc papi openblas gsl jansson inih libpcre2-8 ompi-c
WARNINGS = -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef $(WERROR)
CFLAGS  += -std=gnu11 $(OPT) -g -fno-math-errno -fno-trapping-math -fopenmp -MMD -MP $(WARNINGS) $(SANITIZE)
CPPFLAGS += -D_GNU_SOURCE -I. -I$(BUILD) $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null)
LDFLAGS += -fopenmp $(SANITIZE)
LDLIBS  += $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldnnl -ldl -lpthread -lm

# A kernel's ISA flags come from its file name: kernels/<dir>/<op>_<act>_<weight>_<isa>.c
ISA_avx2       = -mavx2 -mfma -mf16c -mbmi -mbmi2 -mpopcnt
ISA_avx512     = $(ISA_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
ISA_avx512vnni = $(ISA_avx512) -mavx512vnni -mavx512vbmi -mavx512vbmi2 -mgfni
ISA_avx512bf16 = $(ISA_avx512vnni) -mavx512bf16
ISA_amx        = $(ISA_avx512bf16) -mamx-tile -mamx-int8 -mamx-bf16
KERNEL_SUFFIXES = scalar avx2 avx512 avx512vnni avx512bf16 amx openblas onednn

KERNEL_FILES  := $(sort $(foreach s,$(KERNEL_SUFFIXES),$(wildcard kernels/*/*_$(s).c)))
KERNELS_SRC   := $(wildcard kernels/*.c kernels/*/*.c)
HARNESS_SRC   := $(wildcard harness/*.c)
BENCH_SRC     := $(filter-out bench/main.c,$(wildcard bench/*.c bench/*/*.c))
objects        = $(patsubst %.c,$(BUILD)/%.o,$(1))

UNIT_TESTS    := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))
CHECK_TESTS   := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/check/check_*.c))

.PHONY: all
all: $(BUILD)/llmsweep ## build the program

$(BUILD)/llmsweep: $(BUILD)/bench/main.o $(BUILD)/libbench.a $(BUILD)/libharness.a $(BUILD)/libkernels.a
	$(call say,LINK  $@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(BUILD)/bench/main.o -L$(BUILD) -lbench -lharness -lkernels $(LDLIBS)

$(BUILD)/libkernels.a: $(call objects,$(KERNELS_SRC))
$(BUILD)/libharness.a: $(call objects,$(HARNESS_SRC))
$(BUILD)/libbench.a:   $(call objects,$(BENCH_SRC))
$(BUILD)/lib%.a:
	@rm -f $@
	$(call say,AR    $@)
	$(Q)ar rcs $@ $^

# The registry's list: one line a kernel file. Rewritten only when the set of files changes.
$(BUILD)/kernel_list.h: FORCE
	@mkdir -p $(@D)
	@printf 'KERNEL(%s)\n' $(notdir $(basename $(KERNEL_FILES))) > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
# What was built from what, for --version and run.json. Rewritten only when it changes.
$(BUILD)/version.h: FORCE
	@mkdir -p $(@D)
	@{ printf '#define BUILD_COMMIT "%s"\n' "$$(git describe --always --dirty --abbrev=12 2>/dev/null)"; \
	   printf '#define BUILD_COMPILER "%s"\n' "$$($(CC) --version | head -1)"; \
	   printf '#define BUILD_FLAGS "%s"\n' '$(strip $(OPT) $(SANITIZE))'; \
	   printf '#define BUILD_LIBRARIES'; \
	   for p in $(PACKAGES); do printf ' {"%s", "%s"},' $$p "$$(pkg-config --modversion $$p)"; done; echo; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
.PHONY: FORCE
FORCE:

# Stops a build that lacks a package with the one command that cures it, instead of with a compiler's guess.
.PHONY: packages
packages:
	@pkg-config --exists $(PACKAGES) 2> /dev/null && echo '#include <dnnl.h>' | $(CC) -fsyntax-only -xc - 2> /dev/null || \
	{ echo "llmsweep: packages are missing; run scripts/setup.sh" >&2; exit 2; }

$(BUILD)/kernels/registry.o: $(BUILD)/kernel_list.h
$(BUILD)/bench/commands/sweep.o: $(BUILD)/version.h

# Files that the program carries inside.
$(BUILD)/bench/report/assets.o: $(wildcard scripts/plot/*.gp) bench/report/page.css bench/report/page.js

# Unrolled loops have more to say to a debugger than there is time for: kernels tell it lines and functions only.
isa_flags = $(ISA_$(lastword $(subst _, ,$(notdir $(basename $(1))))))
$(BUILD)/%.o: %.c | packages
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(if $(filter kernels/%,$<),-g1 $(call isa_flags,$<)) -c -o $@ $<

$(BUILD)/tests/%: tests/%.c $(BUILD)/libbench.a $(BUILD)/libharness.a $(BUILD)/libkernels.a
	@mkdir -p $(@D)
	$(call say,TEST  $@)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< -L$(BUILD) -lbench -lharness -lkernels $(LDLIBS) -lcmocka

# The program with AMX in software, whose objects come before the library's.
EMULATED := $(call objects,$(filter %_amx.c,$(KERNEL_FILES)) kernels/cpu.c)
EMULATED := $(EMULATED:$(BUILD)/%=$(BUILD)/emulation/%)
$(EMULATED): $(BUILD)/emulation/%.o: %.c tests/emulation/amx.h | packages
	@mkdir -p $(@D)
	$(call say,CC    $< (emulated))
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -g1 $(call isa_flags,$<) -include tests/emulation/amx.h -c -o $@ $<
$(BUILD)/emulation/amx.o: tests/emulation/amx.c | packages
	@mkdir -p $(@D)
	$(call say,CC    $<)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA_avx2) -c -o $@ $<
$(BUILD)/emulation/llmsweep: $(BUILD)/emulation/amx.o $(EMULATED) $(BUILD)/bench/main.o $(BUILD)/libbench.a $(BUILD)/libharness.a $(BUILD)/libkernels.a
	$(call say,LINK  $@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) -L$(BUILD) -lbench -lharness -lkernels $(LDLIBS)

.PHONY: unit
unit: $(UNIT_TESTS) $(CHECK_TESTS) $(BUILD)/emulation/llmsweep ## build the unit tests and the kernel checks

# ----------------------------------------------------------------------------------------------------------------------
# The two commands of the README. Packages first, then a second make that finds them.

SPEC ?= bench/specs/default.ini
JOBS ?= $(shell nproc)

.PHONY: bench
bench: ## install what is missing, build, run the default sweep and write its report (SPEC=, MODEL=, TEXT=)
	scripts/setup.sh
	$(MAKE) -j$(JOBS) --no-print-directory all
	$(BUILD)/llmsweep run $(SPEC) --report $(if $(MODEL),--set 'model=$(MODEL)') $(if $(TEXT),--set 'text=$(TEXT)')

RUN ?= $(lastword $(sort $(wildcard results/2*)))
.PHONY: report
report: all ## write the report of the latest run again (RUN=results/…)
	$(BUILD)/llmsweep report $(RUN)

.PHONY: test
test: ## install what is missing, build and run every test
	scripts/setup.sh --test
	$(MAKE) -j$(JOBS) --no-print-directory all unit
	$(MAKE) --no-print-directory run-tests

.PHONY: model
model: all ## train the embedded model again (about an hour of two cores; TRAIN_FLAGS=--resume goes on where it stopped)
	$(BUILD)/llmsweep train bench/specs/train.ini $(TRAIN_FLAGS)

.PHONY: run-tests
run-tests: check-deps
	tests/run.sh --log $(BUILD)/test-logs $(UNIT_TESTS) $(CHECK_TESTS) $(sort $(wildcard tests/e2e/*.sh))

.PHONY: bench-harness
bench-harness: all ## measure what the harness itself costs, against its limits
	scripts/bench_harness.sh $(SPEC)

.PHONY: bench-peers
bench-peers: all ## time OpenBLAS, oneDNN and every llama-bench on PATH beside ours (LLAMA_BENCH=path, PEERS_FLAGS='--threads 1')
	BUILD=$(BUILD) scripts/bench_peers.sh $(PEERS_FLAGS)

BASE ?= main
.PHONY: gate
gate: all ## judge the working tree against a revision by pairs of runs (BASE=main, GATE_SPEC=, GATE_FLAGS=)
	$(BUILD)/llmsweep gate --base $(BASE) $(if $(GATE_SPEC),--spec $(GATE_SPEC)) $(GATE_FLAGS)

.PHONY: gate-calibration
gate-calibration: all ## measure the gate's false alarms and what it finds here (hours; ROUNDS=100, PLANTED=as many, goes on where it stopped)
	scripts/gate_calibration.sh $(or $(ROUNDS),100) $(PLANTED)

.PHONY: check-deps
check-deps: ## prove who includes whom
	scripts/check_deps.sh

# Sanitizer builds of the unit tests and kernel checks, each in its own folder.
.PHONY: asan ubsan tsan
asan: ## unit tests under AddressSanitizer
	$(call sanitized,asan,-fsanitize=address -fno-omit-frame-pointer)
ubsan: ## unit tests under UndefinedBehaviorSanitizer
	$(call sanitized,ubsan,-fsanitize=undefined -fno-sanitize-recover=undefined)
# By clang, whose OpenMP tells ThreadSanitizer through Archer what its barriers order; of GCC's it sees nothing and takes all for races.
tsan: ## unit tests under ThreadSanitizer
	$(call sanitized,tsan,-fsanitize=thread,CC=clang,OMP_TOOL_LIBRARIES=$$(clang -print-resource-dir)/../../libarcher.so)
define sanitized
	scripts/setup.sh --test $(if $(3),--clang)
	$(MAKE) -j$(JOBS) --no-print-directory BUILD=$(BUILD)/$(1) OPT=-O1 SANITIZE="$(2)" $(3) unit
	$(4) ASAN_OPTIONS=detect_leaks=1 LSAN_OPTIONS=suppressions=tests/lsan.supp TSAN_OPTIONS=suppressions=tests/tsan.supp:ignore_noninstrumented_modules=1 \
	UBSAN_OPTIONS=print_stacktrace=1 TEST_TIMEOUT=900 tests/run.sh --log $(BUILD)/$(1)/test-logs \
	$(patsubst $(BUILD)/%,$(BUILD)/$(1)/%,$(UNIT_TESTS) $(CHECK_TESTS))
endef

# Readers of files that are not trusted, fed with damaged ones (libFuzzer, which clang has). A target names the sources that it needs in its
# line "sources:"; what it found once is among its seeds.
FUZZ_SECONDS ?= 60
FUZZ_CC      ?= clang
FUZZ_TESTS   := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
.PHONY: fuzz
fuzz: $(FUZZ_TESTS) ## feed the readers of files with damaged ones (needs clang; FUZZ_SECONDS=60 for each)
	@for program in $^; do name=$${program##*/fuzz_}; echo "  FUZZ  $$name"; mkdir -p $$program.corpus; \
	$$program -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2500 -max_len=65536 -verbosity=0 -print_final_stats=1 \
	-artifact_prefix=$$program. $$program.corpus $$(ls -d tests/fuzz/seeds/$$name 2>/dev/null) > $$program.log 2>&1 || \
	{ tail -n 40 $$program.log; exit 1; }; grep -E 'number_of_executed_units|average_exec' $$program.log; done

$(BUILD)/fuzz/%: tests/fuzz/%.c $(wildcard bench/*/*.[ch] harness/*.[ch])
	@mkdir -p $(@D)
	$(call say,FUZZ  $@)
	$(Q)$(FUZZ_CC) -D_GNU_SOURCE -I. $(shell pkg-config --cflags $(PACKAGES) 2>/dev/null) -std=gnu11 -O1 -g -Wall -Wextra \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -o $@ $< $$(sed -n 's,^// sources: ,,p' $<) \
	-lpcre2-8 -ljansson -linih -lm

.PHONY: clean
clean: ## remove everything that was built
	rm -rf $(BUILD)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
