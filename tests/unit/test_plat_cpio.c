/* The cpio reader: entries, names, and where a damaged archive ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cpio/cpio.h>
#include <hostvm/error.h>

struct archive {
    char *bytes;
    unsigned long size;
};

static void pad(struct archive *archive)
{
    while (archive->size % CPIO_ALIGNMENT != 0) {
        archive->bytes[archive->size++] = '\0';
    }
}

static void append(struct archive *archive, const char *name, const char *file)
{
    size_t name_size = strlen(name) + 1;

    archive->size += (unsigned long)sprintf(
        archive->bytes + archive->size, "%s%08x%08x%08x%08x%08x%08x%08X%08x%08x%08x%08x%08X%08x",
        CPIO_HEADER_MAGIC, 1, 0644, 0, 0, 1, 0, (unsigned)strlen(file), 0, 0, 0, 0,
        (unsigned)name_size, 0);
    memcpy(archive->bytes + archive->size, name, name_size);
    archive->size += name_size;
    pad(archive);
    memcpy(archive->bytes + archive->size, file, strlen(file));
    archive->size += strlen(file);
    pad(archive);
}

/* Cut to size in a block of its own, so that sanitizers see what reads behind it. */
static struct archive cut(const struct archive *archive, unsigned long size)
{
    struct archive shorter = {malloc(size == 0 ? 1 : size), size};

    assert_non_null(shorter.bytes);
    memcpy(shorter.bytes, archive->bytes, size);
    return shorter;
}

static int set_up(void **state)
{
    static struct archive archive;

    archive = (struct archive){calloc(1, 4096), 0};
    if (archive.bytes == NULL) {
        return -1;
    }
    append(&archive, "init", "#!/bin/sh\n");
    append(&archive, "empty", "");
    append(&archive, "dir/kernel.elf", "0123456789abcdef");
    append(&archive, CPIO_FOOTER_MAGIC, "");
    *state = &archive;
    return 0;
}

static int tear_down(void **state)
{
    free(((struct archive *)*state)->bytes);
    return 0;
}

static void test_entries_by_number(void **state)
{
    struct archive *archive = *state;
    unsigned long size = 0;
    const char *name = NULL;

    assert_memory_equal(cpio_get_entry(archive->bytes, archive->size, 0, &name, &size),
                        "#!/bin/sh\n", 10);
    assert_string_equal(name, "init");
    assert_int_equal(size, 10);
    assert_non_null(cpio_get_entry(archive->bytes, archive->size, 1, &name, &size));
    assert_int_equal(size, 0);
    assert_memory_equal(cpio_get_entry(archive->bytes, archive->size, 2, NULL, NULL),
                        "0123456789abcdef", 16);
    name = "untouched";
    assert_null(cpio_get_entry(archive->bytes, archive->size, 3, &name, &size));
    assert_null(cpio_get_entry(archive->bytes, archive->size, -1, &name, &size));
    assert_string_equal(name, "untouched");
}

static void test_entries_by_name(void **state)
{
    struct archive *archive = *state;
    unsigned long size = 0;

    assert_memory_equal(cpio_get_file(archive->bytes, archive->size, "dir/kernel.elf", &size),
                        "0123", 4);
    assert_int_equal(size, 16);
    assert_null(cpio_get_file(archive->bytes, archive->size, "dir", &size));
    assert_null(cpio_get_file(archive->bytes, archive->size, "dir/kernel.elf2", &size));
    assert_null(cpio_get_file(archive->bytes, archive->size, CPIO_FOOTER_MAGIC, &size));
    assert_null(cpio_get_file(archive->bytes, archive->size, NULL, &size));
    assert_null(cpio_get_file(NULL, archive->size, "init", &size));
}

static void test_names_and_their_number(void **state)
{
    struct archive *archive = *state;
    struct cpio_info info = {0, 0};
    char texts[3][32] = {"", "", "as it was"};
    char *buf[3] = {texts[0], texts[1], texts[2]};

    assert_int_equal(cpio_info(archive->bytes, archive->size, &info), 0);
    assert_int_equal(info.file_count, 3);
    assert_int_equal(info.max_path_sz, strlen("dir/kernel.elf"));
    cpio_ls(archive->bytes, archive->size, buf, 2);
    assert_string_equal(texts[0], "init");
    assert_string_equal(texts[1], "empty");
    assert_string_equal(texts[2], "as it was");
    cpio_ls(archive->bytes, archive->size, NULL, 2);
    assert_int_equal(cpio_info(archive->bytes, archive->size, NULL), -1);
    assert_string_equal(hostvm_last_error(), "cpio_info: nowhere to put the answer");
}

static void test_archive_cut_anywhere_ends_before_the_cut(void **state)
{
    struct archive *archive = *state;
    unsigned long size;

    /* the last bytes pad an empty file behind the trailer's name */
    for (size = 0; size < archive->size - CPIO_ALIGNMENT; size++) {
        struct archive shorter = cut(archive, size);
        struct cpio_info info = {77, 77};
        unsigned long length = 0;
        void *file = cpio_get_file(shorter.bytes, size, "dir/kernel.elf", &length);

        assert_int_equal(cpio_info(shorter.bytes, size, &info), -1);
        assert_int_equal(info.file_count, 77);
        if (file != NULL) {
            assert_int_equal(length, 16);
            assert_true((char *)file + length <= shorter.bytes + size);
        }
        free(shorter.bytes);
    }
}

static void test_damaged_header_ends_the_archive(void **state)
{
    static const struct {
        size_t at;
        char with;
    } damage[] = {
        {0, '1'},                                            /* magic */
        {offsetof(struct cpio_header, c_namesize), 'g'},     /* no digit */
        {offsetof(struct cpio_header, c_namesize) + 7, '0'}, /* no name */
        {offsetof(struct cpio_header, c_namesize) + 7, '2'}, /* no NUL at its end */
        {offsetof(struct cpio_header, c_namesize), 'F'},     /* reaches past the end */
        {offsetof(struct cpio_header, c_filesize), 'f'},     /* as above */
        {offsetof(struct cpio_header, c_filesize) + 3, ' '}, /* no digit */
    };
    struct archive *archive = *state;
    struct cpio_info info;
    size_t i;

    for (i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        char kept = archive->bytes[damage[i].at];

        archive->bytes[damage[i].at] = damage[i].with;
        assert_null(cpio_get_entry(archive->bytes, archive->size, 0, NULL, NULL));
        assert_int_equal(cpio_info(archive->bytes, archive->size, &info), -1);
        assert_non_null(strstr(hostvm_last_error(), "bad cpio archive: no entry at offset 0x0 of"));
        archive->bytes[damage[i].at] = kept;
    }
    assert_int_equal(cpio_info(archive->bytes, archive->size, &info), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_entries_by_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_entries_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_and_their_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_archive_cut_anywhere_ends_before_the_cut, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_header_ends_the_archive, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
