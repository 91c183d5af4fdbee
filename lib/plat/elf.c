/* The ELF reader: every field is fetched through one bounds check, whatever was checked before. */
#include <errno.h>
#include <string.h>

#include <elf/elf.h>

#include "base/range.h"
#include "base/reason.h"

/* What both classes say in their headers. */
struct header {
    uint64_t entry;
    uint64_t ph_offset;
    uint64_t sh_offset;
    uint16_t nr_ph;
    uint16_t nr_sh;
    uint16_t ph_size;
    uint16_t sh_size;
    uint16_t names;
};

/* The bytes are in the file. */
static bool is_inside(const elf_t *elf, uint64_t offset, uint64_t size)
{
    return range_contains((struct range){0, elf->elfSize}, (struct range){offset, size});
}

/* Copies, because nothing says that the file is aligned. */
static bool fetch(const elf_t *elf, uint64_t offset, void *to, size_t size)
{
    if (elf == NULL || elf->elfFile == NULL || !is_inside(elf, offset, size)) {
        return false;
    }
    memcpy(to, (const char *)elf->elfFile + offset, size);
    return true;
}

static bool fetch_header32(const elf_t *elf, struct header *header)
{
    Elf32_Ehdr raw;

    if (!fetch(elf, 0, &raw, sizeof(raw))) {
        return false;
    }
    *header = (struct header){raw.e_entry, raw.e_phoff,     raw.e_shoff,     raw.e_phnum,
                              raw.e_shnum, raw.e_phentsize, raw.e_shentsize, raw.e_shstrndx};
    return true;
}

static bool fetch_header64(const elf_t *elf, struct header *header)
{
    Elf64_Ehdr raw;

    if (!fetch(elf, 0, &raw, sizeof(raw))) {
        return false;
    }
    *header = (struct header){raw.e_entry, raw.e_phoff,     raw.e_shoff,     raw.e_phnum,
                              raw.e_shnum, raw.e_phentsize, raw.e_shentsize, raw.e_shstrndx};
    return true;
}

/* All zeros when there is none, so that its tables are empty. */
static struct header header_of(const elf_t *elf)
{
    struct header header = {0};

    if (elf != NULL && elf->elfClass == ELFCLASS32) {
        (void)fetch_header32(elf, &header); /* zeros will do */
    } else if (elf != NULL && elf->elfClass == ELFCLASS64) {
        (void)fetch_header64(elf, &header); /* as above */
    }
    return header;
}

/* The i-th entry of a table. An offset of 0 means that there is no table. */
static bool fetch_entry(const elf_t *elf, uint64_t table, uint16_t entry_size, size_t i, void *to,
                        size_t size)
{
    uint64_t skip = (uint64_t)i * entry_size; /* i is below 65536 */

    if (table == 0 || entry_size < size || !range_is_valid(table, skip)) {
        return false;
    }
    return fetch(elf, table + skip, to, size);
}

static Elf64_Phdr program_header(const elf_t *elf, size_t i)
{
    struct header header = header_of(elf);
    Elf64_Phdr wide = {0};
    Elf32_Phdr narrow;

    if (i >= header.nr_ph) {
        return wide;
    }
    if (elf->elfClass == ELFCLASS64) {
        if (!fetch_entry(elf, header.ph_offset, header.ph_size, i, &wide, sizeof(wide))) {
            wide = (Elf64_Phdr){0};
        }
    } else if (fetch_entry(elf, header.ph_offset, header.ph_size, i, &narrow, sizeof(narrow))) {
        wide.p_type = narrow.p_type;
        wide.p_flags = narrow.p_flags;
        wide.p_offset = narrow.p_offset;
        wide.p_vaddr = narrow.p_vaddr;
        wide.p_paddr = narrow.p_paddr;
        wide.p_filesz = narrow.p_filesz;
        wide.p_memsz = narrow.p_memsz;
        wide.p_align = narrow.p_align;
    }
    return wide;
}

static Elf64_Shdr section_header(const elf_t *elf, size_t i)
{
    struct header header = header_of(elf);
    Elf64_Shdr wide = {0};
    Elf32_Shdr narrow;

    if (i >= header.nr_sh) {
        return wide;
    }
    if (elf->elfClass == ELFCLASS64) {
        if (!fetch_entry(elf, header.sh_offset, header.sh_size, i, &wide, sizeof(wide))) {
            wide = (Elf64_Shdr){0};
        }
    } else if (fetch_entry(elf, header.sh_offset, header.sh_size, i, &narrow, sizeof(narrow))) {
        wide.sh_name = narrow.sh_name;
        wide.sh_type = narrow.sh_type;
        wide.sh_flags = narrow.sh_flags;
        wide.sh_addr = narrow.sh_addr;
        wide.sh_offset = narrow.sh_offset;
        wide.sh_size = narrow.sh_size;
        wide.sh_link = narrow.sh_link;
        wide.sh_info = narrow.sh_info;
        wide.sh_addralign = narrow.sh_addralign;
        wide.sh_entsize = narrow.sh_entsize;
    }
    return wide;
}

