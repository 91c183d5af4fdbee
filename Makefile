# hostvm: library, command, test guests and tests. `make help` lists what there is to make.
#
# ARCH=x86_64|arm64   default: this machine's
# SAN=address,undefined | SAN=thread   the same with sanitizers, beside the plain build
# COVERAGE=1          the same with counters for `make coverage`, beside it
# V=1                 shows the commands

SHELL := /bin/bash
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VERSION := 0.1.0
HOST_ARCH := $(subst aarch64,arm64,$(shell uname -m))
ARCH ?= $(HOST_ARCH)
SAN ?=
COVERAGE ?=
comma := ,
VARIANT := $(if $(SAN),$(subst $(comma),-,$(SAN)),$(if $(COVERAGE),coverage,plain))
BUILD := build
B := $(BUILD)/$(ARCH)-$(VARIANT)

PREFIX ?= /usr/local
DESTDIR ?=

CROSS_arm64 := $(if $(filter arm64,$(HOST_ARCH)),,aarch64-linux-gnu-)
CROSS_x86_64 := $(if $(filter x86_64,$(HOST_ARCH)),,x86_64-linux-gnu-)
CROSS := $(CROSS_$(ARCH))
CC := $(CROSS)gcc
CXX := $(CROSS)g++
AR := $(CROSS)ar
NM := $(CROSS)nm
OBJCOPY := $(CROSS)objcopy
GCOV := $(CROSS)gcov
# Debian has no pkg-config of that name for each architecture, but the files it reads.
PKG_CONFIG := $(if $(CROSS),PKG_CONFIG_LIBDIR=/usr/lib/$(CROSS:%-=%)/pkgconfig:/usr/share/pkgconfig )pkg-config

WARNINGS := -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings -Wmissing-prototypes -Wvla -Wswitch-enum
WERROR ?=
CFLAGS ?= -O2 -g
CPPFLAGS_ALL := -D_GNU_SOURCE -DHOSTVM_VERSION='"$(VERSION)"' -Iinclude
CFLAGS_ALL := -std=gnu11 $(CFLAGS) $(WARNINGS) $(WERROR) -fPIC -fno-semantic-interposition -pthread -ffunction-sections -fdata-sections
# Every exit takes and leaves a lock that is hardly ever contended: no call to a function that picks the instructions.
CFLAGS_ALL += $(if $(filter arm64,$(ARCH)),-mno-outline-atomics)
# No -Wshadow: libsel4vm has a struct and a function vm_run, and in C++ the one hides the other's constructor.
CXXFLAGS_ALL = -std=c++17 $(filter-out -std=gnu11 -Wmissing-prototypes -Wshadow,$(CFLAGS_ALL))
LDFLAGS_ALL := -pthread -Wl,--gc-sections $(LDFLAGS)
ifneq ($(SAN),)
CFLAGS_ALL += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_ALL += -fsanitize=$(SAN)
endif
ifneq ($(COVERAGE),)
CFLAGS_ALL += -O0 --coverage -fprofile-update=atomic
LDFLAGS_ALL += --coverage
endif

