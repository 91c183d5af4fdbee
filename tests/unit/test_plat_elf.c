/* The ELF reader: what it says of files of both classes, and that nothing leads it outside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <elf/elf.h>
#include <hostvm/error.h>

/* A file with two segments and three sections: nothing, text, names. */
struct file64 {
    Elf64_Ehdr header;
    Elf64_Phdr segments[2];
    char text[16];
    char names[24];
    Elf64_Shdr sections[3];
};

struct file32 {
    Elf32_Ehdr header;
    Elf32_Phdr segments[1];
    Elf32_Shdr sections[1];
};

static const char names[] = "\0.text\0.names";

static struct file64 make64(void)
{
    struct file64 file = {
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1},
                   .e_entry = 0x100010,
                   .e_phoff = offsetof(struct file64, segments),
                   .e_shoff = offsetof(struct file64, sections),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 2,
                   .e_shentsize = sizeof(Elf64_Shdr),
                   .e_shnum = 3,
                   .e_shstrndx = 2},
        .segments = {{.p_type = PT_LOAD,
                      .p_flags = PF_R | PF_X,
                      .p_offset = offsetof(struct file64, text),
                      .p_vaddr = 0xffffffff80100000,
                      .p_paddr = 0x100000,
                      .p_filesz = 16,
                      .p_memsz = 0x2000,
                      .p_align = 0x1000},
                     {.p_type = PT_NOTE, .p_offset = 0, .p_filesz = 1}},
        .text = "text",
        .sections = {{.sh_type = SHT_NULL},
                     {.sh_name = 1,
                      .sh_type = SHT_PROGBITS,
                      .sh_flags = SHF_ALLOC,
                      .sh_addr = 0xffffffff80100000,
                      .sh_offset = offsetof(struct file64, text),
                      .sh_size = 16,
                      .sh_link = 5,
                      .sh_info = 6,
                      .sh_addralign = 8,
                      .sh_entsize = 4},
                     {.sh_name = 7,
                      .sh_type = SHT_STRTAB,
                      .sh_offset = offsetof(struct file64, names),
                      .sh_size = sizeof(names)}},
    };

    memcpy(file.names, names, sizeof(names));
    return file;
}

static struct file32 make32(void)
{
    return (struct file32){
        .header = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, 1},
                   .e_entry = 0x8000,
                   .e_phoff = offsetof(struct file32, segments),
                   .e_shoff = offsetof(struct file32, sections),
                   .e_phentsize = sizeof(Elf32_Phdr),
                   .e_phnum = 1,
                   .e_shentsize = sizeof(Elf32_Shdr),
                   .e_shnum = 1},
        .segments = {{.p_type = PT_LOAD,
                      .p_flags = PF_W,
                      .p_offset = 4,
                      .p_vaddr = 0x8000,
                      .p_paddr = 0x9000,
                      .p_filesz = 8,
                      .p_memsz = 12,
                      .p_align = 4}},
        .sections = {{.sh_type = SHT_PROGBITS,
                      .sh_flags = 1,
                      .sh_addr = 2,
                      .sh_offset = 3,
                      .sh_size = 4,
                      .sh_link = 5,
                      .sh_info = 6,
                      .sh_addralign = 7,
                      .sh_entsize = 8}},
    };
}

static void test_program_headers_of_a_64_bit_file(void **state)
{
    struct file64 file = make64();
    elf_t elf;

    (void)state;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), 0);
    assert_int_equal(elf.elfClass, ELFCLASS64);
    assert_int_equal(elf_getEntryPoint(&elf), 0x100010);
    assert_int_equal(elf_getNumProgramHeaders(&elf), 2);
    assert_int_equal(elf_getProgramHeaderType(&elf, 0), PT_LOAD);
    assert_int_equal(elf_getProgramHeaderFlags(&elf, 0), PF_R | PF_X);
    assert_int_equal(elf_getProgramHeaderOffset(&elf, 0), offsetof(struct file64, text));
    assert_int_equal(elf_getProgramHeaderVaddr(&elf, 0), 0xffffffff80100000);
    assert_int_equal(elf_getProgramHeaderPaddr(&elf, 0), 0x100000);
    assert_int_equal(elf_getProgramHeaderFileSize(&elf, 0), 16);
    assert_int_equal(elf_getProgramHeaderMemorySize(&elf, 0), 0x2000);
    assert_int_equal(elf_getProgramHeaderAlign(&elf, 0), 0x1000);
    assert_ptr_equal(elf_getProgramSegment(&elf, 0), file.text);
    assert_int_equal(elf_getProgramHeaderType(&elf, 1), PT_NOTE);
}