/* --- checks --- */

int elf_check_magic(const void *file)
{
    if (file == NULL || memcmp(file, ELFMAG, SELFMAG) != 0) {
        (void)fail(-EINVAL, "not an ELF file: it does not begin with 7f 45 4c 46");
        return -1;
    }
    return 0;
}

int elf_checkFile(elf_t *elfFile)
{
    unsigned char ident[EI_NIDENT];
    struct header header;

    if (!fetch(elfFile, 0, ident, sizeof(ident))) {
        (void)fail(-EINVAL, "not an ELF file: it is shorter than an ELF header");
        return -1;
    }
    if (elf_check_magic(ident) != 0) {
        return -1;
    }
    if (ident[EI_DATA] != ELFDATA2LSB) {
        (void)fail(-EINVAL, "cannot read this ELF file: it is not little-endian");
        return -1;
    }
    if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64) {
        (void)fail(-EINVAL, "cannot read this ELF file: its class is %u, neither 32- nor 64-bit",
                   ident[EI_CLASS]);
        return -1;
    }
    if (ident[EI_CLASS] == ELFCLASS32 ? !fetch_header32(elfFile, &header)
                                      : !fetch_header64(elfFile, &header)) {
        (void)fail(-EINVAL, "not an ELF file: it is shorter than an ELF header");
        return -1;
    }
    elfFile->elfClass = ident[EI_CLASS];
    return 0;
}

static int check_table(const elf_t *elf, const char *what, uint64_t offset, uint64_t nr,
                       uint64_t entry_size, uint64_t entry_min)
{
    if (nr == 0) {
        return 0;
    }
    if (offset == 0 || entry_size < entry_min || !is_inside(elf, offset, nr * entry_size)) {
        (void)fail(-EINVAL, "bad ELF file: its %s headers are not in it", what);
        return -1;
    }
    return 0;
}

int elf_checkProgramHeaderTable(const elf_t *elfFile)
{
    struct header header = header_of(elfFile);
    size_t least = elfFile != NULL && elfFile->elfClass == ELFCLASS32 ? sizeof(Elf32_Phdr)
                                                                      : sizeof(Elf64_Phdr);

    return check_table(elfFile, "program", header.ph_offset, header.nr_ph, header.ph_size, least);
}

int elf_checkSectionTable(const elf_t *elfFile)
{
    struct header header = header_of(elfFile);
    size_t least = elfFile != NULL && elfFile->elfClass == ELFCLASS32 ? sizeof(Elf32_Shdr)
                                                                      : sizeof(Elf64_Shdr);

    return check_table(elfFile, "section", header.sh_offset, header.nr_sh, header.sh_size, least);
}

int elf_newFile_maybe_unsafe(const void *file, size_t size, bool check_pht, bool check_st,
                             elf_t *res)
{
    elf_t elf = {file, size, ELFCLASSNONE};

    if (elf_checkFile(&elf) != 0 || (check_pht && elf_checkProgramHeaderTable(&elf) != 0) ||
        (check_st && elf_checkSectionTable(&elf) != 0)) {
        return -1;
    }
    if (res != NULL) {
        *res = elf;
    }
    return 0;
}

int elf_newFile(const void *file, size_t size, elf_t *res)
{
    return elf_newFile_maybe_unsafe(file, size, true, true, res);
}

/* --- the header --- */

uintptr_t elf_getEntryPoint(const elf_t *elfFile)
{
    return header_of(elfFile).entry;
}

size_t elf_getNumProgramHeaders(const elf_t *elfFile)
{
    return header_of(elfFile).nr_ph;
}

size_t elf_getNumSections(const elf_t *elfFile)
{
    return header_of(elfFile).nr_sh;
}

size_t elf_getSectionStringTableIndex(const elf_t *elfFile)
{
    return header_of(elfFile).names;
}

/* --- program headers --- */

uint32_t elf_getProgramHeaderType(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_type;
}

uint32_t elf_getProgramHeaderFlags(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_flags;
}

size_t elf_getProgramHeaderOffset(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_offset;
}

uintptr_t elf_getProgramHeaderVaddr(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_vaddr;
}

uintptr_t elf_getProgramHeaderPaddr(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_paddr;
}

size_t elf_getProgramHeaderFileSize(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_filesz;
}

size_t elf_getProgramHeaderMemorySize(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_memsz;
}

