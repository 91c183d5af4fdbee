/* Reading ELF files that are in memory, 32- and 64-bit, little-endian. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A file, or as much of its beginning as is needed. It is not copied, so it has to stay as long as
 * this is used.
 */
typedef struct elf {
    const void *elfFile;
    size_t elfSize;
    unsigned char elfClass; /* ELFCLASS32 or ELFCLASS64 */
} elf_t;

typedef enum elf_addr_type { VIRTUAL, PHYSICAL } elf_addr_type_t;

/*
 * Differs from seL4's libelf: every field is looked up with its bounds checked, so that no file,
 * however damaged, makes any of this read outside it.
 *
 * Each of these returns 0, or -1 with a reason in hostvm_last_error().
 */

/**
 * Checks a file: its header, its table of program headers and its table of section headers. Both
 * tables may be absent, but not reach past the end.
 *
 * @param file  any bytes, at any alignment
 * @param size  how many of them there are
 * @param res   filled in when the file is good; may be NULL
 */
int elf_newFile(const void *file, size_t size, elf_t *res);

/**
 * The same, with a choice of the tables that are checked: when only the beginning of a file is in
 * memory, its section headers usually are not. What is said of a table that does not lie in the
 * file is 0 or NULL, so this is no less safe.
 *
 * @param check_pht  check the table of program headers
 * @param check_st   check the table of section headers
 */
int elf_newFile_maybe_unsafe(const void *file, size_t size, bool check_pht, bool check_st,
                             elf_t *res);

/**
 * Checks nothing but the magic number.
 *
 * @param file  SELFMAG (4) bytes or more
 */
int elf_check_magic(const void *file);

/**
 * Checks the header, and sets elfFile->elfClass.
 */
int elf_checkFile(elf_t *elfFile);

/**
 * Check a table, after the header.
 */
int elf_checkProgramHeaderTable(const elf_t *elfFile);
int elf_checkSectionTable(const elf_t *elfFile);

/* The header. */
uintptr_t elf_getEntryPoint(const elf_t *elfFile);
size_t elf_getNumProgramHeaders(const elf_t *elfFile);
size_t elf_getNumSections(const elf_t *elfFile);
size_t elf_getSectionStringTableIndex(const elf_t *elfFile);

/*
 * Program headers, counted from 0: the fields of Elf64_Phdr. 0 for one that is not there.
 */
uint32_t elf_getProgramHeaderType(const elf_t *elfFile, size_t ph);
uint32_t elf_getProgramHeaderFlags(const elf_t *elfFile, size_t ph);
size_t elf_getProgramHeaderOffset(const elf_t *elfFile, size_t ph);
uintptr_t elf_getProgramHeaderVaddr(const elf_t *elfFile, size_t ph);
uintptr_t elf_getProgramHeaderPaddr(const elf_t *elfFile, size_t ph);
size_t elf_getProgramHeaderFileSize(const elf_t *elfFile, size_t ph);
size_t elf_getProgramHeaderMemorySize(const elf_t *elfFile, size_t ph);
size_t elf_getProgramHeaderAlign(const elf_t *elfFile, size_t ph);

/**
 * The bytes of a segment: elf_getProgramHeaderFileSize of them. NULL when they are not in the file.
 */
const void *elf_getProgramSegment(const elf_t *elfFile, size_t ph);

/*
 * Section headers, counted from 0: the fields of Elf64_Shdr. 0 for one that is not there.
 */
size_t elf_getSectionNameOffset(const elf_t *elfFile, size_t i);
uint32_t elf_getSectionType(const elf_t *elfFile, size_t i);
size_t elf_getSectionFlags(const elf_t *elfFile, size_t i);
uintptr_t elf_getSectionAddr(const elf_t *elfFile, size_t i);
size_t elf_getSectionOffset(const elf_t *elfFile, size_t i);
size_t elf_getSectionSize(const elf_t *elfFile, size_t i);
uint32_t elf_getSectionLink(const elf_t *elfFile, size_t i);
uint32_t elf_getSectionInfo(const elf_t *elfFile, size_t i);
size_t elf_getSectionAddrAlign(const elf_t *elfFile, size_t i);
size_t elf_getSectionEntrySize(const elf_t *elfFile, size_t i);

/**
 * The bytes of a section. NULL when it has none, or they are not in the file.
 */
const void *elf_getSection(const elf_t *elfFile, size_t i);

/**
 * The section of a name; NULL when there is none.
 *
 * @param i  receives its number; may be NULL
 */
const void *elf_getSectionNamed(const elf_t *elfFile, const char *str, size_t *i);

/**
 * A string table; NULL when the section is none, or does not end with a NUL.
 */
const char *elf_getStringTable(const elf_t *elfFile, size_t string_segment);
const char *elf_getSectionStringTable(const elf_t *elfFile);

/**
 * The name of a section; "" when it has none.
 */
const char *elf_getSectionName(const elf_t *elfFile, size_t i);

/**
 * What all loadable segments together take.
 *
 * @param min, max  receive the lowest address, and the first behind the highest
 * @return 1; 0 when there are no loadable segments, or one wraps
 */
int elf_getMemoryBounds(const elf_t *elfFile, elf_addr_type_t addr_type, uintptr_t *min,
                        uintptr_t *max);

/**
 * 1 when a virtual address is in a segment.
 */
int elf_vaddrInProgramHeader(const elf_t *elfFile, size_t ph, uintptr_t vaddr);

/**
 * The physical address of a virtual address in a segment; 0 when it is not in there.
 */
uintptr_t elf_vtopProgramHeader(const elf_t *elfFile, size_t ph, uintptr_t vaddr);

#ifdef __cplusplus
}
#endif