Q := $(if $(V),,@)
# What targets build first, they build with all processors, unless make was told how many.
BUILD_FIRST = $(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
say = @$(if $(V),true,printf '  %-8s %s\n' '$(1)' '$(patsubst $(B)/%,%,$@)')

# --- sources, a list per room ---

LIB_SRC := $(wildcard lib/base/*.c) $(filter-out lib/kvm/x86_64.c lib/kvm/arm64.c,$(wildcard lib/kvm/*.c)) \
           $(wildcard lib/kvm/$(ARCH).c) $(wildcard lib/env/*.c) $(wildcard lib/plat/*.c) \
           $(wildcard lib/arch/$(ARCH)/*.c) $(wildcard lib/vm/*.c) $(wildcard lib/pci/*.c) $(wildcard lib/virtio/*.c)
# The machine of one architecture alone; everything else of the command is compiled, and tested, for all.
VMM_x86_64 := vmm/dev/device.c vmm/dev/pci_port_map.c vmm/machine/entry.c vmm/machine/pc.c
VMM_arm64 := vmm/machine/virt.c
VMM_OTHERS := $(foreach arch,$(filter-out $(ARCH),x86_64 arm64),$(VMM_$(arch)))
# A program of its own; of the command's it shares what both have to agree on.
NET_USER_MAIN := vmm/back/net_user_main.c
NET_USER_SRC := $(NET_USER_MAIN) vmm/back/net_forward.c
VMM_SRC := $(filter-out $(VMM_OTHERS) $(NET_USER_MAIN),$(wildcard vmm/*.c vmm/*/*.c))
UNIT_TESTS := $(patsubst tests/%.c,%,$(wildcard tests/unit/test_*.c))
GUEST_TESTS := $(patsubst tests/%.c,%,$(wildcard tests/guest/test_*.c))
EXAMPLES := $(patsubst tests/%.c,%,$(wildcard tests/examples/*.c))
EXAMPLES_CXX := $(patsubst tests/%.cpp,%_cpp,$(wildcard tests/examples/*.cpp))
BENCHES := $(patsubst tests/%.c,%,$(wildcard tests/bench/*.c))
SUPPORT_SRC := $(wildcard tests/support/*.c tests/support/$(ARCH)/*.c)

# About what one architecture alone has, or with guests in its instructions; the rest is for all.
GUEST_TESTS_x86_64 := $(addprefix guest/test_,instructions page_tables pc pci_function pic ports queued_interrupts registers start_order \
    vmcall vmcall_routes)
GUEST_TESTS_arm64 := $(filter guest/test_arm64_%,$(GUEST_TESTS))
GUEST_TESTS := $(filter-out $(foreach arch,$(filter-out $(ARCH),x86_64 arm64),$(GUEST_TESTS_$(arch))),$(GUEST_TESTS))

# The README's has x86 code in it; the others have their guests' in headers, by architecture.
ifneq ($(ARCH),x86_64)
EXAMPLES := $(filter-out examples/embed,$(EXAMPLES)) $(patsubst tests/%.c,%,$(wildcard tests/examples/$(ARCH)/*.c))
endif

LIB_OBJ := $(LIB_SRC:%.c=$(B)/%.o)
VMM_OBJ := $(VMM_SRC:%.c=$(B)/%.o)
NET_USER_OBJ := $(NET_USER_SRC:%.c=$(B)/%.o)
SUPPORT_OBJ := $(SUPPORT_SRC:%.c=$(B)/%.o)

# The library's one dependency; what does not filter device trees does not pull it into a static program. The package that
# -lfdt needs is for one architecture at a time, so a cross build names the file.
LIB_LIBS := $(if $(CROSS),-l:libfdt.so.1,-lfdt)

# Packages of the command alone.
VMM_PKGS := zlib liblzma liblz4 libzstd liburing
VMM_LIBS = $(shell $(PKG_CONFIG) --libs $(VMM_PKGS))
VMM_STATIC_LIBS = $(shell $(PKG_CONFIG) --static --libs $(VMM_PKGS))

.PHONY: all
all: $(B)/libhostvm.a $(B)/libhostvm.so $(B)/hostvm net-user guests links ## library, command and guests (the default); installs nothing

# --- objects; rebuilt when the flags change ---

$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL)' > $@
.PHONY: FORCE
FORCE:

$(B)/lib/%.o: CPPFLAGS_ROOM = -Ilib -Ilib/arch -Ilib/arch/$(ARCH)
$(B)/vmm/%.o: CPPFLAGS_ROOM = -Ivmm
$(B)/tests/%.o: CPPFLAGS_ROOM = -Itests -Itests/support/$(ARCH) -Iguests -Iguests/$(ARCH) -DGUESTS_DIR='"$(BUILD)/$(ARCH)-plain/guests"'
$(B)/tests/examples/%.o: CPPFLAGS_ROOM += -Itests/examples/$(ARCH)
$(B)/tests/bench/%.o: CPPFLAGS_ROOM += -Itests/bench/$(ARCH)
$(B)/tests/guest/test_machine.%: CPPFLAGS_ROOM += -Ivmm
$(B)/tests/unit/%.o: CPPFLAGS_ROOM += -Ilib -Ilib/arch -Ilib/arch/$(ARCH) -Ivmm

$(B)/%.o: %.c $(B)/flags
	$(call say,CC)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS_ROOM) $(CPPFLAGS) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(B)/%_cpp.o: %.cpp $(B)/flags
	$(call say,CXX)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(CPPFLAGS_ALL) $(CPPFLAGS_ROOM) $(CPPFLAGS) $(CXXFLAGS_ALL) -MMD -MP -c -o $@ $<

# --- the library ---

$(B)/libhostvm.a: $(LIB_OBJ)
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# What include/ declares, and nothing else.
$(B)/libhostvm.map: $(B)/libhostvm.a scripts/exports
	$(call say,MAP)
	$(Q)NM=$(NM) scripts/exports $< > $@

SO_MAJOR := $(firstword $(subst ., ,$(VERSION)))
$(B)/libhostvm.so.$(VERSION): $(B)/libhostvm.a $(B)/libhostvm.map
	$(call say,LD)
	$(Q)$(CC) -shared -o $@ -Wl,-soname,libhostvm.so.$(SO_MAJOR) -Wl,--version-script=$(B)/libhostvm.map \
		-Wl,-Bsymbolic-functions $(if $(SAN),,-Wl,-z$(comma)defs) -Wl,--whole-archive $(B)/libhostvm.a -Wl,--no-whole-archive $(LDFLAGS_ALL) $(LIB_LIBS)
$(B)/libhostvm.so: $(B)/libhostvm.so.$(VERSION)
	$(Q)ln -sf libhostvm.so.$(VERSION) $(B)/libhostvm.so.$(SO_MAJOR)
	$(Q)ln -sf libhostvm.so.$(VERSION) $@

# --- the command: static, for it starts faster and runs anywhere ---

# ... where all its libraries are there as archives; libfdt's is not for a second architecture.
HAS_ARCHIVES := $(filter /%,$(shell $(CC) -print-file-name=libfdt.a))
STATIC := $(if $(SAN),,-static)
VMM_STATIC := $(if $(HAS_ARCHIVES),$(STATIC))
$(B)/libvmm.a: $(filter-out $(B)/vmm/main.o,$(VMM_OBJ))
	$(call say,AR)
	$(Q)rm -f $@ && $(AR) rcs $@ $^
$(B)/hostvm: $(B)/vmm/main.o $(B)/libvmm.a $(B)/libhostvm.a
	$(call say,LD)
	$(Q)$(CC) $(VMM_STATIC) -o $@ $^ $(LDFLAGS_ALL) $(LIB_LIBS) $(if $(VMM_STATIC),$(VMM_STATIC_LIBS),$(VMM_LIBS))

# --- user networking: a program that is not static, for there is no libslirp.a ---

HAS_SLIRP := $(filter /%,$(shell $(CC) -print-file-name=libslirp.so))
$(B)/hostvm-net-user: $(NET_USER_OBJ)
	$(call say,LD)
	$(Q)$(CC) -o $@ $^ $(LDFLAGS_ALL) -lslirp

.PHONY: net-user
net-user: $(if $(HAS_SLIRP),$(B)/hostvm-net-user)
	$(if $(HAS_SLIRP),,@echo '  without --net user: libslirp-dev$(if $(CROSS),:$(ARCH)) is not installed; scripts/deps $(if $(CROSS),$(ARCH),build) does that')

# --- bare-metal guests: never sanitized ---

GUEST_CC := $(CC)
GUEST_OBJCOPY := $(OBJCOPY)
GUEST_BUILD := $(BUILD)/$(ARCH)-plain/guests
include guests/guests.mk

# The first program of Linux guests: no C library, some hundred bytes.
$(GUEST_BUILD)/init: guests/linux/init.c
	$(call say,LINUX)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -Os $(WARNINGS) -ffreestanding -static -nostdlib -fno-pic -no-pie -fno-stack-protector \
		-fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,noseparate-code -s -o $@ $<

# Tests of Linux guests have it on both sides.
$(GUEST_BUILD)/streams: guests/linux/streams.c
	$(call say,LINUX)
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -O2 $(WARNINGS) -static -s -o $@ $<

.PHONY: guests
guests: $(GUESTS) $(GUEST_BUILD)/init $(GUEST_BUILD)/streams ## the test guests

.PHONY: links
links: $(B)/libhostvm.a $(B)/libhostvm.so $(B)/hostvm net-user
ifeq ($(ARCH)-$(VARIANT),$(HOST_ARCH)-plain)
	$(Q)for f in libhostvm.a libhostvm.so hostvm $(if $(HAS_SLIRP),hostvm-net-user); do ln -sfn $(ARCH)-plain/$$f $(BUILD)/$$f; done
	$(Q)ln -sfn $(ARCH)-plain/guests $(BUILD)/guests
endif

# --- tests: each a program; memory, descriptors and ioctls can be made to fail in all of them ---

WRAP := @tests/support/inject.flags
TEST_ARCHIVES := $(B)/libvmm.a $(B)/libhostvm.a
TEST_LIBS = $(LIB_LIBS) $(shell $(PKG_CONFIG) --libs cmocka) $(VMM_LIBS)

# Devices with memory and a driver of the test's (tests/support/virtio_memory.h).
$(addprefix $(B)/tests/unit/test_virtio_,balloon console rng): WRAP += @tests/support/virtio_memory.flags

$(B)/tests/unit/test_% $(B)/tests/guest/test_%: $(SUPPORT_OBJ) $(TEST_ARCHIVES)
$(UNIT_TESTS:%=$(B)/tests/%) $(GUEST_TESTS:%=$(B)/tests/%): %: %.o $(SUPPORT_OBJ) $(TEST_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) -o $@ $^ $(WRAP) $(LDFLAGS_ALL) $(TEST_LIBS)

# It also starts the real one.
$(B)/tests/unit/test_back_net_user: | net-user

$(EXAMPLES:%=$(B)/tests/%) $(BENCHES:%=$(B)/tests/%): %: %.o $(B)/libhostvm.a
	$(call say,LD)
	$(Q)$(CC) $(STATIC) -o $@ $^ $(LDFLAGS_ALL) $(BENCH_LIBS)
$(B)/tests/bench/blk_floor: BENCH_LIBS := -luring

$(EXAMPLES_CXX:%=$(B)/tests/%): %: %.o $(B)/libhostvm.a
	$(call say,LD)
	$(Q)$(CXX) $(STATIC) -o $@ $^ $(LDFLAGS_ALL)

# --- harnesses: a hostile guest whose actions are the bytes of a file (tests/fuzz/driver.h). As they are, they run kept
# inputs; `make fuzz` has clang's libFuzzer look for more ---

FUZZERS := balloon blk console fs mmio net pci rng vsock
FUZZ_PROGRAMS := $(FUZZERS:%=$(B)/tests/fuzz/%)
FUZZ_OBJ := $(addprefix $(B)/tests/fuzz/,driver.o echo.o)
FUZZ_SECONDS ?= 33
HAS_LIBFUZZER := $(findstring fuzzer,$(SAN))
FUZZ_MAIN := $(if $(HAS_LIBFUZZER),-fsanitize=fuzzer,$(B)/tests/fuzz/replay.o)

$(B)/tests/fuzz/%.o: CPPFLAGS_ROOM += -Ilib -Ilib/arch -Ilib/arch/$(ARCH) -Ivmm
$(B)/tests/fuzz/blk: WRAP += -Wl,--wrap=disk_queue_wait,--wrap=inotify_init1
$(FUZZ_PROGRAMS): %: %.o $(FUZZ_OBJ) $(SUPPORT_OBJ) $(TEST_ARCHIVES) $(if $(HAS_LIBFUZZER),,$(B)/tests/fuzz/replay.o)
	$(call say,LD)
	$(Q)$(CC) -o $@ $< $(FUZZ_OBJ) $(FUZZ_MAIN) $(SUPPORT_OBJ) $(TEST_ARCHIVES) $(WRAP) @tests/fuzz/fuzz.flags $(LDFLAGS_ALL) $(TEST_LIBS)

.PHONY: fuzz-programs
fuzz-programs: $(FUZZ_PROGRAMS)

FUZZ_SAN := address,undefined,fuzzer-no-link
.PHONY: fuzz
fuzz: ## have hostile guests look for faults, FUZZ_SECONDS for each device (33: 5 minutes in all)
	$(Q)scripts/deps fuzz
	$(Q)$(BUILD_FIRST) CC=clang SAN=$(FUZZ_SAN) fuzz-programs
	$(Q)scripts/fuzz --seconds $(FUZZ_SECONDS) $(BUILD)/$(ARCH)-$(subst $(comma),-,$(FUZZ_SAN)) $(FUZZERS)

.PHONY: test-programs
test-programs: $(UNIT_TESTS:%=$(B)/tests/%) $(GUEST_TESTS:%=$(B)/tests/%) examples ## the test programs, not run

.PHONY: examples
examples: $(EXAMPLES:%=$(B)/tests/%) $(EXAMPLES_CXX:%=$(B)/tests/%) ## the programs of tests/examples

# What only several threads can get wrong: to be built with SAN=thread.
THREAD_TESTS := $(addprefix guest/test_,events failures live_registers notifications stress threads virtio_stop) \
    $(filter $(GUEST_TESTS),guest/test_queued_interrupts) \
    $(addprefix unit/test_,back_worker virtio_balloon virtio_blk virtio_console virtio_net virtio_resets virtio_threads)
.PHONY: thread-programs
thread-programs: $(THREAD_TESTS:%=$(B)/tests/%)
.PHONY: thread-tests
thread-tests: thread-programs
	$(Q)scripts/run-tests --logs $(B)/logs $(THREAD_TESTS:%=$(B)/tests/%)

.PHONY: unit
unit: test-programs guests ## run the unit tests and those on this machine's KVM, as built (SAN=... for sanitizers)
	$(Q)scripts/run-tests --logs $(B)/logs $(UNIT_TESTS:%=$(B)/tests/%) $(GUEST_TESTS:%=$(B)/tests/%)

.PHONY: box-tests
box-tests: test-programs guests $(B)/hostvm ## the same on the KVM of ARCH's box, where the machine has none, or of another architecture
	$(Q)scripts/test-in-box $(ARCH) $(B)

.PHONY: test
test: ## install what is missing and run all tests: without KVM, on this machine's KVM, with sanitizers, and in the box
	$(Q)scripts/deps test
	$(if $(filter x86_64,$(HOST_ARCH)),$(Q)scripts/deps arm64 || echo 'without the packages for arm64 its tests are skipped')
	$(Q)$(BUILD_FIRST) all test-programs
	$(Q)$(BUILD_FIRST) SAN=address,undefined all test-programs fuzz-programs
	$(Q)$(BUILD_FIRST) SAN=thread thread-programs
	$(Q)scripts/test-all

.PHONY: test-debian
test-debian: ## boot a Debian in the box to its login, use it, have it install a package: one of the tests of make test
	$(Q)scripts/deps test
	$(Q)$(BUILD_FIRST) all
	$(Q)tests/linux/test_debian.sh

# Counts of earlier runs would be added to.
COVERED_TESTS := $(UNIT_TESTS:%=$(B)/tests/%) $(GUEST_TESTS:%=$(B)/tests/%)
.PHONY: coverage coverage-run
coverage: ## run the unit and guest tests with counters; says which lines of lib/ they miss, fails below 90 %
	$(Q)scripts/deps test
	$(Q)$(MAKE) --no-print-directory COVERAGE=1 coverage-run
coverage-run: test-programs guests
	$(Q)find $(B) -name '*.gcda' -delete
	$(Q)scripts/run-tests --logs $(B)/logs --env HOSTVM_MODEL_OPS=20000 --env HOSTVM_STRESS_ROUNDS=20 $(COVERED_TESTS)
	$(Q)GCOV=$(GCOV) scripts/coverage --least 90 $(LIB_OBJ)

.PHONY: check
check: $(B)/libhostvm.a $(B)/libhostvm.so ## style, layers, exports
	$(Q)scripts/check-layers
	$(Q)scripts/check-style
	$(Q)CC=$(CC) NM=$(NM) scripts/check-exports $(B)

# --- use ---

.PHONY: run
run: ## install what is missing, boot the test kernel, then Debian's kernel to its init
	$(Q)scripts/deps run $(if $(CROSS),$(ARCH))
	$(Q)$(BUILD_FIRST) all
	$(Q)ARCH=$(ARCH) scripts/run-linux

.PHONY: shell
shell: ## an interactive Linux shell in a guest
	$(Q)scripts/deps run $(if $(CROSS),$(ARCH))
	$(Q)$(BUILD_FIRST) all
	$(Q)ARCH=$(ARCH) scripts/run-linux --shell

.PHONY: bench
bench: ## measure against the bare KVM loop and other VMMs, in instructions
	$(Q)scripts/deps bench $(if $(CROSS),$(ARCH))
	$(Q)$(BUILD_FIRST) all bench-programs
	$(Q)scripts/bench --arch $(ARCH)
.PHONY: bench-programs
bench-programs: $(BENCHES:%=$(B)/tests/%)

.PHONY: deps
deps: ## install what building needs
	$(Q)scripts/deps build

# Installed files are everybody's to read, whatever the umask of who installs or checked out.
INSTALL_BIN := $(DESTDIR)$(PREFIX)/bin
INSTALL_LIBEXEC := $(DESTDIR)$(PREFIX)/libexec/hostvm
INSTALL_LIB := $(DESTDIR)$(PREFIX)/lib
INSTALL_INCLUDE := $(DESTDIR)$(PREFIX)/include/hostvm
INSTALL_MAN := $(DESTDIR)$(PREFIX)/share/man/man1
HEADERS := $(patsubst include/%,%,$(shell find include -name '*.h'))

.PHONY: install
install: all ## into DESTDIR and PREFIX
	install -d '$(INSTALL_BIN)' '$(INSTALL_LIB)/pkgconfig' '$(INSTALL_MAN)'
	install -m 755 $(B)/hostvm '$(INSTALL_BIN)/hostvm'
	$(if $(HAS_SLIRP),install -D -m 755 $(B)/hostvm-net-user '$(INSTALL_LIBEXEC)/hostvm-net-user')
	install -m 644 $(B)/libhostvm.a '$(INSTALL_LIB)/libhostvm.a'
	install -m 755 $(B)/libhostvm.so.$(VERSION) '$(INSTALL_LIB)/libhostvm.so.$(VERSION)'
	ln -sf libhostvm.so.$(VERSION) '$(INSTALL_LIB)/libhostvm.so.$(SO_MAJOR)'
	ln -sf libhostvm.so.$(SO_MAJOR) '$(INSTALL_LIB)/libhostvm.so'
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' lib/hostvm.pc.in | install -m 644 /dev/stdin '$(INSTALL_LIB)/pkgconfig/hostvm.pc'
	rm -rf '$(INSTALL_INCLUDE)'
	for h in $(HEADERS); do install -D -m 644 "include/$$h" "$(INSTALL_INCLUDE)/$$h" || exit; done
	install -m 644 vmm/hostvm.1 '$(INSTALL_MAN)/hostvm.1'

.PHONY: uninstall
uninstall: ## what install put into DESTDIR and PREFIX
	rm -f '$(INSTALL_BIN)/hostvm' '$(INSTALL_LIB)/libhostvm.a' '$(INSTALL_LIB)/libhostvm.so' \
		'$(INSTALL_LIB)/libhostvm.so.$(SO_MAJOR)' '$(INSTALL_LIB)/libhostvm.so.$(VERSION)' \
		'$(INSTALL_LIB)/pkgconfig/hostvm.pc' '$(INSTALL_MAN)/hostvm.1'
	rm -rf '$(INSTALL_INCLUDE)' '$(INSTALL_LIBEXEC)'

compile_commands.json: Makefile ## for editors
	$(Q)command -v bear > /dev/null && bear -- $(MAKE) -B all || echo 'bear is not installed'

.PHONY: clean
clean: ## remove what was built
	rm -rf $(BUILD) compile_commands.json

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r t d; do printf '  %-16s %s\n' "$$t" "$$d"; done

-include $(LIB_OBJ:.o=.d) $(VMM_OBJ:.o=.d) $(NET_USER_OBJ:.o=.d) $(SUPPORT_OBJ:.o=.d) $(UNIT_TESTS:%=$(B)/tests/%.d) $(GUEST_TESTS:%=$(B)/tests/%.d) \
	$(EXAMPLES:%=$(B)/tests/%.d) $(EXAMPLES_CXX:%=$(B)/tests/%.d) $(wildcard $(B)/tests/fuzz/*.d)