size_t elf_getProgramHeaderAlign(const elf_t *elfFile, size_t ph)
{
    return program_header(elfFile, ph).p_align;
}

const void *elf_getProgramSegment(const elf_t *elfFile, size_t ph)
{
    Elf64_Phdr segment = program_header(elfFile, ph);

    if (elfFile == NULL || segment.p_type == PT_NULL ||
        !is_inside(elfFile, segment.p_offset, segment.p_filesz)) {
        return NULL;
    }
    return (const char *)elfFile->elfFile + segment.p_offset;
}

/* --- section headers --- */

size_t elf_getSectionNameOffset(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_name;
}

uint32_t elf_getSectionType(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_type;
}

size_t elf_getSectionFlags(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_flags;
}

uintptr_t elf_getSectionAddr(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_addr;
}

size_t elf_getSectionOffset(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_offset;
}

size_t elf_getSectionSize(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_size;
}

uint32_t elf_getSectionLink(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_link;
}

uint32_t elf_getSectionInfo(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_info;
}

size_t elf_getSectionAddrAlign(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_addralign;
}

size_t elf_getSectionEntrySize(const elf_t *elfFile, size_t i)
{
    return section_header(elfFile, i).sh_entsize;
}

const void *elf_getSection(const elf_t *elfFile, size_t i)
{
    Elf64_Shdr section = section_header(elfFile, i);

    if (elfFile == NULL || section.sh_type == SHT_NULL || section.sh_type == SHT_NOBITS ||
        !is_inside(elfFile, section.sh_offset, section.sh_size)) {
        return NULL;
    }
    return (const char *)elfFile->elfFile + section.sh_offset;
}

const char *elf_getStringTable(const elf_t *elfFile, size_t string_segment)
{
    Elf64_Shdr section = section_header(elfFile, string_segment);
    const char *strings = elf_getSection(elfFile, string_segment);

    if (strings == NULL || section.sh_type != SHT_STRTAB || section.sh_size == 0 ||
        strings[section.sh_size - 1] != '\0') {
        return NULL;
    }
    return strings;
}

const char *elf_getSectionStringTable(const elf_t *elfFile)
{
    return elf_getStringTable(elfFile, elf_getSectionStringTableIndex(elfFile));
}

const char *elf_getSectionName(const elf_t *elfFile, size_t i)
{
    const char *strings = elf_getSectionStringTable(elfFile);
    size_t size = elf_getSectionSize(elfFile, elf_getSectionStringTableIndex(elfFile));
    size_t offset = elf_getSectionNameOffset(elfFile, i);

    return strings != NULL && offset < size ? strings + offset : "";
}

const void *elf_getSectionNamed(const elf_t *elfFile, const char *str, size_t *i)
{
    size_t nr = elf_getNumSections(elfFile);
    size_t n;

    for (n = 0; str != NULL && n < nr; n++) {
        if (strcmp(elf_getSectionName(elfFile, n), str) == 0) {
            if (i != NULL) {
                *i = n;
            }
            return elf_getSection(elfFile, n);
        }
    }
    return NULL;
}

/* --- addresses --- */

int elf_getMemoryBounds(const elf_t *elfFile, elf_addr_type_t addr_type, uintptr_t *min,
                        uintptr_t *max)
{
    uint64_t lowest = UINT64_MAX;
    uint64_t behind = 0;
    size_t nr = elf_getNumProgramHeaders(elfFile);
    size_t i;

    for (i = 0; i < nr; i++) {
        Elf64_Phdr segment = program_header(elfFile, i);
        uint64_t start = addr_type == PHYSICAL ? segment.p_paddr : segment.p_vaddr;

        if (segment.p_type != PT_LOAD || segment.p_memsz == 0) {
            continue;
        }
        if (!range_is_valid(start, segment.p_memsz)) {
            return 0;
        }
        lowest = start < lowest ? start : lowest;
        behind = start + segment.p_memsz > behind ? start + segment.p_memsz : behind;
    }
    if (behind == 0 || min == NULL || max == NULL) {
        return 0;
    }
    *min = lowest;
    *max = behind;
    return 1;
}

int elf_vaddrInProgramHeader(const elf_t *elfFile, size_t ph, uintptr_t vaddr)
{
    Elf64_Phdr segment = program_header(elfFile, ph);

    return range_has((struct range){segment.p_vaddr, segment.p_memsz}, vaddr);
}

uintptr_t elf_vtopProgramHeader(const elf_t *elfFile, size_t ph, uintptr_t vaddr)
{
    Elf64_Phdr segment = program_header(elfFile, ph);

    if (!range_has((struct range){segment.p_vaddr, segment.p_memsz}, vaddr)) {
        return 0;
    }
    return vaddr - segment.p_vaddr + segment.p_paddr;
}