static void test_headers_of_a_32_bit_file(void **state)
{
    struct file32 file = make32();
    elf_t elf;

    (void)state;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), 0);
    assert_int_equal(elf.elfClass, ELFCLASS32);
    assert_int_equal(elf_getEntryPoint(&elf), 0x8000);
    assert_int_equal(elf_getProgramHeaderType(&elf, 0), PT_LOAD);
    assert_int_equal(elf_getProgramHeaderFlags(&elf, 0), PF_W);
    assert_int_equal(elf_getProgramHeaderOffset(&elf, 0), 4);
    assert_int_equal(elf_getProgramHeaderVaddr(&elf, 0), 0x8000);
    assert_int_equal(elf_getProgramHeaderPaddr(&elf, 0), 0x9000);
    assert_int_equal(elf_getProgramHeaderFileSize(&elf, 0), 8);
    assert_int_equal(elf_getProgramHeaderMemorySize(&elf, 0), 12);
    assert_int_equal(elf_getProgramHeaderAlign(&elf, 0), 4);
    assert_int_equal(elf_getNumSections(&elf), 1);
    assert_int_equal(elf_getSectionType(&elf, 0), SHT_PROGBITS);
    assert_int_equal(elf_getSectionFlags(&elf, 0), 1);
    assert_int_equal(elf_getSectionAddr(&elf, 0), 2);
    assert_int_equal(elf_getSectionOffset(&elf, 0), 3);
    assert_int_equal(elf_getSectionSize(&elf, 0), 4);
    assert_int_equal(elf_getSectionLink(&elf, 0), 5);
    assert_int_equal(elf_getSectionInfo(&elf, 0), 6);
    assert_int_equal(elf_getSectionAddrAlign(&elf, 0), 7);
    assert_int_equal(elf_getSectionEntrySize(&elf, 0), 8);
}

static void test_sections_have_names_and_bytes(void **state)
{
    struct file64 file = make64();
    size_t i = 0;
    elf_t elf;

    (void)state;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), 0);
    assert_int_equal(elf_getSectionStringTableIndex(&elf), 2);
    assert_ptr_equal(elf_getSectionStringTable(&elf), file.names);
    assert_string_equal(elf_getSectionName(&elf, 0), "");
    assert_string_equal(elf_getSectionName(&elf, 1), ".text");
    assert_ptr_equal(elf_getSectionNamed(&elf, ".text", &i), file.text);
    assert_int_equal(i, 1);
    assert_ptr_equal(elf_getSectionNamed(&elf, ".names", NULL), file.names);
    assert_null(elf_getSectionNamed(&elf, ".data", NULL));
    assert_null(elf_getSectionNamed(&elf, NULL, NULL));
    assert_int_equal(elf_getSectionLink(&elf, 1), 5);
    assert_int_equal(elf_getSectionInfo(&elf, 1), 6);
    assert_int_equal(elf_getSectionAddrAlign(&elf, 1), 8);
    assert_int_equal(elf_getSectionEntrySize(&elf, 1), 4);
    assert_int_equal(elf_getSectionAddr(&elf, 1), 0xffffffff80100000);
    assert_int_equal(elf_getSectionFlags(&elf, 1), SHF_ALLOC);
    assert_null(elf_getStringTable(&elf, 1));
}

static void test_addresses_of_segments(void **state)
{
    struct file64 file = make64();
    uintptr_t min = 1;
    uintptr_t max = 1;
    elf_t elf;

    (void)state;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), 0);
    assert_int_equal(elf_getMemoryBounds(&elf, PHYSICAL, &min, &max), 1);
    assert_int_equal(min, 0x100000);
    assert_int_equal(max, 0x102000);
    assert_int_equal(elf_getMemoryBounds(&elf, VIRTUAL, &min, &max), 1);
    assert_int_equal(min, 0xffffffff80100000);
    assert_int_equal(elf_vaddrInProgramHeader(&elf, 0, 0xffffffff80101fff), 1);
    assert_int_equal(elf_vaddrInProgramHeader(&elf, 0, 0xffffffff80102000), 0);
    assert_int_equal(elf_vtopProgramHeader(&elf, 0, 0xffffffff80100010), 0x100010);
    assert_int_equal(elf_vtopProgramHeader(&elf, 0, 0x10), 0);

    file.segments[0].p_paddr = UINT64_MAX - 1;
    assert_int_equal(elf_getMemoryBounds(&elf, PHYSICAL, &min, &max), 0);
    file.segments[0].p_type = PT_NULL;
    assert_int_equal(elf_getMemoryBounds(&elf, PHYSICAL, &min, &max), 0);
}

/* A loader has the first page of a file: the sections are behind it. */
static void test_beginning_of_a_file_is_enough_for_program_headers(void **state)
{
    struct file64 file = make64();
    elf_t elf;

    (void)state;
    assert_int_equal(
        elf_newFile_maybe_unsafe(&file, offsetof(struct file64, text), true, false, &elf), 0);
    assert_int_equal(elf_getProgramHeaderPaddr(&elf, 0), 0x100000);
    assert_null(elf_getProgramSegment(&elf, 0));
    assert_int_equal(elf_getSectionType(&elf, 1), SHT_NULL);
    assert_string_equal(elf_getSectionName(&elf, 1), "");
    assert_int_equal(
        elf_newFile_maybe_unsafe(&file, offsetof(struct file64, text), true, true, &elf), -1);
    assert_string_equal(hostvm_last_error(), "bad ELF file: its section headers are not in it");
    assert_int_equal(elf_newFile_maybe_unsafe(&file, sizeof(Elf64_Ehdr), true, false, &elf), -1);
    assert_string_equal(hostvm_last_error(), "bad ELF file: its program headers are not in it");
    assert_int_equal(elf_newFile_maybe_unsafe(&file, sizeof(Elf64_Ehdr), false, false, NULL), 0);
}

