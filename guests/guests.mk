# Here lives how guests/NAME.c becomes $(GUEST_BUILD)/NAME: what the Makefile includes, and `all` wants as $(GUESTS).
#
# Given before: ARCH; GUEST_BUILD, a directory; GUEST_CC and GUEST_OBJCOPY, tools for ARCH; WARNINGS, WERROR, Q, say.

# About instructions or devices that one architecture alone has, or what its KVM alone does.
GUEST_NAMES_x86_64 := mmio_crossing mmio_forms mmio_string ports vmcall
GUEST_NAMES_OTHERS := $(foreach arch,$(filter-out $(ARCH),x86_64 arm64),$(GUEST_NAMES_$(arch)))
GUEST_NAMES := $(filter-out $(GUEST_NAMES_OTHERS),$(patsubst guests/%.c,%,$(wildcard guests/*.c)))

GUEST_SOURCES := $(wildcard guests/lib/*.c guests/$(ARCH)/*.c guests/$(ARCH)/*.S)
GUEST_OBJECTS := $(GUEST_SOURCES:%=$(GUEST_BUILD)/obj/%.o)
GUESTS := $(GUEST_NAMES:%=$(GUEST_BUILD)/%)

GUEST_FLAGS_x86_64 := -m64 -mno-red-zone -fcf-protection=none -fno-jump-tables
GUEST_FLAGS := -std=gnu11 -O2 -g $(WARNINGS) $(WERROR) -ffreestanding -fno-pic -fno-stack-protector \
    -fno-asynchronous-unwind-tables -mgeneral-regs-only $(GUEST_FLAGS_$(ARCH)) \
    -Iguests -Iguests/$(ARCH) -Iinclude -MMD -MP
GUEST_LINK := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 -T guests/$(ARCH)/guest.ld

$(GUEST_BUILD)/obj/%.o: %
	$(Q)mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(GUEST_CC) $(GUEST_FLAGS) -c -o $@ $<

$(GUEST_BUILD)/obj/%.elf: $(GUEST_BUILD)/obj/guests/%.c.o $(GUEST_OBJECTS) guests/$(ARCH)/guest.ld
	$(call say,LD)
	$(Q)$(GUEST_CC) $(GUEST_LINK) -o $@ $(filter %.o,$^)

ifeq ($(ARCH),x86_64)
# Multiboot is specified for ELF32; the code is 64-bit all the same.
$(GUESTS): $(GUEST_BUILD)/%: $(GUEST_BUILD)/obj/%.elf
	$(call say,OBJCOPY)
	$(Q)$(GUEST_OBJCOPY) --strip-debug -O elf32-i386 $< $@

# hello for loaders of ELF64: with nothing but a PVH note, and with nothing but its entry point.
GUESTS += $(GUEST_BUILD)/hello.pvh $(GUEST_BUILD)/hello.bare
$(GUEST_BUILD)/obj/pvh.o: GUEST_FLAGS += -DGUEST_WITHOUT_MULTIBOOT
$(GUEST_BUILD)/obj/bare.o: GUEST_FLAGS += -DGUEST_WITHOUT_MULTIBOOT -DGUEST_WITHOUT_PVH
$(GUEST_BUILD)/obj/pvh.o $(GUEST_BUILD)/obj/bare.o: guests/x86_64/start.S
	$(Q)mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(GUEST_CC) $(GUEST_FLAGS) -c -o $@ $<

$(GUEST_BUILD)/hello.%: $(GUEST_BUILD)/obj/%.o $(GUEST_BUILD)/obj/guests/hello.c.o \
    $(filter-out %/start.S.o,$(GUEST_OBJECTS)) guests/x86_64/guest.ld
	$(call say,LD)
	$(Q)$(GUEST_CC) $(GUEST_LINK) -o $@ $(filter %.o,$^)
else
$(GUESTS): $(GUEST_BUILD)/%: $(GUEST_BUILD)/obj/%.elf
	$(call say,CP)
	$(Q)cp $< $@
endif

.SECONDARY: $(GUEST_OBJECTS) $(GUEST_NAMES:%=$(GUEST_BUILD)/obj/guests/%.c.o) $(GUEST_NAMES:%=$(GUEST_BUILD)/obj/%.elf)
-include $(GUEST_OBJECTS:.o=.d) $(GUEST_NAMES:%=$(GUEST_BUILD)/obj/guests/%.c.d)
-include $(GUEST_BUILD)/obj/pvh.d $(GUEST_BUILD)/obj/bare.d