static void test_what_is_no_elf_file_is_refused(void **state)
{
    struct file64 file = make64();
    elf_t elf = {NULL, 7, 9};

    (void)state;
    assert_int_equal(elf_check_magic(&file), 0);
    assert_int_equal(elf_check_magic("\177elf"), -1);
    assert_string_equal(hostvm_last_error(), "not an ELF file: it does not begin with 7f 45 4c 46");
    assert_int_equal(elf_check_magic(NULL), -1);
    assert_int_equal(elf_newFile(NULL, 4096, &elf), -1);
    assert_int_equal(elf_newFile("short", 5, &elf), -1);
    assert_string_equal(hostvm_last_error(), "not an ELF file: it is shorter than an ELF header");
    assert_int_equal(elf_newFile(&file, sizeof(Elf64_Ehdr) - 1, &elf), -1);
    assert_string_equal(hostvm_last_error(), "not an ELF file: it is shorter than an ELF header");
    file.header.e_ident[EI_DATA] = ELFDATA2MSB;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), -1);
    assert_string_equal(hostvm_last_error(), "cannot read this ELF file: it is not little-endian");
    file.header.e_ident[EI_DATA] = ELFDATA2LSB;
    file.header.e_ident[EI_CLASS] = 3;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), -1);
    assert_string_equal(hostvm_last_error(),
                        "cannot read this ELF file: its class is 3, neither 32- nor 64-bit");
    assert_int_equal(elf_checkFile(NULL), -1);
    assert_int_equal(elf.elfSize, 7);
}

static void test_numbers_that_lead_outside_give_nothing(void **state)
{
    struct file64 file = make64();
    elf_t elf;

    (void)state;
    assert_int_equal(elf_newFile(&file, sizeof(file), &elf), 0);
    assert_int_equal(elf_getProgramHeaderType(&elf, 2), 0);
    assert_int_equal(elf_getSectionSize(&elf, SIZE_MAX), 0);
    assert_int_equal(elf_getNumProgramHeaders(NULL), 0);
    assert_int_equal(elf_getProgramHeaderPaddr(NULL, 0), 0);
    assert_null(elf_getProgramSegment(NULL, 0));
    assert_null(elf_getSection(NULL, 0));
    assert_int_equal(elf_getSectionNameOffset(NULL, 1), 0);

    file.segments[0].p_offset = UINT64_MAX - 7; /* and 16 bytes wrap */
    assert_null(elf_getProgramSegment(&elf, 0));
    file.sections[1].sh_offset = sizeof(file);
    assert_null(elf_getSection(&elf, 1));
    file.sections[1].sh_name = sizeof(names);
    assert_string_equal(elf_getSectionName(&elf, 1), "");
    file.names[sizeof(names) - 1] = 'x';
    assert_null(elf_getSectionStringTable(&elf));

    file.header.e_phoff = UINT64_MAX - 8;
    assert_int_equal(elf_getProgramHeaderPaddr(&elf, 1), 0);
    assert_int_equal(elf_newFile(&file, sizeof(file), NULL), -1);
    file.header.e_phoff = offsetof(struct file64, segments);
    file.header.e_phentsize = sizeof(Elf64_Phdr) - 1;
    assert_int_equal(elf_getProgramHeaderPaddr(&elf, 0), 0);
    assert_int_equal(elf_newFile(&file, sizeof(file), NULL), -1);
}

/* A byte buffer from anywhere: nothing promises alignment. */
static void test_file_at_an_odd_address(void **state)
{
    struct file64 file = make64();
    char *bytes = malloc(sizeof(file) + 1);
    elf_t elf;

    (void)state;
    assert_non_null(bytes);
    memcpy(bytes + 1, &file, sizeof(file));
    assert_int_equal(elf_newFile(bytes + 1, sizeof(file), &elf), 0);
    assert_int_equal(elf_getProgramHeaderPaddr(&elf, 0), 0x100000);
    assert_string_equal(elf_getSectionName(&elf, 2), ".names");
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_headers_of_a_64_bit_file),
        cmocka_unit_test(test_headers_of_a_32_bit_file),
        cmocka_unit_test(test_sections_have_names_and_bytes),
        cmocka_unit_test(test_addresses_of_segments),
        cmocka_unit_test(test_beginning_of_a_file_is_enough_for_program_headers),
        cmocka_unit_test(test_what_is_no_elf_file_is_refused),
        cmocka_unit_test(test_numbers_that_lead_outside_give_nothing),
        cmocka_unit_test(test_file_at_an_odd_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
